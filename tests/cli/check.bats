#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# perdure check: the sweep itself. Sweeps of real programs are the crash suite's.

bats_require_minimum_version 1.5.0

setup() {
  load domain
  set_up_place
  export TMPDIR="$BATS_TEST_TMPDIR/scratch"
  mkdir "$TMPDIR"
}

# check ARG...: `perdure check -q ARG...`; $status, $output (stdout) and $stderr.
check() {
  run --separate-stderr "$PERDURE" check -q "$@"
}

# Nothing is left of any sweep.
assert_scratch_gone() {
  assert_equal "$(ls -A "$TMPDIR")" ""
}

# What a sweep that is seen to find differences compares: how many attempts the run took. It differs with
# every kill, and never by itself.
attempts='sqlite3 ../perdure/runs/check/run.db "select count(*) from attempt" 2>/dev/null || echo 1'

@test "a command that survives: every point is the same, and nothing is left" {
  check --points 3 -- true
  assert_equal "$status" 0
  assert_line "without a crash: same"
  assert_line --regexp '^[23] points, [23] the same, 0 different$'
  assert_scratch_gone
}

@test "the command runs in a copy: the directory itself stays as it is" {
  echo old > file
  check --points 4 -- /bin/sh -c 'echo new > file; exit 4'
  assert_equal "$status" 0
  assert_equal "$(cat file)" old
  mkdir other
  echo 'echo "$PWD" > place; exit 3' > other/script
  check --points 2 --from other -- /bin/sh ./script
  assert_equal "$status" 0
  assert_line "without a crash: same"
  assert_not_exist place
  assert_not_exist other/place
}

@test "standard input from a file is read anew by each attempt; from a pipe it is said to be empty" {
  printf 'b\na\n' > unsorted
  check --points 2 --keep -- sort < unsorted
  assert_equal "$(cat "$TMPDIR"/perdure-check-*/lane-1/stdout)" $'a\nb'
  # shellcheck disable=SC2016  # the inner shell's
  run --separate-stderr -0 sh -c 'echo x | "$0" check -q --points 1 -- true' "$PERDURE"
  assert_regex "$stderr" 'standard input is a pipe'
}

@test "a difference is found, and said with the command that repeats it" {
  check --points 3 --compare "$attempts" -- sh -c 'exec echo one two'
  assert_equal "$status" 1
  assert_line "without a crash: same"
  assert_line --regexp '^point 1, killed there, stdout a (pipe|file): what the --compare command prints: .*"1\\n" expected, "2\\n" came$'
  assert_line --regexp '^3 points, [0-2] the same, [1-3] different$'
  again=$(sed -n 's/^  to repeat it: //p' <<< "$output" | head -n 1)
  kept=$(sed -n 's/^  what it left: //p' <<< "$output" | head -n 1)
  assert_dir_exists "$kept/work"
  assert_file_exists "$kept/stdout"
  run -0 eval "$(sed -n 's/^  its journal: //p' <<< "$output" | head -n 1)"
  run --separate-stderr -1 eval "$again"
  assert_line "1 points, 0 the same, 1 different"
}

@test "what differs without perdure too is not compared, and is said" {
  check --points 3 -- date +%N
  assert_equal "$status" 0
  assert_line "not compared, as it differs without perdure too: stdout"
  check --points 3 -- sh -c 'exec mktemp ./here.XXXXXX'
  assert_equal "$status" 0
  assert_line "not compared, as it differs without perdure too: names that come and go in ."
  check --points 3 --compare 'date +%N' -- true
  assert_equal "$status" 0
  assert_line "not compared, as it differs without perdure too: what the --compare command prints"
}

@test "a clock that stands still between two runs in a row is found out" {
  check --points 40 -- date +%S
  assert_equal "$status" 0
  assert_line "without a crash: same"
}

@test "a point behind the end is not counted as killed" {
  check --point 100000 -- true
  assert_equal "$status" 0
  assert_line "not reached, because the run ended before: 1"
}

@test "exit statuses and signals of the command are compared, not taken for its failure" {
  check --points 2 -- sh -c 'exit 42'
  assert_equal "$status" 0
  # shellcheck disable=SC2016  # the inner shell's
  check --points 2 -- sh -c 'kill -TERM $$'
  assert_equal "$status" 0
}

@test "with --within, as many points as the time allows" {
  # shellcheck disable=SC2016 # sh's own
  check --within 1 -- sh -c 'n=0; while [ $n -lt 500 ]; do echo $n; n=$((n + 1)); done'
  assert_equal "$status" 0
  assert_line --regexp '^kill points: [0-9]+, of which some are tried, until the time was up$'
  assert_line --regexp '^[1-9][0-9]{0,2} points, [1-9][0-9]* the same, 0 different$'
  check --within 1000 --points 3 -- true
  refute_output --partial "the time was up"
}

@test "what cannot be checked is said in one line" {
  check -- no-such-command
  assert_equal "$status" 125
  assert_regex "$stderr" '^perdure: check: .*no-such-command'
  check --from missing -- true
  assert_equal "$status" 125
  assert_regex "$stderr" '^perdure: check: .*missing'
  for option in "--points 0" "--points x" "--jobs 1000" "--timeout -1" "--within 0" "--point 1 --points 2"; do
    # shellcheck disable=SC2086  # words
    check $option -- true
    assert_equal "$status" 125
    assert_clear_line
  done
  check --timeout 1 -- sleep 1000
  assert_equal "$status" 125
  assert_regex "$stderr" 'does not end within 1 s'
  assert_scratch_gone
}

@test "progress is said every tenth where there is no terminal" {
  run --separate-stderr -0 perdure check --points 2 -- sh -c 'exec true'
  assert_equal "$stderr" $'50% of 2, 0 different\n100% of 2, 0 different'
}

@test "interrupted, it ends what it has started and leaves nothing" {
  mkfifo "$BATS_TEST_TMPDIR/up"
  # shellcheck disable=SC2016  # the inner shell's
  "$PERDURE" check -q -- sh -c 'echo $$ > "$1"; exec sleep 1000' sh "$BATS_TEST_TMPDIR/up" &
  sweep=$!
  read -r program < "$BATS_TEST_TMPDIR/up"
  kill -TERM "$sweep"
  status=0
  wait "$sweep" || status=$?
  assert_equal "$status" 143
  run -1 kill -0 "$program"
  assert_scratch_gone
}

@test "the kill points of several threads at once are counted exactly" {
  counted=$(dirname "$PERDURE_ITSELF")/tests/programs/counted_threads
  for calls in 1000 6000; do
    check --points 1 -- "$counted" $calls
    assert_equal "$status" 0
    points+=("$(sed -n 's/^kill points: \([0-9]*\).*/\1/p' <<< "$output")")
  done
  # Before and after each call of each thread.
  assert_equal $((points[1] - points[0])) $((2 * 4 * 5000))
}

@test "a sweep whose directory is removed by somebody says so, in one line" {
  # shellcheck disable=SC2016  # the inner shell's
  check -- sh -c 'rm -rf "$TMPDIR"/perdure-check-*'
  assert_equal "$status" 125
  assert_clear_line
  assert_regex "$stderr" "the sweep's directory $TMPDIR/perdure-check-[^/]* is gone"
  assert_equal "$output" ""
}

@test "a program whose effects go past libc is found not to survive: the point, the difference, the command again" {
  cat > past.c <<'SOURCE'
#include <fcntl.h>
#include <stdio.h>
static void write_past(int fd, const char *text, long length)
{
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(1L), "D"((long)fd), "S"(text), "d"(length) : "rcx", "r11", "memory");
}
int main(void)
{
  int log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0666);
  for (int i = 0; i < 3; i++) {
    write_past(log, "past\n", 5);
    dprintf(log, "line %d\n", i);
  }
  return 0;
}
SOURCE
  cc -o past past.c
  check -- ./past
  assert_equal "$status" 1
  assert_line --regexp '^point [0-9]+, killed there.*: the file log: at byte [0-9]+: "[^"]*" expected, "[^"]*" came'
  assert_line --regexp '^[0-9]+ points, [0-9]+ the same, [1-9][0-9]* different$'
  run --separate-stderr -1 eval "$(sed -n 's/^  to repeat it: //p' <<< "$output" | head -n 1)"
  assert_line "1 points, 0 the same, 1 different"
}
