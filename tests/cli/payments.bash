# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Ten payments to a server that keeps a ledger: what a run does to the world, counted where it lands.

# A server that writes a line for each request that it executes, into $effects.
start_counting() {
  mkfifo "$BATS_TEST_TMPDIR/port"
  effects="$BATS_TEST_TMPDIR/effects"
  : > "$effects"
  cat > "$BATS_TEST_TMPDIR/server.py" <<'SCRIPT'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(sys.argv[2], "a") as effects:
            effects.write(f"{body} {self.headers['Idempotency-Key']}\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *ignored):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as port:
    port.write(f"{server.server_port}\n")
server.serve_forever()
SCRIPT
  python3 "$BATS_TEST_TMPDIR/server.py" "$BATS_TEST_TMPDIR/port" "$effects" 3>&- &
  counting=$!
  read -r counting_port < "$BATS_TEST_TMPDIR/port"
}

# Ten payments, one behind the other; the fourth waits until the FIFO `go` has a writer, when it is there.
write_payments() {
  start_counting
  cat > pay.sh <<SCRIPT
for n in 1 2 3 4 5 6 7 8 9 10; do
  curl -sS -d "n=\$n" http://127.0.0.1:$counting_port/
  [ "\$n" != 3 ] || [ ! -p go ] || { echo > up; read -r _ < go; }
done
SCRIPT
}

# Each payment has been asked for, and with one key.
assert_paid_once() {
  assert_equal "$(sort -u "$effects" | wc -l)" 10
  assert_equal "$(cut -d' ' -f1 "$effects" | sort -u | wc -l)" 10
}

# The last one whose answer the other store did not have yet, and no other, was asked for again.
assert_only_the_last_again() {
  run bash -c "sort $effects | uniq -d | cut -d' ' -f1"
  [ -z "$output" ] || assert_output n=3
}

# start_payments OPTION...: on the first machine, up to behind the third payment. $supervisor, the leader of its group.
start_payments() {
  mkfifo up go
  setsid "$PERDURE_ITSELF" run --id job --store "$store" "$@" -- bash pay.sh > out 2> err 3>&- &
  supervisor=$!
  read -t 20 -r _ < up
}

on_another_machine() {
  PERDURE_DIR="$BATS_TEST_TMPDIR/elsewhere" "$PERDURE" "$@"
}
