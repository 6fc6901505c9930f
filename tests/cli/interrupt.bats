# SPDX-License-Identifier: Apache-2.0
# A run that is live is asked to stop, and goes on later. Nobody else is.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
}

@test "an interrupted run has ended with all that it started, and goes on where it was" {
  mkfifo up go
  # What the program does about signals plays no part, and a child has a session of its own.
  # shellcheck disable=SC2016  # the inner shells'
  "$PERDURE" run --id job --retry max=5,min=1ms -- /bin/sh -c 'trap "" INT TERM HUP
    setsid /bin/sh -c "echo \$\$ > up; exec tail -f /dev/null" &
    echo once >> out; read word < go; echo "$word" >> out; exit 7' 2> said &
  supervisor=$!
  read -t 10 -r child <> up
  timeout 10 sh -c 'until [ -s out ]; do :; done'
  shell=$(pgrep -P "$supervisor" -x sh)
  run -0 --separate-stderr perdure interrupt job
  # shellcheck disable=SC2016  # no command
  assert_regex "$output" '^job: interrupted after [0-9]+ entries; `perdure resume job` goes on with it$'
  await_supervisor
  assert_equal "$status" 130
  assert_regex "$(cat said)" 'run job was interrupted after [0-9]+ entries; the same command goes on with it$'
  await_death "$shell"
  await_death "$child"
  run -0 perdure status job
  assert_line --regexp '^state: +unfinished'
  assert_equal "$(perdure retries job | awk 'NR == 1 { print $4, $5 }')" 'interrupted '
  assert_regex "$(perdure log job | tail -n 1)" '^[0-9:.]+ attempt 1: interrupted$'
  "$PERDURE" resume -q job &
  supervisor=$!
  echo again > go
  timeout 10 sh -c 'until grep -q again out; do :; done'
  # The program may have ended by now; what it has left has not.
  run -0 perdure interrupt job
  assert_output --partial 'job: interrupted after'
  await_supervisor
  assert_equal "$status" 130
  # Nothing of the tree lives.
  flock -n "$PERDURE_DIR/runs/job/lock" true
  assert_equal "$(cat out)" "$(printf 'once\nagain')"
}

@test "an attempt that is interrupted before it ends is not tried again, and one that has ended is finished" {
  start_waiting_run job
  run -0 perdure interrupt job
  await_supervisor
  assert_equal "$status" 130
  await_death "$program"
  rm up go
  mkfifo up go
  "$PERDURE" resume -q job &
  supervisor=$!
  let_go
  await_supervisor
  assert_equal "$status" 7
  assert_equal "$(perdure sql job "select group_concat(ended) from attempt")" interrupted,exited
}

@test "a stopped job is interrupted too" {
  start_waiting_run job
  kill -STOP "$supervisor"
  # shellcheck disable=SC2016  # the inner shell's
  timeout 10 sh -c 'until grep -q "^State:.T" "/proc/$1/status"; do :; done' - "$supervisor"
  run -0 perdure interrupt job
  await_supervisor
  assert_equal "$status" 130
  await_death "$program"
}

@test "a run that waits for its next attempt is interrupted, and stays as it is" {
  mkfifo errors
  # shellcheck disable=SC2016  # the inner shell's
  "$PERDURE" run --id job --retry max=3,min=1h -- /bin/sh -c 'kill -9 $$' 2> errors &
  supervisor=$!
  exec 7<> errors
  read -t 10 -r words <&7
  assert_regex "$words" 'attempt 2 of 3 at this place begins in'
  run perdure interrupt job
  assert_output --regexp '^job: interrupted after'
  await_supervisor
  assert_equal "$status" 130
  read -t 10 -r words <&7
  assert_regex "$words" 'run job: interrupted while it waited; the same command goes on with it'
  assert_equal "$(perdure sql job 'select count(*) from attempt')" 1
}

@test "a run that does not run is refused in one line" {
  crash_at 9 --id dead -- /bin/sh -c 'echo hello > file'
  perdure run -q --id over -- true
  for id in dead over; do
    run --separate-stderr -125 perdure interrupt $id
    assert_clear_line
    assert_regex "$stderr" "run $id does not run"
  done
  run --separate-stderr -125 perdure interrupt nobody
  assert_clear_line
}

# hold_owner PID: a process that holds the lock of run `job`, and says there that PID does; $holder.
hold_owner() {
  mkfifo held release
  python3 - "$PERDURE_DIR/runs/job/owner" "$1" 3>&- << 'END' &
import fcntl, os, struct, sys, time
owner = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.fcntl(owner, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
pid = os.getpid() if sys.argv[2] == "itself" else int(sys.argv[2])
os.pwrite(owner, b"%-10d\n" % pid, 0)
with open("held", "w") as held:
    held.write(f"{os.getpid()}\n")
os.read(os.open("release", os.O_RDONLY), 1)
END
  read -t 10 -r holder <> held
}

@test "a process that only works on the run gets no signal" {
  perdure run -q --id job -- true
  hold_owner itself
  run --separate-stderr -125 perdure interrupt job
  assert_clear_line
  assert_regex "$stderr" "process $holder works on it, and supervises no program of it"
  kill -0 "$holder"
  echo > release
  await_death "$holder"
}

@test "a process that has the supervisor's number, and not its lock, gets no signal" {
  perdure run -q --id job -- true
  tail -f /dev/null 3>&- &
  innocent=$!
  hold_owner "$innocent"
  run --separate-stderr -125 perdure interrupt job
  assert_clear_line
  kill -0 "$innocent"
  kill "$innocent"
  echo > release
  await_death "$holder"
}
