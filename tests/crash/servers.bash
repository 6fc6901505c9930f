# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Servers on 127.0.0.1 that outlive the kill points of a sweep. Whoever starts one calls stop_servers in
# teardown: it ends them by their own pids.

servers=()

# start_counting_server [PORT]: its port in $port, its log in $requests.
start_counting_server() {
  local build
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  requests="$BATS_TEST_TMPDIR/requests"
  rm -f "$BATS_TEST_TMPDIR/ready"
  mkfifo "$BATS_TEST_TMPDIR/ready"
  "$build/tests/programs/counting_server" "$requests" "$BATS_TEST_TMPDIR/ready" "$@" 3>&- &
  servers+=($!)
  read -r port < "$BATS_TEST_TMPDIR/ready"
}

# start_echo_server [ADDRESS]: answers for names at port 53 of that address too. Its port (TCP and UDP) in $port, its UNIX socket in $echo_path, the lines that it got in $echo_log.
start_echo_server() {
  local build
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  echo_log="$BATS_TEST_TMPDIR/lines"
  echo_path="$BATS_TEST_TMPDIR/echo.sock"
  mkfifo "$BATS_TEST_TMPDIR/ready"
  "$build/tests/programs/echo_server" "$echo_log" "$BATS_TEST_TMPDIR/ready" "$echo_path" "$@" 3>&- &
  servers+=($!)
  read -r port < "$BATS_TEST_TMPDIR/ready"
}

# start_line_client ADDRESS: goes on with whoever serves there, a port or a path; it is in $line_address too.
start_line_client() {
  local build
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  line_address=$1
  "$build/tests/programs/line_client" "$line_address" 3>&- &
  servers+=($!)
}

# A port that nobody has, for a server whose clients must know it before it runs. Not one that the kernel gives
# to clients: who asks for it while nobody has it may be connected to himself.
free_port() {
  /usr/bin/python3 - << 'END'
import os, socket
port = 10000 + os.getpid() % 10000
while True:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
        break
    except OSError:
        port += 1
print(port)
END
}

# start_tls_server: https on $port of localhost, with the files `small` and `large`; $tls_certificate.
start_tls_server() {
  local files="$BATS_TEST_TMPDIR/tls" line
  mkdir "$files"
  tls_certificate="$files/certificate.pem"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$files/key.pem" -out "$tls_certificate" 2> "$files/made"
  # With their lengths: without one, the end of a broken TLS connection is nothing special to Python.
  printf 'HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nsmall\n' > "$files/small"
  printf 'HTTP/1.0 200 OK\r\nContent-Length: 40000\r\n\r\n' > "$files/large"
  head -c 40000 /dev/zero | tr '\0' x >> "$files/large"
  mkfifo "$files/said"
  # It says where it listens, and then much that nobody reads.
  (cd "$files" && exec openssl s_server -HTTP -accept 127.0.0.1:0 -cert certificate.pem -key key.pem > said 2> errors 3>&-) &
  servers+=($!)
  exec 4< "$files/said"
  while read -r line <&4; do
    port=${line#ACCEPT 127.0.0.1:}
    [ "$port" = "$line" ] || break
  done
  cat <&4 > /dev/null 3>&- &
  servers+=($!)
}

# start_redis_server: on $port, nothing kept.
start_redis_server() {
  port=$(free_port)
  redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$BATS_TEST_TMPDIR" > "$BATS_TEST_TMPDIR/redis" 3>&- &
  servers+=($!)
  for _ in $(seq 1000); do
    redis-cli -p "$port" PING > "$BATS_TEST_TMPDIR/ping" 2>&1 && break
  done
  assert_equal "$(cat "$BATS_TEST_TMPDIR/ping")" PONG
}

stop_servers() {
  local server
  for server in "${servers[@]}"; do
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  done
  servers=()
}

# ---- what the server counts ----

# The keys of those of the run's exchanges that have their end in the journal, one a line.
answered_keys() {
  local seq
  # As `http` sees it: what a killed run has left in its tail counts too.
  for seq in $("$PERDURE" http --json job | jq -r '.[] | select(.state != "under way") | .seq'); do
    "$PERDURE" show job "$seq" | sed -nE 's/.*Idempotency-Key: (.{36}).*/\1/p'
  done
}

# What was answered before the crash has come to the server once, the run being through now.
assert_answered_once() {
  local key
  while read -r key; do
    assert_equal "$(grep -c " $key " "$requests")" 1
  done < "$BATS_TEST_TMPDIR/answered"
}

# kill_everywhere [OPTION...] -- COMMAND...: runs it, killed at point 1, 2, ... and resumed. Calls
# count_point after each, with the exit status in $status, the server's lines in $requests, and what was answered
# before the resumption in the file `answered`.
kill_everywhere() {
  local options=() point=0 step=1
  [ -z "${PERDURE_UNCRASHED-}" ] || skip "the crash suite counts"
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  [ -n "${PERDURE_TEST_LONG-}" ] || step=${kill_step-5}
  killed=0
  while :; do
    point=$((point + step))
    rm -rf "$PERDURE_DIR"
    : > "$requests"
    status=0
    (cd "$inputs" && PERDURE_CRASH_AT=$point "$PERDURE" run "${options[@]}" --id job -- "$@") > "$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
    [ "$status" -eq 137 ] || break # it ended before the point
    killed=$((killed + 1))
    answered_keys > "$BATS_TEST_TMPDIR/answered"
    status=0
    (cd "$inputs" && "$PERDURE" run "${options[@]}" --id job -- "$@") > "$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
    count_point
  done
  [ "$killed" -gt "${killed_min-10}" ]
}
