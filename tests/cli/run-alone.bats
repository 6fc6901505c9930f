#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Never two attempts at once, and nothing survives its supervisor.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

@test "a second perdure of a live run fails at once, and names the first" {
  start_waiting_run job
  for command in "run --id job -- true" "resume job" "rm job"; do
    # shellcheck disable=SC2086  # words
    run --separate-stderr -125 perdure $command
    assert_clear_line
    assert_regex "$stderr" "process $supervisor"
  done
  run -0 perdure status job
  assert_line --regexp "^state: +running"
  assert_line --regexp "process $supervisor"
  let_go
  await_supervisor
  assert_equal "$status" 7
}

@test "of many that start the same run together, one runs the program" {
  for i in 1 2 3 4 5 6 7 8; do
    "$PERDURE" run -q --id job -- /bin/sh -c 'echo ran >> out' 2> "err$i" &
  done
  wait
  assert_equal "$(cat out)" ran
}

@test "killed supervisor: the program dies with it" {
  start_waiting_run job
  kill -9 "$supervisor"
  await_death "$program"
  await_supervisor
  assert_equal "$status" 137
  run -0 perdure status job
  assert_line --regexp "^state: +unfinished"
}

@test "what an earlier attempt has left alive is ended before the next one, and that is said" {
  mkfifo up
  # A child in a session of its own outlives program and supervisor.
  # shellcheck disable=SC2016  # the inner shells'
  "$PERDURE" run -q --id job -- /bin/sh -c 'setsid /bin/sh -c "echo \$\$ > up; exec tail -f /dev/null" & wait' &
  supervisor=$!
  read -t 10 -r orphan <> up
  kill -9 "$supervisor"
  await_supervisor
  kill -0 "$orphan"
  run --separate-stderr perdure rm job
  assert_success
  await_death "$orphan"
  assert_not_exist "$PERDURE_DIR/runs/job"
}

@test "a daemon of a finished run is left alone when the run starts anew or is removed" {
  mkfifo up
  # shellcheck disable=SC2016  # the inner shells'
  printf '%s\n' 'setsid /bin/sh -c "echo \$\$ > up; exec tail -f /dev/null" > /dev/null 2>&1 &' > job
  "$PERDURE" run -q -- /bin/sh job &
  supervisor=$!
  read -t 10 -r daemon <> up
  await_supervisor
  assert_equal "$status" 0
  id=$(perdure ls --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')
  perdure rm "$id"
  kill -0 "$daemon"
  kill "$daemon"
  await_death "$daemon"
}

@test "rm removes a finished run and all of it" {
  run_durable --id job -- true
  perdure rm job
  assert_not_exist "$PERDURE_DIR/runs/job"
  run -0 perdure ls
  assert_output ""
}

@test "rm of several runs removes those that it can" {
  run_durable --id one -- true
  run_durable --id three -- true
  run --separate-stderr -125 perdure rm one two three
  assert_clear_line
  run -0 perdure ls
  assert_output ""
}
