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
  cat > job.sh <<'SCRIPT'
i=0
while [ $i -lt 6 ]; do
  i=$((i + 1))
  echo "line $i" >> out
  mv out new
  mv new out
done
SCRIPT
  job=(run -q --id job -- /bin/sh job.sh)
  # Outside of perdure's directory, which is put back for each kill.
  cp -a "$PWD" "$BATS_TEST_TMPDIR/before"
}

# One line for each changing call of an undisturbed attempt from here: its name, and how often it comes.
count_calls() {
  strace -qq -o trace -e trace="$changing" "$PERDURE_ITSELF" "${job[@]}" 3>&- < /dev/null
  sed -n 's/^\([a-z0-9_]*\)(.*/\1/p' trace | sort | uniq -c
  rm trace
}

save() {
  mkdir -p "$PERDURE_DIR"
  rm -rf "$BATS_TEST_TMPDIR/saved"
  mkdir "$BATS_TEST_TMPDIR/saved"
  cp -a "$PERDURE_DIR" "$BATS_TEST_TMPDIR/saved/perdure"
  cp -a "$PWD" "$BATS_TEST_TMPDIR/saved/work"
}

# The same directory, and in it the same files: what a run has opened must still be where it was.
put_back() {
  rm -rf "$PERDURE_DIR"
  cp -a "$BATS_TEST_TMPDIR/saved/perdure" "$PERDURE_DIR"
  rm -f out new
  cp -a "$BATS_TEST_TMPDIR/saved/work/." .
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
}

# assert_each_kill_harmless: from what save() has put aside, for each changing call of the attempt.
assert_each_kill_harmless() {
  local count name number kills=0
  count_calls > calls
  mv calls "$BATS_TEST_TMPDIR/calls"
  while read -r count name; do
    for ((number = 1; number <= count; number++)); do
      put_back
      kill_at "$name" "$number"
      [ "$status" -ne 137 ] || kills=$((kills + 1))
      assert_ends_rightly "killed at $name $number"
      run -0 perdure verify job
    done
  done < "$BATS_TEST_TMPDIR/calls"
  echo "# killed at $kills calls" >&3
  assert [ "$kills" -gt 30 ]
}

@test "killed anywhere while a run is made and concluded: the same command begins it, or goes on with it" {
  save
  assert_each_kill_harmless
}

@test "killed anywhere in the recovery: the next one comes to the right end" {
  crash_near_end 30 job /bin/sh job.sh
  save
  assert_each_kill_harmless
}

@test "killed anywhere in the recovery of a run that has kept what it cut" {
  cat > job.sh <<'SCRIPT'
read first < input
echo "line 1" > out
exec 3< input
cp input new
for i in 2 3 4 5 6; do echo "line $i" >> out; done
: > input
rm new
SCRIPT
  seq 30000 > input
  rm -rf "$BATS_TEST_TMPDIR/before"
  crash_at 40 --id job -- /bin/sh job.sh
  save
  assert_each_kill_harmless
}

@test "one recovery killed after the other, each a call later: it comes to the right end all the same" {
  crash_near_end 30 job /bin/sh job.sh
  save
  count_calls > "$BATS_TEST_TMPDIR/calls"
  put_back
  while read -r count name; do
    for ((number = 1; number <= count; number += 3)); do
      kill_at "$name" "$number"
      # A call that comes too late to stop it: the run has ended, rightly.
      [ "$status" -eq 137 ] || break 2
    done
  done < "$BATS_TEST_TMPDIR/calls"
  assert_ends_rightly "after many"
  run -0 perdure verify job
}
