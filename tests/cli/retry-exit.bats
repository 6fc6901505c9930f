# SPDX-License-Identifier: Apache-2.0
# A run that ended with another status than 0 is tried again from what failed: by --retry-exit, or by hand.
bats_require_minimum_version 1.5.0
load domain
load ../crash/servers

setup() {
  set_up_place
  source_root=$(realpath "$BATS_TEST_DIRNAME/../..")
  # What each command does is counted where it lands.
  cat > job.sh <<'SCRIPT'
set -e
trap '/bin/echo bye' EXIT
/bin/sh -c 'echo one >> out'
/bin/sh -c 'echo two >> out; test -e flag'
/bin/sh -c 'echo three >> out'
SCRIPT
}

teardown() {
  stop_servers
}

# failing_server: its port in $port; what came is in web.log. /busy is answered with 503 twice, of /reset the first connection is
# ended without an answer.
failing_server() {
  cat > "$BATS_TEST_TMPDIR/web.py" <<'SCRIPT'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with open("web.log", "a") as log:
            log.write("%s %s %s\n" % (self.command, self.path, self.headers.get("Idempotency-Key")))
        with open("web.log") as log:
            seen = sum(1 for line in log if line.split()[1] == self.path)
        if self.path == "/reset" and seen < 2:
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.send_response(503 if self.path == "/busy" and seen < 3 else 200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")
    do_GET = do_POST = answer
    def log_message(self, *rest):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as ready:
    ready.write("%d\n" % server.server_address[1])
server.serve_forever()
SCRIPT
  mkfifo "$BATS_TEST_TMPDIR/ready"
  /usr/bin/python3 "$BATS_TEST_TMPDIR/web.py" "$BATS_TEST_TMPDIR/ready" 3>&- &
  servers+=($!)
  read -r -t 20 port < "$BATS_TEST_TMPDIR/ready"
}

# A client of its own: asks for each path with a POST, on one connection.
ask() {
  cat > ask.py <<'SCRIPT'
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for path in sys.argv[2:]:
    connection.request("POST", path, "x")
    print(connection.getresponse().read().decode().strip())
SCRIPT
}

@test "resume --from-failure runs the failed command again, and no other before it: bash, dash" {
  for shell in bash dash; do
    rm -f out flag
    run_durable -q --id $shell -- $shell job.sh
    assert_equal "$status" 1
    touch flag
    run --separate-stderr perdure resume --from-failure $shell
    assert_equal "$status" 0
    assert_output bye
    assert_regex "$stderr" "runs again from entry [0-9]+: the command /bin/sh -c 'echo two >> out; test -e flag' \(status 1\), and after it what 1 more command did"
    assert_equal "$(paste -sd' ' out)" 'one two two three'
    run -0 perdure verify --replay -q $shell
    [ "$(perdure log $shell | grep -c 'taken back')" -gt 50 ]
  done
}

@test "killed at any point of it, the run goes on, and the failed command has run again once: bash, dash" {
  local points=12 last point n
  [ -z "${PERDURE_TEST_LONG-}" ] || points=2000
  for shell in bash dash; do
    rm -f out flag
    run_durable -q --id job -- $shell job.sh
    cp -a "$PERDURE_DIR/runs/job" ../failed
    cp out ../out
    touch flag
    run -0 perdure resume -q --from-failure job
    last=$(perdure sql job "select value from meta where key = 'crash_points'")
    for ((n = 1; n <= points && n <= last; n++)); do
      point=$((points < last ? 1 + (last - 1) * (n - 1) / (points - 1) : n))
      rm -rf "$PERDURE_DIR/runs/job"
      cp -a ../failed "$PERDURE_DIR/runs/job"
      cp ../out out
      PERDURE_CRASH_AT=$point run perdure resume -q --no-retry --from-failure job
      assert_equal "$status" 137
      run -0 perdure resume -q job
      assert_equal "$point: $(paste -sd' ' out)" "$point: one two two three"
    done
    rm -rf "$PERDURE_DIR/runs/job" ../failed
  done
}

@test "killed again and again while it goes on: each resume starts from the failed command at most" {
  run_durable -q --id job -- bash job.sh
  touch flag
  PERDURE_CRASH_AT=60 run perdure resume -q --no-retry --from-failure job
  assert_equal "$status" 137
  run --separate-stderr perdure resume --from-failure job
  assert_equal "$status" 125
  assert_regex "$stderr" '^perdure: there is nothing in run job to go back to: it has not ended; go on with it by `perdure resume job`$'
  PERDURE_CRASH_AT=60 run perdure resume -q --no-retry job
  assert_equal "$status" 137
  run -0 perdure resume -q job
  assert_equal "$(paste -sd' ' out)" 'one two two three'
}

@test "--retry-exit tries it again by the policy, live, until it succeeds" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id job --retry-exit --retry max=3,min=1ms -- bash -c '
    /bin/sh -c "echo one >> out"
    /bin/sh -c "echo try >> out; test \$(grep -c try out) = 3" || exit
    /bin/sh -c "echo end >> out"'
  assert_equal "$status" 0
  assert_equal "$(paste -sd' ' out)" 'one try try try end'
  assert_regex "$stderr" 'run job ended with status 1: the command .* failed; attempt 2 of 3 at this place begins in'
  run -0 perdure retries job
  assert_line --index 1 --regexp '^  2  .*  exited with status 1  at call [0-9]+, failure 2 of 3: again after '
  assert_line --index 2 --regexp '^  3  .*  exited with status 0$'
  assert_equal "$(perdure retries job | grep -o 'at call [0-9]*' | sort -u | wc -l)" 1
}

@test "each place of failure has its own count" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id job --retry-exit --retry max=2,min=1ms -- bash -e -c '
    for i in 1 2 3; do /bin/sh -c "echo $i >> out; test \$(grep -c $i out) = 2"; done; exit 0'
  assert_equal "$status" 0
  assert_equal "$(paste -sd' ' out)" '1 1 2 2 3 3'
}

@test "used up, the run has its status, and a person may try again" {
  run_durable --id job --retry-exit --retry max=2,min=1ms -- bash job.sh
  assert_equal "$status" 1
  assert_regex "$stderr" 'failed, the 2. time at this place; `perdure resume --from-failure job` tries it again'
  run -0 perdure status job
  assert_line --regexp '^state: +finished$'
  run_durable -q --id job -- bash job.sh
  assert_equal "$status" 1
  assert_equal "$(paste -sd' ' out)" 'one two two'
  touch flag
  run -0 perdure resume -q --from-failure job
  assert_equal "$(paste -sd' ' out)" 'one two two two three'
}

@test "a wait that was interrupted: the same command tries it again" {
  mkfifo errors
  "$PERDURE" run --id job --retry-exit --retry min=1h -- bash job.sh 2> errors &
  supervisor=$!
  exec 7<> errors
  read -r -t 20 words <&7
  assert_regex "$words" 'attempt 2 of 3 at this place begins in'
  kill -TERM "$(pgrep -P "$supervisor" -f 'run --id job' || echo "$supervisor")"
  await_supervisor
  assert_equal "$status" 143
  touch flag
  run -0 perdure resume -q job
  assert_equal "$(paste -sd' ' out)" 'one two two three'
}

@test "where nothing failed, one line says so, and nothing runs again" {
  run_durable --id job --retry-exit -- bash -c '/bin/true; exit 3'
  assert_equal "$status" 3
  assert_regex "$stderr" '^perdure: run job ended with status 3, and is not tried again: no command, and no request or connection of its own, is what failed last$'
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 1
  run --separate-stderr perdure resume --from-failure job
  assert_equal "$status" 125
  assert_clear_line
  run_durable -q --id good -- true
  run --separate-stderr perdure resume --from-failure good
  assert_equal "$status" 125
  assert_regex "$stderr" 'it ended with status 0; look at `perdure log good`'
}

@test "what somebody ended by a signal is not tried again unasked" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable --id job --retry-exit -- bash -c '/bin/sh -c "echo once >> out; kill -TERM \$\$"; exit $?'
  assert_equal "$status" 143
  assert_equal "$(perdure retries job | grep -vc "^next: ")" 1
  assert_equal "$(cat out)" once
}

@test "a pipeline runs again whole, a subshell from its failed command on, and what was executed last by itself" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id pipe -- bash -c 'set -o pipefail; /bin/sh -c "echo left >> out; seq 9" | /bin/sh -c "cat > /dev/null; echo right >> out; test -e flag"'
  touch flag
  run -0 perdure resume -q --from-failure pipe
  assert_equal "$(sort out | paste -sd' ')" 'left left right right'
  rm out flag
  run_durable -q --id inside -- bash -c '(/bin/sh -c "echo a >> out"; /bin/sh -c "echo b >> out; test -e flag"; exit $?); exit $?'
  touch flag
  run -0 perdure resume -q --from-failure inside
  assert_equal "$(paste -sd' ' out)" 'a b b'
  rm out flag
  run_durable -q --id last -- bash -c '/bin/sh -c "echo a >> out"; exec /bin/sh -c "echo b >> out; test -e flag"'
  touch flag
  run -0 perdure resume -q --from-failure last
  assert_equal "$(paste -sd' ' out)" 'a b b'
}

@test "the files are where the failed command has put them" {
  seq 1000 > a
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id job -- bash -e -c '
    exec 4< a; read -r first <&4
    /bin/sh -c "if test -e a; then mv a b; fi; test -e flag"
    read -r second <&4; echo "$first $second"'
  assert_equal "$status" 1
  touch flag
  run -0 perdure resume -q --from-failure job
  assert_output '1 2'
}

@test "bytes that were read before, and that the failed command has overwritten, are still there" {
  seq 50000 > large
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id job -- bash -e -c '
    sum=$(cksum < large)
    /bin/sh -c "seq 50001 100000 > large; test -e flag"
    echo "$sum"'
  assert_equal "$status" 1
  touch flag
  run -0 perdure resume -q --output again --from-failure job
  assert_output "$(seq 50000 | cksum)"
}

@test "the output of the failed attempt stays, and the rest follows it in a file" {
  # shellcheck disable=SC2016  # the inner shell's
  perdure run -q --id job --retry-exit --retry min=1ms -- bash -e -c '
    /bin/echo one; /bin/sh -c "echo try; echo x >> tries; test \$(wc -l < tries) = 2"; /bin/echo end' > log
  assert_equal "$(paste -sd' ' log)" 'one try try end'
}

@test "a request that failed is sent again with its key, by curl itself" {
  failing_server
  run_durable --id job --retry-exit --retry max=3,min=1ms -- curl -sS -f -d x=1 "http://127.0.0.1:$port/first" "http://127.0.0.1:$port/busy"
  assert_equal "$status" 0
  assert_regex "$stderr" 'the request curl_easy_perform\("POST", "http://127.0.0.1:[0-9]+/busy"\) \(.* 22\) failed; attempt 2 of 3'
  assert_equal "$(cut -d' ' -f1,2 web.log | paste -sd,)" 'POST /first,POST /busy,POST /busy,POST /busy'
  assert_equal "$(cut -d' ' -f3 web.log | sort -u | wc -l)" 2
  # The two that failed are forgotten, and are still shown.
  assert_equal "$(perdure http --json job | jq -c '[.[] | [.status, .taken_back]]')" '[[200,false],[503,true],[503,true],[200,false]]'
  assert_equal "$(perdure http job | grep -c '/busy  \[taken back\]$')" 2
}

@test "with --not-idempotent a request whose outcome is unknown is not sent again" {
  failing_server
  run_durable --id job --not-idempotent --retry-exit -- curl -sS -d x=1 "http://127.0.0.1:$port/reset"
  assert_equal "$status" 52
  assert_regex "$stderr" 'is not tried again: it had begun remote changes, and is not to repeat any'
  assert_equal "$(wc -l < web.log)" 1
}

@test "a connection that broke before an answer is made again; after one it is not" {
  failing_server
  ask
  run_durable --id job --retry-exit --retry min=1ms -- /usr/bin/python3 ask.py "$port" /reset
  assert_equal "$status" 0
  assert_output ok
  assert_regex "$stderr" 'the connection connect\(3, 127.0.0.1:[0-9]+, 16\) \(Connection reset by peer\) failed'
  rm web.log
  run_durable --id other --retry-exit -- /usr/bin/python3 ask.py "$port" /first /reset
  assert_equal "$status" 1
  assert_regex "$stderr" 'is not tried again: the connection that broke had brought answers before'
  assert_equal "$(cut -d' ' -f2 web.log | paste -sd' ')" '/first /reset'
}

@test "what others have sent meanwhile is not sent again unasked" {
  failing_server
  cat > both.py <<SCRIPT
import http.client, subprocess, sys
failed = subprocess.run(["/bin/sh", "-c", "echo try >> out; exit 4"]).returncode
connection = http.client.HTTPConnection("127.0.0.1", $port)
connection.request("POST", "/report", "x")
connection.getresponse().read()
sys.exit(failed)
SCRIPT
  run_durable --id job --retry-exit -- /usr/bin/python3 both.py
  assert_equal "$status" 4
  assert_regex "$stderr" 'is not tried again: others have made remote changes since, which would be made twice'
  assert_equal "$(wc -l < web.log)" 1
  run --separate-stderr perdure resume --from-failure job
  assert_equal "$status" 4
  assert_regex "$stderr" 'with [0-9]+ remote changes of others'
  assert_equal "$(wc -l < web.log) $(wc -l < out)" '2 2'
}

@test "an atomic region that has ended stays done; one that is open at the exit runs again itself" {
  cat > region.py <<SCRIPT
import subprocess, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$source_root/control-api")
import perdure
region = perdure.atomically()
region.begin()
open("made", "a").write("x")
failed = subprocess.run(["/bin/sh", "-c", "echo try >> out; test -e flag"]).returncode
if sys.argv[1] == "ended":
    region.end()
if failed:
    sys.exit(failed)
if sys.argv[1] != "ended":
    region.end()
SCRIPT
  run_durable --id ended --retry-exit -- /usr/bin/python3 region.py ended
  assert_equal "$status" 1
  assert_regex "$stderr" 'is not tried again: what failed lies in an atomic region that has ended, and stays done'
  rm made out
  run_durable -q --id open -- /usr/bin/python3 region.py open
  assert_equal "$status" 1
  touch flag
  run -0 perdure resume -q --from-failure open
  assert_equal "$(cat made)" x
}
