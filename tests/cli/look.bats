#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Looking at runs: ls, status, log, show, sql, verify.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

@test "ls lists the runs from the oldest on, with state, attempts, entries and command" {
  perdure run --id b -- /bin/sh -c 'exit 0' 'a b'
  perdure run --id a -- true
  crash_at 1 --id c -- true
  run -0 perdure ls
  assert_line --index 0 --regexp '^ID +STATE +ATTEMPTS +ENTRIES +BEGAN +COMMAND$'
  assert_line --index 1 --regexp "^b +finished +1 +[0-9]+ +.* /bin/sh -c 'exit 0' 'a b'$"
  assert_line --index 2 --regexp '^a +finished +1 +[0-9]+ '
  assert_line --index 3 --regexp '^c +unfinished +1 +[0-9]+ '
}

@test "a store that cannot be read does not hide the other runs" {
  perdure run --id good -- true
  perdure run --id bad -- true
  echo nonsense > "$PERDURE_DIR/runs/bad/run.db"
  run --separate-stderr -125 perdure ls
  assert_line --regexp '^good '
  assert_regex "$stderr" '^perdure: '
}

@test "status --json and ls --json are JSON, and say the same" {
  perdure run --id job -- /bin/sh -c 'exit 3' $'odd "\n\xff' || true
  assert_equal "$(perdure status --json job | python3 -c '
import json, sys
run = json.load(sys.stdin)
print(run["id"], run["state"], run["live"], run["exit_status"], run["attempts"])')" "job finished False 3 1"
  assert_equal "$(perdure ls --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0])')" \
    "$(perdure status --json job | python3 -c 'import json, sys; print(json.load(sys.stdin))')"
}

@test "log prints every entry once, in order, and --json each as an object" {
  perdure run --id job -- /bin/sh -c 'echo hello > file'
  run -0 perdure log job
  entries=${#lines[@]}
  assert_line --partial 'write(1, "hello\n", 6)'
  assert_line --regexp '#1 \[0\] attempt 1 begins'
  perdure log --json job | python3 -c '
import json, sys
assert [json.loads(line)["seq"] for line in sys.stdin] == list(range(1, int(sys.argv[1]) + 1))' "$entries"
  assert_equal "$(perdure sql job 'select count(*) from entries')" "$entries"
}

@test "log shows also what a crash has left in the tail" {
  crash_at 20 --id job -- /bin/sh -c 'echo hello > file; echo more > other'
  left=$(perdure log job)
  assert_regex "$left" 'a program begins'
  last=$(wc -l <<< "$left")
  run -0 perdure show job "$last"
  run --separate-stderr -125 perdure show job $((last + 1))
  assert_clear_line
  # Going on moves it to the store, with the same numbers.
  perdure resume -q job
  assert_equal "$(perdure log job | head -n "$last")" "$left"
}

@test "log --stream prints one stream alone" {
  perdure run --id job -- true
  assert_equal "$(perdure log --stream 0 job)" "$(perdure log job)"
  assert_equal "$(perdure log --stream 99 job)" ""
}

@test "log --follow prints what comes while the run is live, and ends with it" {
  start_waiting_run job
  "$PERDURE" log --follow job > followed &
  follower=$!
  let_go
  await_supervisor
  await_death "$follower"
  assert_equal "$(cat followed)" "$(perdure log job)"
  assert_regex "$(tail -n 1 followed)" 'ends with status 7'
}

@test "show prints an entry's arguments and segments" {
  perdure run --id job -- /bin/sh -c 'echo hello > file'
  seq=$(perdure log job | sed -n 's/.*#\([0-9]*\) .*openat(AT_FDCWD, "file".*/\1/p')
  run -0 perdure show job "$seq"
  assert_line --regexp 'kind intent, stream 0, call 257 openat'
  assert_line --regexp '^ +argument 1: '
  assert_line --regexp 'path of argument 1, 4 bytes'
  assert_line --partial "$PWD/file"
}

@test "sql prints columns separated by |, with -H their names, with --json objects; and changes nothing" {
  perdure run --id job -- true
  run -0 perdure sql job "select 1 as one, 'two|', null; select 3"
  assert_output $'1|two||\n3'
  run -0 perdure sql -H job "select 1 as one, 2 as two"
  assert_output $'one|two\n1|2'
  run -0 perdure sql --json job "select 1 as one, 'a\"b' as two, null as three"
  assert_output '[{"one":1,"two":"a\"b","three":null}]'
  run -0 perdure sql --json job "select 1 where 0"
  assert_output '[]'
  for query in "delete from meta" "select nonsense" "drop table chunk"; do
    run --separate-stderr -125 perdure sql job "$query"
    assert_clear_line
  done
  run -0 perdure verify job
}

@test "verify finds nothing in a good journal, and a changed byte in a bad one" {
  perdure run --id job -- /bin/sh -c 'echo hello > file'
  run -0 perdure verify job
  assert_output --regexp '^job: [0-9]+ entries, no defect$'
  python3 - "$PERDURE_DIR/runs/job/run.db" <<'SCRIPT'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as store:
    seq, data = store.execute("select first_seq, bytes from chunk order by first_seq limit 1").fetchone()
    data = bytearray(data)
    data[30] ^= 1
    store.execute("update chunk set bytes = ? where first_seq = ?", (bytes(data), seq))
SCRIPT
  run -1 perdure verify job
  assert_line --regexp '^job: .*[0-9]+'
}

@test "verify --replay makes every call of a finished run again, changes nothing, and says so" {
  perdure run --id job -- /bin/sh -c 'echo hello > file; read x < file; echo "$x"' > said
  rm file said
  run --separate-stderr -0 perdure verify --replay job
  assert_output "job: every call came again as it is recorded"
  assert_not_exist file
  for name in tail feed kept; do
    assert_not_exist "$PERDURE_DIR/runs/job/$name"
  done
  run -0 perdure verify job
}

@test "with --replayable, verify --replay also replays what has cut and removed files that it had read" {
  for option in "" --replayable; do
    seq 30000 > input
    seq 5 40000 > other
    # shellcheck disable=SC2086  # none is no argument
    perdure run -q $option --id "job$option" -- /usr/bin/python3 -c '
import os
data = open("input").read()
os.truncate("input", 10)
other = open("other").read()
os.remove("other")
print(len(data), len(other))'
  done
  run --separate-stderr -1 perdure verify --replay job
  assert_regex "$stderr" '`perdure run --replayable` keeps it longer'
  kept=$(ls -R "$PERDURE_DIR/runs/job--replayable")
  for _ in once twice; do
    run -0 perdure verify --replay job--replayable
    assert_output "job--replayable: every call came again as it is recorded"
    assert_equal "$(ls -R "$PERDURE_DIR/runs/job--replayable")" "$kept"
  done
}

@test "verify --replay refuses a run that has not finished" {
  crash_at 5 --id job -- /bin/sh -c 'echo hello > file'
  run --separate-stderr -125 perdure verify --replay job
  assert_clear_line
}
