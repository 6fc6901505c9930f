#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Replicas in directories: commits that count them, one that is down and comes back, and going on from one.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  programs="$(dirname "$PERDURE_ITSELF")/tests/programs"
  first="$BATS_TEST_TMPDIR/first" second="$BATS_TEST_TMPDIR/second"
  mkdir "$first" "$second"
}

teardown() {
  [ -z "${supervisor-}" ] || kill -9 "$supervisor" 2> /dev/null || true
}

# So that nothing can be made there.
put_down() {
  : > "$1/runs"
}

@test "commit(0..3) with two replicas: at least so many have it, and three cannot be" {
  for said in 'committed, 0' 'committed, 1' 'committed, 2' 'Transport endpoint is not connected, 0'; do
    n=$((${n--1} + 1))
    run_durable --id job$n --replica "$first" --replica "$second" -- "$programs/committing" $n 20000
    assert_success
    # At least: the other may have it too.
    if [ $n -eq 1 ]; then assert_output --regexp '^committed, [12]$'; else assert_output "$said"; fi
  done
}

@test "each replica has the run: log, verify and status read it, and a finished one stays finished" {
  run_durable --id job --replica "$first" --replica "$second" -- sh -c 'echo done; exit 3'
  assert_equal "$status" 3
  for directory in "$first" "$second"; do
    run -0 perdure verify --dir "$directory" job
    assert_output --partial 'no defect'
    run -0 perdure log --dir "$directory" job
    assert_output --partial 'ends with status 3'
    run -3 perdure run --dir "$directory" --id job -- sh -c 'echo done; exit 3'
  done
}

@test "one is down: one line, the commit times out and says how many there were, the run goes on" {
  put_down "$second"
  run_durable --id job --replica "$first" --replica "$second" -- "$programs/committing" 2 300
  assert_success
  assert_output 'timeout, 1'
  # shellcheck disable=SC2154 # bats sets stderr
  assert_equal "$(grep -c "cannot make $second/runs" <<< "$stderr")" 2
}

@test "one that comes back is sent what it lacks" {
  put_down "$second"
  mkfifo errors
  "$PERDURE" run --id job --replica "$first" --replica "$second" -- "$programs/committing" 2 60000 > out 2> errors &
  supervisor=$!
  exec 7< errors
  read -t 20 -r line <&7
  [[ $line = *"the run goes on without it"* ]]
  rm "$second/runs"
  read -t 20 -r line <&7
  [[ $line = *"works again"* ]]
  await_supervisor
  assert_equal "$status" 0
  assert_equal "$(cat out)" 'committed, 2'
  run -0 perdure verify --dir "$second" job
  assert_output "$(perdure verify job)"
}

@test "--min-replicas: more than there are is refused; a replica has a remote change's intent before it is made" {
  run_durable --min-replicas 2 --replica "$first" -- true
  assert_equal "$status" 125
  assert_equal "$stderr" 'perdure: --min-replicas 2: the run has 1 and no other store; give more by --replica'
  # The request fails, and so it ends; its intent is in the replica by then.
  run_durable --id job --min-replicas 1 --replica "$first" -- curl -sS -d one=1 http://127.0.0.1:1/
  assert_equal "$status" 7
  put_down "$second"
  run_durable --id other --min-replicas 1 --replica "$first" --replica "$second" -- curl -sS -d one=1 http://127.0.0.1:1/
  assert_equal "$status" 7
}

@test "what is no directory, is given twice, or is the run's own, is refused" {
  run_durable --replica "$first/nowhere" -- true
  assert_equal "$status" 125
  [[ $stderr = *"nowhere: No such file or directory; give a directory that is there" ]]
  run_durable --replica "$first" --replica "$first/." -- true
  assert_equal "$status" 125
  [[ $stderr = *"it is given twice; give another directory" ]]
  mkdir -p "$PERDURE_DIR"
  run_durable --replica "$PERDURE_DIR" -- true
  assert_equal "$status" 125
  [[ $stderr = *"that is where the run's own store lies; give another directory" ]]
}

@test "the run's own store is lost: it goes on from a replica, behind what was committed" {
  local script='echo one >> log; "$0" 1 60000; echo two >> log' point
  PERDURE_CRASH_AT=$((2 ** 62)) "$PERDURE" run --id whole --replica "$first" -- bash -c "$script" "$programs/committing" > out
  point=$(perdure sql whole "select value from meta where key = 'crash_points'")
  while :; do
    point=$((point - 1))
    rm -rf "$PERDURE_DIR" "$first/runs" log
    crash_at $point --id job --replica "$first" -- bash -c "$script" "$programs/committing"
    [ "$(cat log)" != one ] || break
  done
  rm -rf "$PERDURE_DIR"
  run --separate-stderr -0 perdure resume --dir "$first" job
  assert_equal "$(cat log)" $'one\ntwo'
  # Its own directory is no replica of it any more, and it is finished.
  run --separate-stderr -0 perdure resume --dir "$first" job
  assert_equal "$(cat log)" $'one\ntwo'
}

@test "a replica of another run of that name is not touched" {
  mkdir elsewhere
  run_durable --id job -- sh -c 'exit 4'
  run_durable --dir "$first" --id job -- sh -c 'read line < nowhere'
  before=$(perdure sql --dir "$first" job 'select count(*), max(position) from entries')
  run_durable --id job --replica "$first" --sync all -- sh -c 'exit 4'
  assert_equal "$status" 4
  assert_equal "$(perdure sql --dir "$first" job 'select count(*), max(position) from entries')" "$before"
}

@test "a revert reaches the replica when the run goes on, and a fork has the replicas of its original" {
  run_durable -q --id job --replica "$first" -- bash -c 'echo one >> out; (echo two >> out); (echo three >> out)'
  assert_success
  before=$(perdure log job)
  seq=$(grep -m 1 'wait4.*= [0-9][0-9]*  ' <<< "$before" | grep -o '#[0-9]*' | cut -c 2-)
  run -0 perdure fork job other --to "$seq"
  run -0 perdure revert job --to "$seq"
  assert_equal "$(perdure log --dir "$first" job)" "$before"
  run -0 perdure resume -q job
  assert_equal "$(paste -sd' ' out)" 'one two three three'
  assert_equal "$(perdure log --dir "$first" job)" "$(perdure log job)"
  perdure log --dir "$first" job | grep -q '\[taken back\]'
  run -0 perdure resume -q other
  assert_equal "$(paste -sd' ' out)" 'one two three three three'
  assert_equal "$(perdure log --dir "$first" other)" "$(perdure log other)"
}
