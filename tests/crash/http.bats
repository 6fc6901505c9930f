# SPDX-License-Identifier: Apache-2.0
# curl, pycurl, PHP and C programs against the counting server, killed at their kill points.
load sweeps
load servers

setup() {
  check_options=()
  # Each point takes several exchanges with the server.
  sweep_points=60
  set_up_inputs
  start_counting_server
  url="http://127.0.0.1:$port"
}

teardown() {
  stop_servers
}

@test "curl GET to stdout and to a file" {
  assert_survives curl -sS "$url/bytes/50000" --next -sS -o out "$url/chunked/3000"
}

@test "curl with a body of which a part lies in a blob" {
  assert_survives curl -sS -o out "$url/bytes/1500000" --next -sS "$url/bytes/1200000"
}

@test "curl POST, and GETs after it on the same connection" {
  assert_survives curl -sS -d one=1 "$url/post" --next -sS "$url/bytes/300" --next -sS -o out "$url/bytes/20000"
}

@test "curl with headers in the output" {
  assert_survives curl -sS -i "$url/bytes/30000" -D headers
}

@test "curl PUT of a file" {
  assert_survives curl -sS -T numbers "$url/put"
}

@test "curl PUT of a pipe's bytes" {
  # shellcheck disable=SC2016  # the inner shell's
  assert_survives sh -c 'exec curl -sS -T - '"$url/put"' < numbers'
}

@test "curl -F with a file" {
  assert_survives curl -sS -o answer -w '%{http_code} %{content_type}\n' -F name=value -F file=@numbers "$url/status/201"
}

@test "curl follows redirects" {
  assert_survives curl -sS -L -w '%{num_redirects} %{url_effective}\n' "$url/redirect/3"
}

@test "curl keeps cookies, and writes them to a jar" {
  assert_survives curl -sS -c jar -b jar "$url/cookie/one" --next -sS -b jar "$url/cookie/two" --next -sS -c jar -b jar "$url/end"
}

@test "curl --retry, and an error at last" {
  # Each point lasts the second that curl waits; the start and the exchange itself are those of the others.
  sweep_points=20
  assert_survives curl -sS --retry 1 --retry-delay 1 --fail "$url/status/503"
}

@test "curl told of a transfer that breaks off" {
  assert_survives curl -sS -o out "$url/truncated/20000"
}

@test "a C program with every callback of the easy interface" {
  assert_survives "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/curl_easy" "$url"
}

@test "a C program with a form, a part of which it gives as it is sent" {
  assert_survives "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/curl_form" "$url/status/200"
}

@test "python3 with pycurl, whose libcurl a plugin brings" {
  cat > "$inputs/job.py" << END
import io, pycurl
easy = pycurl.Curl()
for number in range(3):
    body = io.BytesIO()
    easy.setopt(easy.URL, "$url/bytes/%d" % (number * 3000))
    easy.setopt(easy.WRITEDATA, body)
    easy.perform()
    print(number, easy.getinfo(easy.RESPONSE_CODE), len(body.getvalue()))
easy.setopt(easy.POSTFIELDS, "one=1")
easy.setopt(easy.WRITEFUNCTION, lambda bytes: print(len(bytes)))
easy.perform()
easy.close()
END
  assert_survives /usr/bin/python3 job.py
}

@test "php, whose plugins are opened so that they find their own libraries first: its requests have keys" {
  cat > "$inputs/job.php" << END
<?php
\$curl = curl_init("$url/post");
curl_setopt(\$curl, CURLOPT_POSTFIELDS, "one=1");
curl_setopt(\$curl, CURLOPT_RETURNTRANSFER, true);
echo curl_exec(\$curl), curl_getinfo(\$curl, CURLINFO_RESPONSE_CODE), "\n";
END
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  (cd "$inputs" && "$PERDURE" run -- php job.php)
  assert_regex "$(cut -d' ' -f3 "$requests")" '^[0-9a-f-]{36}$'
  assert_survives php job.php
}
