# SPDX-License-Identifier: Apache-2.0
# curl, pycurl and a C program against the counting server, killed at their kill points; and what the
# server has counted.
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

# ---- what the server counts ----

@test "idempotent: every request arrives, none is executed twice, an answered one is not sent again" {
  local repeated=0
  count_point() {
    assert_equal "$status" 0
    assert_equal "$(grep -c executed "$requests")" 3
    assert_equal "$(mawk '{ print $3 }' "$requests" | sort -u | wc -l)" 3
    assert_answered_once
    repeated=$((repeated + $(grep -c repeated "$requests" || true)))
  }
  kill_everywhere -- curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b" --next -sS -X PATCH -d three=3 "$url/c"
  # Some were killed between the answer and its end in the journal.
  [ "$repeated" -gt 0 ]
}

@test "not idempotent: nothing is sent twice, and the run stops with 121 where nobody can tell" {
  local stopped=0 through=0
  count_point() {
    assert_equal "$(sort "$requests" | cut -d' ' -f1-2 | uniq -d)" ""
    if [ "$status" -eq 121 ]; then
      stopped=$((stopped + 1))
      assert_regex "$(cat "$BATS_TEST_TMPDIR/said")" 'nobody can tell whether entry [0-9]+ happened'
    else
      assert_equal "$status" 0
      assert_equal "$(wc -l < "$requests")" 2
      through=$((through + 1))
    fi
  }
  kill_everywhere --not-idempotent -- curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b"
  [ "$stopped" -gt 0 ]
  [ "$through" -gt 0 ]
}

@test "not idempotent: a GET that was under way is sent again" {
  count_point() {
    assert_equal "$status" 0
  }
  kill_everywhere --not-idempotent -- curl -sS -o out "$url/bytes/20000"
  assert_equal "$(wc -c < "$inputs/out")" 20000
}

@test "not idempotent in a scope alone: that request stops the run where nobody can tell, others are sent again" {
  local stopped=0 again=0 kill_step=2
  count_point() {
    # The charge is sent once at most; the others arrive as often as they have to, and are executed once.
    [ "$(grep -c charge "$requests")" -le 1 ]
    if [ "$status" -eq 121 ]; then
      stopped=$((stopped + 1))
      assert_regex "$(cat "$BATS_TEST_TMPDIR/said")" 'nobody can tell whether entry ([0-9]+) happened'
      "$PERDURE" show job "${BASH_REMATCH[1]}" | grep -q charge
    else
      assert_equal "$status" 0
      assert_equal "$(grep -c executed "$requests")" 3
      again=$((again + $(grep -c repeated "$requests" || true)))
    fi
  }
  kill_everywhere "$@" -- "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/paying" "$url"
  [ "$stopped" -gt 0 ]
  [ "$again" -gt 0 ]
}

@test "in an atomic region, an answered request is sent again when the region runs again, with the same key" {
  local again=0 kill_step=2
  count_point() {
    assert_equal "$status" 0
    assert_equal "$(grep -c executed "$requests")" 3
    # An order whose charge had been sent too was sent before the crash and after it.
    again=$((again + $(grep -c 'order.*repeated' "$requests" || true)))
  }
  kill_everywhere -- "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/paying" "$url" region
  [ "$again" -gt 2 ]
}

@test "a run that is begun anew has other keys" {
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  "$PERDURE" run -- curl -sS -d one=1 "$url/a"
  "$PERDURE" run -- curl -sS -d one=1 "$url/a"
  assert_equal "$(grep -c executed "$requests")" 2
}

@test "--no-idempotency-key adds none" {
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  "$PERDURE" run --no-idempotency-key -- curl -sS -d one=1 "$url/a"
  assert_equal "$(cut -d' ' -f3 "$requests")" -
}
