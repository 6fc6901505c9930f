# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Verbs for tests of the command. PERDURE_BUILD names the build folder (meson sets it).

bats_load_library bats-support
bats_load_library bats-assert
bats_load_library bats-file

# Each test has its own directory for runs and its own working directory.
set_up_place() {
  local build
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  # Descriptor 3 is bats' own: a program must not inherit it.
  PERDURE="$BATS_TEST_TMPDIR/perdure-without-3"
  PERDURE_ITSELF="$build/perdure"
  printf '#!/bin/bash\nexec "%s" "$@" 3>&-\n' "$PERDURE_ITSELF" > "$PERDURE"
  chmod +x "$PERDURE"
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  unset PERDURE_CRASH_AT PERDURE_SHIM PERDURE_RUN
  mkdir "$BATS_TEST_TMPDIR/work"
  cd "$BATS_TEST_TMPDIR/work" || return 1
}

perdure() {
  "$PERDURE" "$@"
}

# run_durable ARG...: `perdure run ARG...`; $status, $output (stdout) and $stderr.
run_durable() {
  run --separate-stderr "$PERDURE" run "$@"
}

# Kills the whole tree at kill point N of the attempt.
crash_at() {
  local point=$1
  shift
  PERDURE_CRASH_AT=$point run --separate-stderr "$PERDURE" run "$@"
  assert_equal "$status" 137
}

# by_halves LAST PLACE...: finds the first kill point at which PLACE, called with it, prints `there`, and leaves it so. It
# prints `before` at earlier ones, and something else behind: they come in the program's order. Where several processes
# run, that is another one each time by a few points.
by_halves() {
  local low=0 high=$1 point
  shift
  while [ $((high - low)) -gt 1 ]; do
    point=$(((low + high) / 2))
    if [ "$("$@" "$point")" = before ]; then low=$point; else high=$point; fi
  done
  for ((point = high > 10 ? high - 10 : high; point <= high + 20; point++)); do
    [ "$("$@" "$point")" != there ] || return 0
  done
  fail "no kill point is there"
}

# start_waiting_run ID: starts a run in the background whose program says "up" and then waits for the end
# of the FIFO `go`. Returns once it is up. $supervisor is the pid; $program the program's.
start_waiting_run() {
  mkfifo up go
  # shellcheck disable=SC2016  # the inner shell's
  "$PERDURE" run --id "$1" -- /bin/sh -c 'echo $$ > up; read line < go; exit 7' &
  supervisor=$!
  read -t 10 -r program <> up
}

# Lets the program of start_waiting_run end.
let_go() {
  echo > go
}

# Waits for the background supervisor; $status.
await_supervisor() {
  status=0
  wait "$supervisor" || status=$?
}

# Waits until process PID is gone, or fails after 10 s. An event, not a poll: tail waits on the pid.
await_death() {
  timeout 10 tail --pid="$1" -f /dev/null
}

# The only line on stderr that perdure may say when it fails: what: why; what to do.
assert_clear_line() {
  # shellcheck disable=SC2154  # bats sets it
  assert_regex "$stderr" '^perdure: .+: .+; .+$'
  assert_equal "$(wc -l <<< "$stderr")" 1
}

# crash_near_end BEFORE ID COMMAND...: kills the whole tree BEFORE kill points from the end of an undisturbed run,
# whose output files are removed again.
crash_near_end() {
  local before=$1 id=$2 points
  shift 2
  perdure run -q --id "$id-undisturbed" -- "$@"
  points=$(perdure sql "$id-undisturbed" "select value from meta where key = 'crash_points'")
  perdure rm "$id-undisturbed"
  rm -f out
  crash_at $((points - before)) --id "$id" -- "$@"
}
