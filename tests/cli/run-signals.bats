#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The program keeps its signals and its job control.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

# start_trapping_run: a program that writes the names of the signals that it gets, and ends at TERM.
start_trapping_run() {
  mkfifo up
  cat > trapping.py <<'SCRIPT'
import os, signal, sys
names = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTERM]
signal.pthread_sigmask(signal.SIG_BLOCK, names)
with open("up", "w") as up:
    up.write(f"{os.getpid()}\n")
while True:
    got = signal.sigwait(names)
    with open("up", "w") as up:
        up.write(f"{got.name}\n")
    if got == signal.SIGTERM:
        sys.exit(9)
SCRIPT
  "$PERDURE" run -q --id job -- /usr/bin/python3 trapping.py &
  supervisor=$!
  read -t 10 -r program <> up
}

@test "signals that are sent to perdure reach the program, which decides" {
  start_trapping_run
  for name in HUP USR1 USR2 WINCH TERM; do
    kill -s "$name" "$supervisor"
    read -t 10 -r got <> up
    assert_equal "$got" "SIG$name"
  done
  await_supervisor
  assert_equal "$status" 9
}

# A pseudo-terminal with perdure in the foreground; types, and says what came.
on_terminal() {
  cat > terminal.py <<'SCRIPT'
import os, pty, signal, sys, termios
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
def until(text):
    seen = b""
    def late(number, frame):
        sys.exit(f"waited for {text}, and saw {seen}")
    signal.signal(signal.SIGTERM, late)
    while text not in seen:
        seen += os.read(master, 1024)
    return seen
exec(open("script.py").read())
_, status = os.waitpid(pid, 0)
print("exit", os.waitstatus_to_exitcode(status))
SCRIPT
  timeout 20 python3 terminal.py "$@"
}

@test "Ctrl-C reaches the program once, and perdure waits for what it does" {
  cat > job.py <<'SCRIPT'
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
again = signal.sigtimedwait([signal.SIGINT], 0.2)
print("twice" if again else "once", flush=True)
sys.exit(4)
SCRIPT
  cat > script.py <<'SCRIPT'
until(b"ready")
os.write(master, b"\x03")
print("once" if b"once" in until(b"ce\r\n") else "twice")
SCRIPT
  run on_terminal "$PERDURE" run -q -- /usr/bin/python3 job.py
  assert_line once
  assert_line "exit 4"
}

@test "a program that is stopped stops perdure, and SIGCONT to perdure goes on with both" {
  mkfifo up go
  cat > parent.py <<'SCRIPT'
import os, signal, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
with open("up") as up:
    program = int(up.readline())
os.kill(program, signal.SIGSTOP)
_, status = os.waitpid(pid, os.WUNTRACED)
print("stopped", os.WIFSTOPPED(status))
os.kill(pid, signal.SIGCONT)
with open("go", "w") as go:
    go.write("on\n")
_, status = os.waitpid(pid, 0)
print("exit", os.waitstatus_to_exitcode(status))
SCRIPT
  # shellcheck disable=SC2016  # the inner shell's
  run timeout 20 python3 parent.py "$PERDURE" run -q --id job -- /bin/sh -c 'echo $$ > up; read line < go; exit 5'
  assert_line "stopped True"
  assert_line "exit 5"
}

@test "a signal ends the wait that it comes shortly before" {
  run_durable -q -- "$(dirname "$PERDURE_ITSELF")/tests/programs/signals_before_waits" 4000
  assert_equal "$stderr" ""
  assert_equal "$status" 0
}

@test "an orphan that comes to perdure is reaped, and does not end the run" {
  run_durable -q -- /bin/sh -c '(true & ) ; (true &) ; echo "done"'
  assert_equal "$status" 0
  assert_output "done"
}

@test "Ctrl-Z stops the job for its shell, fg goes on with it, and Ctrl-C ends it" {
  cat > job.py <<'SCRIPT'
import sys
print("ready", flush=True)
sys.stdin.readline()
print("went on", flush=True)
sys.stdin.readline()
SCRIPT
  cat > script.py <<'SCRIPT'
# Not as its echo shows it: the prompt itself is waited for.
os.write(master, b"PS1='shell''> '; set -m\n")
until(b"shell> ")
os.write(master, b"'" + os.environ["COMMAND"].encode() + b"' run -q --id job -- /usr/bin/python3 job.py\n")
until(b"ready\r\n")
os.write(master, b"\x1a")
print("stopped" if b"Stopped" in until(b"shell> ") else "not stopped")
os.write(master, b"jobs\n")
print("one job" if until(b"shell> ").count(b"Stopped") == 1 else "other jobs")
os.write(master, b"fg\n")
until(b"job.py\r\n")
os.write(master, b"\n")
until(b"went on\r\n")
os.write(master, b"\x03")
until(b"shell> ")
os.write(master, b"echo status $?\n")
print("interrupted" if b"status 130" in until(b"shell> ") else "not interrupted")
os.write(master, b"exit 6\n")
SCRIPT
  COMMAND=$PERDURE run on_terminal /bin/bash --norc --noprofile -i
  assert_line stopped
  assert_line "one job"
  assert_line interrupted
  assert_line "exit 6"
}

@test "a signal to a child that has hardly begun is not lost, nor one that comes while it executes a program" {
  # On one processor a child begins when its parent waits, or is interrupted.
  for where in "taskset -c 0" env; do
    run_durable -q --id job -- $where "$(dirname "$PERDURE_ITSELF")/tests/programs/signals_to_children" 200
    assert_equal "$stderr" ""
    assert_equal "$status" 0
    perdure rm job
  done
}
