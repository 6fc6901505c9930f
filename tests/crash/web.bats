# SPDX-License-Identifier: Apache-2.0
# curl against nginx: compressed, by HTTP/2, by https; libcurl's share interface; git by https. Killed at their kill
# points; and what the server has counted.
load sweeps
load servers

setup() {
  check_options=()
  sweep_points=40
  set_up_inputs
}

teardown() {
  stop_servers
}

# start_web_server: nginx, http on $port and https with HTTP/2 on $secure_port; $requests has a line for each
# request, METHOD PATH KEY STATUS, and $certificate is its own.
start_web_server() {
  local place="$BATS_TEST_TMPDIR/web"
  mkdir -p "$place/files"
  certificate="$place/certificate.pem"
  requests="$place/requests"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$place/key.pem" -out "$certificate" 2> "$place/made"
  seq 1 9000 > "$place/files/numbers.txt"
  head -c 300000 /bin/bash > "$place/files/bytes"
  port=$(free_port)
  secure_port=$((port + 10000))
  cat > "$place/nginx.conf" << END
daemon off;
master_process off;
pid $place/pid;
error_log $place/errors;
events { }
http {
  log_format counted '\$request_method \$uri \$http_idempotency_key \$status';
  access_log $requests counted;
  default_type text/plain;
  client_body_temp_path $place/bodies;
  proxy_temp_path $place/proxy;
  fastcgi_temp_path $place/fastcgi;
  uwsgi_temp_path $place/uwsgi;
  scgi_temp_path $place/scgi;
  gzip on;
  gzip_types text/plain;
  server {
    listen 127.0.0.1:$port;
    listen 127.0.0.1:$secure_port ssl http2;
    ssl_certificate $certificate;
    ssl_certificate_key $place/key.pem;
    root $place/files;
    location /post { return 200 "posted\n"; }
  }
}
END
  nginx -c "$place/nginx.conf" -p "$place" 2> "$place/said" 3>&- &
  servers+=($!)
  for _ in $(seq 1000); do
    curl -sS -o /dev/null "http://127.0.0.1:$port/numbers.txt" 2> "$place/tried" && break
  done
  assert_equal "$(cat "$place/tried")" ""
  secure=(--cacert "$certificate" --connect-to "localhost:443:127.0.0.1:$secure_port")
}

@test "curl --compressed" {
  start_web_server
  assert_survives curl -sS --compressed -o out -w '%{http_code} %{size_download}\n' "http://127.0.0.1:$port/numbers.txt"
}

@test "curl by HTTP/2, several requests on a connection" {
  start_web_server
  assert_survives curl -sS "${secure[@]}" --http2 -w '%{http_version} %{http_code}\n' -o one https://localhost/bytes \
    --next -sS "${secure[@]}" --http2 -w '%{http_version}\n' -d a=1 -o two https://localhost/post \
    --next -sS "${secure[@]}" --http2 -w '%{http_version}\n' -o three https://localhost/numbers.txt
}

@test "curl -Z by HTTP/2: the transfers share a connection" {
  start_web_server
  assert_survives curl -sS --no-progress-meter -Z "${secure[@]}" --http2 -o one https://localhost/bytes -o two https://localhost/numbers.txt
}

@test "curl by https, HTTP/1.1, with what it says of certificate and protocol" {
  start_web_server
  assert_survives curl -sS "${secure[@]}" --http1.1 -o out -w '%{ssl_verify_result} %{scheme} %{http_version} %{http_code}\n' \
    https://localhost/bytes
}

@test "curl that does not trust the server's certificate fails in the same way" {
  start_web_server
  assert_survives curl -sS -o out --connect-to "localhost:443:127.0.0.1:$secure_port" https://localhost/bytes
}

@test "by HTTP/2, every request arrives, and an answered one is not sent again" {
  start_web_server
  count_point() {
    assert_equal "$status" 0
    assert_answered_once
    grep -q "^POST /post .* 200$" "$requests"
    assert_equal "$(grep "^POST" "$requests" | cut -d' ' -f3 | sort -u | wc -l)" 2
  }
  # shellcheck disable=SC2034  # kill_everywhere's
  kill_step=11
  kill_everywhere -- curl -sS "${secure[@]}" --http2 -d a=1 https://localhost/post --next -sS "${secure[@]}" --http2 -d b=2 \
    https://localhost/post
}

@test "libcurl's share interface: cookies, names, locks, two threads" {
  start_counting_server
  assert_survives "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/curl_share" \
    "http://127.0.0.1:$port"
}

@test "git ls-remote and clone by https" {
  start_web_server
  export GIT_CONFIG_GLOBAL=/dev/null GIT_SSL_CAINFO=$certificate GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b
  export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
  local work="$BATS_TEST_TMPDIR/repository"
  git init -q -b main "$work"
  cp "$inputs/numbers" "$work/numbers"
  git -C "$work" add numbers
  git -C "$work" commit -qm first
  git clone -q --bare "$work" "$BATS_TEST_TMPDIR/web/files/work.git"
  git -C "$BATS_TEST_TMPDIR/web/files/work.git" update-server-info
  sweep_points=30
  assert_survives git ls-remote "https://localhost:$secure_port/work.git"
  # The index holds times and inodes.
  check_options=(--compare 'cat copy/numbers; cd copy && git log --format=%H && git status --short')
  assert_survives git clone -q "https://localhost:$secure_port/work.git" copy
}
