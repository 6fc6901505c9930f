#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Programs in a script that nothing can be preloaded into: each is one step.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  step=$(dirname "$PERDURE_ITSELF")/tests/programs/opaque_step
  cat > job.sh <<END
exec > said
$step log one
/bin/echo between >> log
$step log two 3 || echo "failed with \$?"
echo end >> log
END
  job=(--id job -- /bin/sh job.sh)
}

points() {
  PERDURE_CRASH_AT=$((1 << 62)) "$PERDURE" run -q --id count -- /bin/sh job.sh
  perdure sql count "select value from meta where key = 'crash_points'"
  rm -f log said
}

@test "a script with static programs leaves what it does without perdure" {
  run_durable "${job[@]}"
  assert_equal "$status" 0
  assert_equal "$(cat log)" $'one\nbetween\ntwo\nend'
  assert_equal "$(cat said)" 'failed with 3'
}

@test "one that has ended is not run again, one under way is; nothing else is done twice" {
  last=$(points)
  for ((point = 7; point < last; point += 23)); do
    rm -rf log said "$PERDURE_DIR/runs/job"
    crash_at "$point" "${job[@]}"
    run_durable "${job[@]}"
    assert_equal "$status" 0
    # A step whose end the shell had not been told of may have been under way: it is there once or twice.
    assert_equal "$(uniq log)" $'one\nbetween\ntwo\nend'
    [ "$(wc -l < log)" -le 5 ]
    assert_equal "$(cat said)" 'failed with 3'
  done
}

@test "a step that had ended long before the crash is there once" {
  crash_at $(($(points) - 20)) "${job[@]}"
  run_durable "${job[@]}"
  assert_equal "$status" 0
  assert_equal "$(cat log)" $'one\nbetween\ntwo\nend'
}

# How the first step stands in a run that is killed there.
begun_at() {
  local step_line
  rm -rf log said "$PERDURE_DIR/runs/job"
  PERDURE_CRASH_AT=$1 "$PERDURE" run -q --not-idempotent "${job[@]}" > killed 2>&1 && return
  step_line=$(perdure ps job | grep -F 'log one  [one step]' || true)
  if [ -z "$step_line" ]; then
    echo before
  elif [[ $step_line == *' unfinished '* ]]; then
    echo there
  fi
}

@test "not idempotent: where one was under way the run stops with 121, and a person says what became of it" {
  by_halves "$(points)" begun_at
  run --separate-stderr perdure resume job
  assert_equal "$status" 121
  assert_regex "$stderr" 'nobody can tell whether entry [0-9]+ happened: .*execve\(.*opaque_step'
  seq=$(sed -n 's/.*nobody can tell whether entry \([0-9]*\) happened.*/\1/p' <<< "$stderr")
  run -0 perdure log job
  assert_line --regexp "#$seq .*execve.*it is statically linked"
  run -125 --separate-stderr perdure resolve job "$seq" --response log
  assert_clear_line
  run -0 perdure resolve job "$seq" --retry
  run --separate-stderr perdure resume job
  assert_equal "$status" 0
  assert_equal "$(uniq log)" $'one\nbetween\ntwo\nend'
}

@test "a run whose first program is such a one is refused" {
  run_durable -- "$step" log one
  assert_equal "$status" 125
  assert_clear_line
  assert_not_exist log
}
