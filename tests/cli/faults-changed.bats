#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a run depends on is changed, upgraded, replaced or missing when it is resumed: said in one line, nothing is
# done, and once it is put back the run comes to the right end. What does not matter does not stop it.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

# A program `./job` of two parts: its own file, and library/libwords.so.
build_job() {
  mkdir -p library versions
  cat > job.c <<'SOURCE'
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int words(char *to, int number);
#ifdef LATER
static volatile int unused[1000];
#endif
int main(void)
{
  int out = open("out", O_WRONLY | O_CREAT | O_APPEND, 0666);
  for (int i = 1; i <= 20; i++) {
    char text[40];
    int length = words(text, i);
    if (write(out, text, (size_t)length) != length)
      return 1;
  }
  return 0;
}
SOURCE
  cat > words.c <<'SOURCE'
#include <stdio.h>
#ifdef LATER
int more(void) { return 7; }
#endif
int words(char *to, int number) { return sprintf(to, WORDS, number); }
SOURCE
  cc -shared -fPIC -DWORDS='"line %d\n"' -o versions/same.so words.c
  cc -shared -fPIC -DWORDS='"line %d\n"' -DLATER -o versions/later.so words.c
  cc -shared -fPIC -DWORDS='"lime %d\n"' -o versions/other.so words.c
  cp versions/same.so library/libwords.so
  cc -o versions/same job.c -Llibrary -lwords -Wl,-rpath,"$PWD/library"
  cc -O2 -DLATER -o versions/later job.c -Llibrary -lwords -Wl,-rpath,"$PWD/library"
  sed 's/length);$/length) ;/; s/O_APPEND/O_APPEND | O_SYNC/' job.c > other.c
  cc -o versions/other other.c -Llibrary -lwords -Wl,-rpath,"$PWD/library"
  cp versions/same job
}

# Replaces a file by another, as a package manager does.
upgrade() {
  cp "$1" "$2.new"
  mv "$2.new" "$2"
}

# Killed in its middle, with `out` put aside.
crash_job() {
  crash_near_end 24 job ./job
  cp out before
  assert [ "$(wc -l < out)" -gt 0 ]
}

assert_unchanged() {
  run -0 cmp out before
}

assert_ends_rightly() {
  run_durable -q --id job -- "$@"
  assert_equal "$status" 0
  assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"
}

@test "a program that was upgraded and does the same goes on; that is said" {
  build_job
  crash_job
  upgrade versions/later job
  run_durable --id job -- ./job
  assert_equal "$status" 0
  assert_regex "$stderr" '\./job has changed since run job began; going on as long as it does the same'
  assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"
}

@test "a program that was upgraded and does something else: 120, entry, expected and got are named, nothing is done" {
  build_job
  crash_job
  upgrade versions/other job
  run_durable -q --id job -- ./job
  assert_equal "$status" 120
  assert_clear_line
  assert_regex "$stderr" 'diverged at entry [0-9]+: recorded is openat\(AT_FDCWD, "out", [A-Z_|]+, 0666\).*, and the program called openat\(AT_FDCWD, "out", [0-9x]+'
  assert_regex "$stderr" 'the program or a library is not the one that the run began with: put it back'
  assert_unchanged
  upgrade versions/same job
  assert_ends_rightly ./job
}

@test "a program that writes other bytes with the same calls: 120, and both are shown" {
  build_job
  crash_job
  upgrade versions/other.so library/libwords.so
  run_durable -q --id job -- ./job
  assert_equal "$status" 120
  assert_clear_line
  assert_regex "$stderr" 'recorded is write\(3, "line 1\\n", 7\).*, and the program called write\(3, "lime 1\\n", 7\)'
  assert_unchanged
  upgrade versions/same.so library/libwords.so
  assert_ends_rightly ./job
}

@test "a library that was upgraded and does the same goes on" {
  build_job
  crash_job
  upgrade versions/later.so library/libwords.so
  assert_ends_rightly ./job
}

@test "a library that is missing: the loader's words, one line, and the run is not finished by that" {
  build_job
  crash_job
  rm library/libwords.so
  run --separate-stderr -127 perdure run -q --id job -- ./job
  assert_regex "$stderr" 'libwords\.so: cannot open'
  stderr=$(grep '^perdure' <<< "$stderr") assert_clear_line
  assert_unchanged
  run -0 perdure status job
  assert_line --regexp '^state: +unfinished$'
  upgrade versions/same.so library/libwords.so
  assert_ends_rightly ./job
}

@test "a library that is missing at the first start: as without perdure, and begun when it is there" {
  build_job
  rm library/libwords.so
  run --separate-stderr -127 perdure run -q --id job -- ./job
  assert_not_exist out
  upgrade versions/same.so library/libwords.so
  assert_ends_rightly ./job
}

@test "a program that was deleted, is a directory, or may not be executed: 127, 126, and nothing is done" {
  build_job
  crash_job
  for change in 'rm job' 'rm job; mkdir job' 'chmod -x job' 'rm job; echo text > job; chmod +x job'; do
    eval "$change"
    expected=126
    [ "$change" != "rm job" ] || expected=127
    run --separate-stderr "-$expected" perdure run -q --id job -- ./job
    assert_clear_line
    assert_regex "$stderr" 'put it back, and run the same command again$'
    assert_unchanged
    rm -rf job
    cp versions/same job
  done
  assert_ends_rightly ./job
}

@test "without its shim a run is not resumed; with it, it is" {
  build_job
  crash_job
  build=$(dirname "$PERDURE_ITSELF")
  mkdir bin
  cp "$build/perdure" "$build/libperdure-shim.so" bin
  mv bin/libperdure-shim.so shim.so
  # The recorded one is still where it was: that one is taken.
  run -0 bin/perdure resume -q job 3>&-
  assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"
  rm out
  mv shim.so bin/libperdure-shim.so
  PERDURE_CRASH_AT=30 run bin/perdure run --id other -- ./job 3>&-
  assert_equal "$status" 137
  cp out before
  mv bin/libperdure-shim.so shim.so
  run --separate-stderr -125 bin/perdure resume other 3>&-
  assert_clear_line
  assert_regex "$stderr" "cannot find perdure's shim .*; reinstall perdure"
  assert_unchanged
  mv shim.so bin/libperdure-shim.so
  run -0 bin/perdure resume -q other 3>&-
  assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"
}

# A program that reads its input once, in the beginning, and then appends lines.
write_reader() {
  cat > reader.py <<'SCRIPT'
import os, sys
length = len(open(sys.argv[1], "rb").read())
out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for i in range(1, 21):
    os.write(out, b"line %d\n" % i)
os.write(out, b"of %d bytes\n" % length)
SCRIPT
}

# What can happen to a file NAME, of which `kept` is a copy.
change_bytes() { printf X | dd of="$1" bs=1 seek=5000 conv=notrunc status=none; }
replace_by_other() { tr a b < kept > new && mv new "$1"; }
replace_by_same() { cp kept new && mv new "$1"; }
shorten() { truncate -s 10 "$1"; }
lengthen() { echo more >> "$1"; }
remove() { rm "$1"; }
take_rights_away() { chmod 0 "$1"; }

put_input_back() {
  rm -f "$1"
  cp kept "$1"
}

@test "an input of over 64 KiB that was changed, replaced, cut or removed: named, 125, nothing is done" {
  write_reader
  head -c 100000 /dev/zero | tr '\0' a > input
  cp input kept
  crash_near_end 40 job /usr/bin/python3 reader.py input
  cp out before
  for change in change_bytes replace_by_other shorten remove; do
    $change input
    run_durable -q --id job -- /usr/bin/python3 reader.py input
    assert_equal "$status" 125
    assert_clear_line
    assert_regex "$stderr" "its input is not what it was: .*$PWD/input; put it back"
    assert_unchanged
    put_input_back input
  done
  # By its bytes, not by its inode: a copy is as good.
  run_durable -q --id job -- /usr/bin/python3 reader.py input
  assert_equal "$status" 0
  assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"$'\nof 100000 bytes'
}

@test "an input of over 64 KiB that was replaced by a copy, touched or made longer: nobody cares" {
  write_reader
  head -c 100000 /dev/zero | tr '\0' a > input
  cp input kept
  for change in replace_by_same touch lengthen; do
    crash_near_end 40 job /usr/bin/python3 reader.py input
    $change input
    run_durable -q --id job -- /usr/bin/python3 reader.py input
    assert_equal "$status" 0
    assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"$'\nof 100000 bytes'
    perdure rm job
    put_input_back input
  done
}

@test "an input of up to 64 KiB is recorded: whatever becomes of it, the run goes on" {
  write_reader
  head -c 60000 /dev/zero | tr '\0' a > input
  cp input kept
  for change in change_bytes replace_by_other replace_by_same shorten lengthen remove take_rights_away; do
    crash_near_end 40 job /usr/bin/python3 reader.py input
    $change input
    run_durable -q --id job -- /usr/bin/python3 reader.py input
    assert_equal "$status" 0
    assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"$'\nof 60000 bytes'
    perdure rm job
    put_input_back input
  done
}

@test "the file that a run writes was replaced or removed by somebody else: named, 125, and nothing is written" {
  build_job
  for change in remove replace_by_same; do
    crash_job
    cp out kept
    $change out
    run_durable -q --id job -- ./job
    assert_equal "$status" 125
    assert_clear_line
    assert_regex "$stderr" "$PWD/out"
    [ ! -e out ] || assert_unchanged
    perdure rm job
    rm -f out
  done
}
