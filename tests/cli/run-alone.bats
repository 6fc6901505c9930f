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

@test "a daemon that outlives the program keeps the run open until it ends" {
  mkfifo up
  # shellcheck disable=SC2016  # the inner shells'
  printf '%s\n' 'setsid /bin/sh -c "echo \$\$ > up; exec tail -f /dev/null" > /dev/null 2>&1 &' 'exit 3' > job
  "$PERDURE" run -q --id job -- /bin/sh job &
  supervisor=$!
  read -t 10 -r daemon <> up
  kill -0 "$supervisor"
  run -0 perdure status job
  assert_line --regexp "^state: +running"
  kill -9 "$daemon"
  await_supervisor
  assert_equal "$status" 3
}

# A script that feeds a child by hand: the child's end of file is its own doing only at the very end.
write_feeding_script() {
  mkfifo up
  cat > feeding <<'SCRIPT'
exec 4> >(cat > got; echo end >> got)
echo first >&4
while [ "$(wc -l < got)" -lt 1 ]; do sleep 0.05; done
echo $$ > up
until [ -e goes-on ]; do : > waiting; sleep 0.05; done
echo second >&4
exec 4>&-
wait $!
SCRIPT
}

# assert_one_end WHO: killed there, its child does not take that for the end of its input.
assert_one_end() {
  write_feeding_script
  "$PERDURE" run -q --no-retry --id job -- /bin/bash feeding &
  supervisor=$!
  read -t 10 -r program <> up
  # A named pipe that is open at the kill is another matter.
  until [ -e waiting ]; do :; done
  kill -9 "${!1}"
  await_supervisor
  assert_equal "$status" 137
  touch goes-on
  run -0 --separate-stderr perdure resume job
  assert_equal "$(cat got)" $'first\nsecond\nend'
}

@test "the first process killed: its children's end of input is no part of the run" {
  assert_one_end program
}

@test "the supervisor killed: the same" {
  assert_one_end supervisor
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
