# SPDX-License-Identifier: Apache-2.0
# Programs with sockets of their own, clients and servers, killed at their kill points; and what the other side
# has got.
bats_require_minimum_version 1.5.0
load sweeps
load servers

setup() {
  check_options=()
  set_up_inputs
  rm -r "$inputs"
  mkdir "$inputs"
  programs=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
}

teardown() {
  stop_servers
}

# ---- clients ----

@test "a TCP client that connects again when its connection breaks" {
  start_echo_server
  assert_survives "$programs/stream_client" "$port"
}

@test "the same by a UNIX socket" {
  start_echo_server
  assert_survives "$programs/stream_client" "$echo_path"
}

@test "threads, each with a connection" {
  start_echo_server
  assert_survives "$programs/threaded_client" "$port"
}

@test "a broken pipe's signal comes again where it came" {
  start_echo_server
  assert_survives "$programs/broken_pipe" "$port"
}

@test "UDP, and datagrams by a path" {
  sweep_points=80
  start_echo_server
  assert_survives "$programs/datagrams" "$port"
}

@test "descriptors passed in messages" {
  assert_survives "$programs/passing_descriptors"
}

@test "names looked up by getaddrinfo, in files, by netlink, from a name server" {
  sweep_points=40
  start_echo_server
  assert_survives "$programs/lookup" 127.0.0.1 "$port"
}

# ---- servers ----

@test "a TCP server, one connection at a time" {
  start_line_client "$(free_port)"
  assert_survives "$programs/line_server" "$line_address" plain
}

@test "a TCP server with an epoll set" {
  start_line_client "$(free_port)"
  assert_survives "$programs/line_server" "$line_address" epoll
}

@test "a UNIX server, one connection at a time" {
  start_line_client "$BATS_TEST_TMPDIR/line.sock"
  assert_survives "$programs/line_server" "$line_address" plain
}

@test "a UNIX server with an epoll set" {
  start_line_client "$BATS_TEST_TMPDIR/line.sock"
  assert_survives "$programs/line_server" "$line_address" epoll
}

@test "python3's HTTP server" {
  local address
  address=$(free_port)
  sweep_points=60
  cat > "$inputs/server.py" << 'END'
import http.server, sys
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        if self.path == "/%d" % count:
            with open("log", "a") as log:
                log.write("number %d\n" % count)
            count += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d\n" % count)
    def log_message(self, *args):
        pass
class Server(http.server.HTTPServer):
    def handle_error(self, request, address):
        pass # a client that is gone
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
while count < 5:
    server.handle_request()
print("served", count)
END
  cat > "$BATS_TEST_TMPDIR/client.py" << 'END'
import http.client, sys, time
number = -1
while True:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
        connection.request("GET", "/%d" % number)
        number = int(connection.getresponse().read())
        connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        number = -1
        time.sleep(0.002) # nobody is there
END
  /usr/bin/python3 "$BATS_TEST_TMPDIR/client.py" "$address" 3>&- &
  servers+=($!)
  assert_survives /usr/bin/python3 server.py "$address"
}

@test "a server that was given a free port has the same one after a crash, though others were connected" {
  # No SO_REUSEADDR: the connections of the killed server hold the port for a while.
  cat > "$inputs/server.py" << 'END'
import socket
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print("port", listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
print("connected", flush=True)
try:
    connection.recv(1)
except ConnectionResetError:
    print("reset", flush=True)
print("port", listener.getsockname()[1], flush=True)
END
  mkfifo "$BATS_TEST_TMPDIR/told"
  (cd "$inputs" && exec "$PERDURE" run --id job -- /usr/bin/python3 server.py) > "$BATS_TEST_TMPDIR/told" 3>&- &
  local supervisor=$! word number
  exec 5< "$BATS_TEST_TMPDIR/told"
  read -r word number <&5
  assert_equal "$word" port
  exec 6<> "/dev/tcp/127.0.0.1/$number"
  read -r word <&5
  assert_equal "$word" connected
  kill -9 "$supervisor"
  wait "$supervisor" || true
  exec 6>&- 5<&-
  run --separate-stderr "$PERDURE" resume --output again job
  assert_success
  assert_output "port $number
connected
reset
port $number"
}

# ---- what the other side has got ----

# at_every_point [OPTION...] -- COMMAND...: runs it, killed at point 1, 1 + step, ... and resumed; calls
# look after each, with the exit status in $status and what the resumed run said in $said.
at_every_point() {
  local options=() point=1
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  [ -z "${PERDURE_TEST_LONG-}" ] || step=1
  killed=0
  said="$BATS_TEST_TMPDIR/said"
  while :; do
    rm -rf "$PERDURE_DIR"
    : > "$echo_log"
    (cd "$inputs" && PERDURE_CRASH_AT=$point "$PERDURE" run "${options[@]}" --id job -- "$@") > "$said" 2>&1 && break
    killed=$((killed + 1))
    status=0
    (cd "$inputs" && "$PERDURE" run "${options[@]}" --id job -- "$@") > "$said" 2>&1 || status=$?
    look
    point=$((point + step))
  done
  [ "$killed" -gt 10 ]
}

@test "not idempotent: nothing is sent twice; where nobody knows, the run stops with 121 and names what was sent" {
  local stopped=0 through=0
  start_echo_server
  look() {
    if [ "$status" -eq 121 ]; then
      stopped=$((stopped + 1))
      assert_regex "$(cat "$said")" 'nobody can tell (whether entry [0-9]+ happened|what came of entry [0-9]+).*(send|write|splice)'
      # It stays so.
      run --separate-stderr "$PERDURE" resume job
      assert_failure 121
    else
      assert_equal "$status" 0
      through=$((through + 1))
    fi
    assert_equal "$(sort "$echo_log" | uniq -d)" ""
  }
  step=1 at_every_point --not-idempotent -- "$programs/stream_client" "$port"
  # One between the intent and the outcome of each of nine questions, at least.
  [ "$stopped" -ge 18 ]
  [ "$through" -gt 40 ]
}

may_bind_port_53() {
  [ "$(id -u)" -eq 0 ] || [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -le 53 ]
}

@test "not idempotent: a question to a name server is asked again" {
  may_bind_port_53 || skip "nobody but root may have port 53 here"
  start_echo_server 127.53.0.1
  look() {
    assert_equal "$status" 0
  }
  step=5 at_every_point --not-idempotent -- "$programs/lookup" 127.53.0.1 53
}

@test "an answered question is not sent again" {
  start_echo_server
  look() {
    assert_equal "$status" 0
    # At most the one whose answer the program had not got is there twice.
    [ "$(sort "$echo_log" | uniq -d | wc -l)" -le 1 ]
    assert_equal "$(sort -u "$echo_log" | wc -l)" 9
  }
  step=3 at_every_point -- "$programs/stream_client" "$port"
}

# ---- programs ----

@test "python3's http.client in a retry loop" {
  sweep_points=60
  start_counting_server
  cat > "$inputs/client.py" << 'END'
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
def ask(number, method, path, body=None):
    for attempt in range(6):
        try:
            connection.request(method, path, body, {"Idempotency-Key": "number-%d" % number})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (ConnectionError, http.client.HTTPException):
            connection.close()
    raise SystemExit("gave up")
for number in range(3):
    print(number, *ask(number, "POST", "/post", b"number=%d" % number))
    print(len(ask(number + 10, "GET", "/bytes/40000")[1]))
END
  assert_survives /usr/bin/python3 client.py "$port"
}

@test "python3's urllib by https" {
  sweep_points=60
  start_tls_server
  cat > "$inputs/client.py" << 'END'
import http.client, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
def fetch(url):
    for attempt in range(6):
        try:
            with urllib.request.urlopen(url, context=context, timeout=20) as answer:
                return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            pass
    raise SystemExit("gave up")
for name in ("small", "large", "small"):
    status, body = fetch("https://localhost:%s/%s" % (sys.argv[1], name))
    print(name, status, len(body))
END
  assert_survives /usr/bin/python3 client.py "$port" "$tls_certificate"
}

@test "wget, which tries again by itself" {
  sweep_points=60
  start_counting_server
  assert_survives wget -q -O out "http://127.0.0.1:$port/bytes/50000"
}

# assert_replays COMMAND...: it runs, and a replay makes the very same calls.
assert_replays() {
  (cd "$inputs" && "$PERDURE" run --id job -- "$@") > "$BATS_TEST_TMPDIR/said" 2> "$BATS_TEST_TMPDIR/stderr"
  run "$PERDURE" verify --replay job
  assert_success
  assert_output --partial 'every call came again as it is recorded'
}

@test "wget by https replays, TLS and all" {
  start_tls_server
  assert_replays wget -q --ca-certificate="$tls_certificate" -O out "https://localhost:$port/large"
  assert_equal "$(wc -c < "$inputs/out")" 40000
}

@test "wget by https, until it gets an answer" {
  sweep_points=40
  start_tls_server
  # It does not try again itself when a connection breaks before there is TLS.
  # shellcheck disable=SC2016  # the inner shell's
  assert_survives sh -c 'until wget -q --waitretry=0 --ca-certificate="$1" -O out "https://localhost:$0/small"; do :; done' \
    "$port" "$tls_certificate"
}

@test "openssl s_client, until it gets an answer" {
  sweep_points=40
  start_tls_server
  printf 'GET /small HTTP/1.0\r\n\r\n' > "$inputs/request"
  cat > "$inputs/ask.sh" << 'END'
until openssl s_client -connect "localhost:$1" -CAfile "$2" -ign_eof -quiet < request > answer 2> said &&
  grep -q '^small$' answer; do :; done
rm said
cat answer
END
  assert_survives sh ask.sh "$port" "$tls_certificate"
}

@test "openssl s_client replays" {
  start_tls_server
  printf 'GET /small HTTP/1.0\r\n\r\n' > "$inputs/request"
  # shellcheck disable=SC2016  # the inner shell's
  assert_replays sh -c 'exec openssl s_client -connect localhost:"$0" -CAfile "$1" -ign_eof -quiet < request' \
    "$port" "$tls_certificate"
  assert_equal "$(tail -n 1 "$BATS_TEST_TMPDIR/said")" small
}

@test "redis-cli: no command is executed twice, and a lost one is said" {
  start_redis_server
  for number in 1 2 3 4 5 6; do echo "INCR counter"; done > "$inputs/commands"
  local echo_log="$BATS_TEST_TMPDIR/unused"
  look() {
    local executed
    assert_equal "$status" 0
    executed=$(redis-cli -p "$port" GETDEL counter)
    # It loses what it sends into a broken connection, and says so; it does not send it again.
    [ "${executed:-0}" -le 6 ]
    [ "${executed:-0}" -eq 6 ] || grep -q '^Error: ' "$said"
  }
  # shellcheck disable=SC2016  # the inner shell's
  step=7 at_every_point -- sh -c 'exec redis-cli -p "$0" < commands' "$port"
}
