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

# A script of which two steps print, into a pipe from outside.
write_printing_script() {
  printf '%s\n' '/bin/echo before' "$step /dev/stdout one" '/bin/echo between' "$step /dev/stdout two" 'echo after' > job.sh
}

# killed_and_resumed POINT OUTPUT: what the attempt that is killed there and the next one print, in the files first and second, each
# by a pipe; the same one, whose reader goes on, where OUTPUT is once.
killed_and_resumed() {
  rm -rf "$PERDURE_DIR/runs/job" first second
  if [ "$2" = once ]; then
    { PERDURE_CRASH_AT=$1 perdure run -q "${job[@]}" || perdure run -q --output once "${job[@]}"; } 2> said | cat > first
    : > second
  else
    PERDURE_CRASH_AT=$1 perdure run -q "${job[@]}" 2> said | cat > first
    perdure run -q "${job[@]}" | cat > second
  fi
}

@test "what a step printed into a pipe is given once: on the same pipe, and on a new one, which gets all else again" {
  write_printing_script
  last=$(points | tail -n 1)
  for ((point = 7; point < last; point += 19)); do
    killed_and_resumed "$point" once
    # A step, or an output, that was under way is there once or twice.
    assert_equal "$(uniq first)" $'before\none\nbetween\ntwo\nafter'
    [ "$(wc -l < first)" -le 6 ]
    killed_and_resumed "$point" again
    # All that the shell printed is on the new pipe; a step's line on one of the two.
    assert_equal "$(grep -vE 'one|two' second)" $'before\nbetween\nafter'
    for word in one two; do
      count=$(cat first second | grep -c "$word")
      [ "$count" = 1 ] || { [ "$count" = 2 ] && [ "$(tail -n 1 first)" = "$word" ]; }
    done
  done
}
