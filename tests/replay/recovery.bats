#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# perdure itself is killed at each of its own system calls that change anything: while a run is made, while it is
# recovered, while it is concluded. strace delivers the kill on the way into the call.

bats_require_minimum_version 1.5.0

# Between two of these nothing outside of the process has changed, but in shared mappings.
changing='clone,close,exit_group,fallocate,fchmod,fdatasync,flock,fsync,ftruncate,futex,mkdir,msync,munmap,openat,pwrite64,rename,renameat2,rt_sigprocmask,unlink,unlinkat,waitid,write'

setup() {
  load ../cli/domain.bash
  set_up_place
  cat > job.pl <<'SCRIPT'
open my $input, "<", "input";
my $first = <$input>;
for my $i (1 .. 6) {
  open my $out, ">>", "out";
  syswrite $out, "line $i\n";
  rename "out", "new";
  rename "new", "out";
  # What was read is kept before it is cut.
  truncate "input", 10 if $i == 4;
}
SCRIPT
  job=(run -q --id job -- /usr/bin/perl job.pl)
}

# A new run: nothing of it is there, and its input is whole.
begin_anew() {
  rm -rf "$PERDURE_DIR" out new
  seq 30000 > input
}

# An attempt that was killed: point $point.
begin_crashed() {
  begin_anew
  PERDURE_CRASH_AT=$point run "$PERDURE" "${job[@]}"
  assert_equal "$status" 137
}

find_points() {
  begin_anew
  perdure "${job[@]}"
  points=$(perdure sql job "select value from meta where key = 'crash_points'")
}

# One line for each changing call of an undisturbed attempt from here: how often it comes, and its name.
count_calls() {
  strace -qq -o trace -e trace="$changing" "$PERDURE_ITSELF" "${job[@]}" 3>&- < /dev/null
  sed -n 's/^\([a-z0-9_]*\)(.*/\1/p' trace | sort | uniq -c
  rm trace
}

# kill_at CALL N: an attempt whose supervisor dies on the way into its Nth CALL. $status.
kill_at() {
  run strace -qq -o /dev/null -e inject="$1:signal=KILL:when=$2" "$PERDURE_ITSELF" "${job[@]}" 3>&- < /dev/null
}

assert_ends_rightly() {
  run_durable "${job[@]:1}"
  [ "$status" -eq 0 ] || printf '%s\n' "$1" "$output" "$stderr"
  assert_equal "$status" 0
  assert_equal "$(cat out)" "$(seq -f 'line %g' 6)"
  assert_not_exist new
  assert_equal "$(stat -c %s input)" 10
}

# assert_each_kill_harmless BEGIN: for each changing call of the attempt that follows what BEGIN makes, or for every
# second one of each name.
assert_each_kill_harmless() {
  local count name number kills=0 step=2
  [ -z "${PERDURE_TEST_LONG-}" ] || step=1
  "$1"
  count_calls > calls
  while read -r count name; do
    for ((number = 1; number <= count; number += step)); do
      "$1"
      kill_at "$name" "$number"
      [ "$status" -ne 137 ] || kills=$((kills + 1))
      assert_ends_rightly "killed at $name $number"
      run -0 perdure verify job
    done
  done < calls
  echo "# killed at $kills calls" >&3
  assert [ "$kills" -gt 30 ]
}

@test "killed anywhere while a run is made and concluded: the same command begins it, or goes on with it" {
  assert_each_kill_harmless begin_anew
}

@test "killed anywhere in the recovery: the next one comes to the right end" {
  find_points
  # Before a rename, and after it.
  point=$((points - 29))
  assert_each_kill_harmless begin_crashed
}

@test "killed anywhere in the recovery of a run that has kept what it cut" {
  find_points
  point=$((points - 14))
  assert_each_kill_harmless begin_crashed
}

@test "one recovery killed after the other, each some calls later: it comes to the right end all the same" {
  find_points
  point=$((points - 14))
  begin_crashed
  count_calls > calls
  begin_crashed
  while read -r count name; do
    for ((number = 1; number <= count; number += 2)); do
      kill_at "$name" "$number"
      # A call that comes too late to stop it: the run has ended, rightly.
      [ "$status" -eq 137 ] || break 2
    done
  done < calls
  assert_ends_rightly "after many"
  run -0 perdure verify job
}
