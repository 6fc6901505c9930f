#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A store or a tail that is not as it was left: refused in one line and nothing is done; once it is put back, the
# run comes to the right end. A tail that is torn where its writer was killed is no fault at all.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  cat > steps.sh <<'SCRIPT'
i=0
while [ $i -lt 20 ]; do
  i=$((i + 1))
  echo "line $i" >> out
done
SCRIPT
  job=(--id job -- /bin/sh steps.sh)
  run="$PERDURE_DIR/runs/job"
}

damage_tail() {
  "$BATS_TEST_DIRNAME/damage-tail" "$run/tail" "$@"
}

# A run that was killed at a point in its middle, put aside.
crashed_run() {
  crash_at 61 "${job[@]}"
  rm -rf "$BATS_TEST_TMPDIR/aside"
  cp -a "$PERDURE_DIR" "$BATS_TEST_TMPDIR/aside"
  cp out "$BATS_TEST_TMPDIR/out"
}

# crashed_run with its newest entries in the tail alone, listed in `entries`: what the store has too is not read from the
# tail again. On a machine that is busy the drain may come in between.
crashed_run_in_tail() {
  until crashed_run
        stored=$(perdure sql job "select coalesce(max(end_position), 0) from chunk")
        damage_tail list | mawk -v stored="$stored" 'NR > 1 && $1 >= stored' > entries
        [ "$(wc -l < entries)" -gt 20 ]; do
    perdure rm job
    rm out
  done
}

put_back() {
  rm -rf "$PERDURE_DIR"
  cp -a "$BATS_TEST_TMPDIR/aside" "$PERDURE_DIR"
  cp "$BATS_TEST_TMPDIR/out" out
}

# assert_refused PATTERN: in one line, with nothing done.
assert_refused() {
  run_durable "${job[@]}"
  assert_equal "$status" 125
  assert_clear_line
  assert_regex "$stderr" "$1"
  run -0 cmp out "$BATS_TEST_TMPDIR/out"
}

assert_ends_rightly() {
  run_durable -q "${job[@]}"
  assert_equal "$status" 0
  assert_equal "$(cat out)" "$(seq -f 'line %g' 20)"
}

@test "a store of a newer version, and one of an older: refused, with what to do; every command says so" {
  crashed_run
  for version in 99 0; do
    python3 - "$run/run.db" $version <<'SCRIPT'
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute(f"pragma user_version = {sys.argv[2]}")
SCRIPT
    assert_refused "it has version $version and this perdure reads version [0-9]+; use the (newer|older) perdure that wrote it\$"
    for command in "status job" "log job" "show job 1" "verify job" "resume job" "sql job 'select 1'"; do
      eval "run --separate-stderr -125 perdure $command"
      assert_clear_line
    done
    put_back
  done
  assert_ends_rightly
}

@test "a store, a tail, a run of another user: refused" {
  [ "$EUID" -eq 0 ] || skip "only root can give files away"
  crashed_run
  for name in run.db tail ""; do
    chown nobody "$run/$name"
    assert_refused 'it belongs to user [0-9]+|belongs to user [0-9]+: a run is its owner'
    put_back
  done
  assert_ends_rightly
}

@test "a directory for runs that may not be written: refused, and nothing is run" {
  [ "$EUID" -eq 0 ] || skip "needs another user"
  chmod 755 "$BATS_TEST_TMPDIR" .
  chmod 711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/*
  mkdir -m 755 "$PERDURE_DIR"
  # perdure itself may lie where that user cannot go.
  build=$(dirname "$PERDURE_ITSELF")
  mkdir bin
  cp "$build/perdure" "$build/libperdure-shim.so" bin
  setpriv --reuid=65534 --regid=65534 --clear-groups bin/perdure help > /dev/null 2>&1 3>&- ||
    skip "another user cannot come to this directory"
  run --separate-stderr -125 setpriv --reuid=65534 --regid=65534 --clear-groups bin/perdure run -- touch x 3>&-
  assert_clear_line
  assert_regex "$stderr" 'Permission denied; give another directory'
  assert_not_exist x
}

@test "a tail of another version, one that is no tail: refused" {
  crashed_run
  for version in 0 99; do
    damage_tail version $version
    assert_refused "the tail .*: it has version $version .*; use the (newer|older) perdure that wrote it\$"
    put_back
  done
  dd if=/dev/zero of="$run/tail" bs=1 count=8 conv=notrunc status=none
  assert_refused 'is not a tail'
  put_back
  rm "$run/tail"
  mkdir "$run/tail"
  assert_refused 'tail'
  put_back
  assert_ends_rightly
}

@test "a tail that was cut short: refused" {
  crashed_run
  for size in 0 100 131071 196607 196608 200000 5000000; do
    truncate -s $size "$run/tail"
    assert_refused "the tail .* is truncated: $size bytes"
    put_back
  done
  assert_ends_rightly
}

@test "a store that was cut short, wherever: refused" {
  crashed_run
  for size in 1 100 1023 4096 8192 20000; do
    truncate -s $size "$run/run.db"
    assert_refused 'truncated|not a perdure store'
    put_back
  done
  assert_ends_rightly
}

@test "a byte changed in any entry of the tail: refused, wherever in the entry" {
  crashed_run_in_tail
  turn=0
  while read -r position size; do
    # A different place in each entry: checksum, size, stream, call, kind, result, and the payload.
    places=(8 12 14 16 20 22 23 24 32 $((size / 2)) $((size - 1)))
    damage_tail flip "$position" "${places[turn++ % ${#places[@]}]}"
    assert_refused 'the tail is damaged at position [0-9]+'
    put_back
  done < entries
  assert_ends_rightly
}

@test "an entry that is gone from the middle of the tail: refused, or said to diverge, and nothing is done" {
  crashed_run_in_tail
  while read -r position _; do
    damage_tail flip "$position" 0
    run_durable -q "${job[@]}"
    assert_regex "$status" '^(120|125)$'
    assert_clear_line
    run -0 cmp out "$BATS_TEST_TMPDIR/out"
    put_back
    # But the newest two: that write's intent, which recovery drops, and the close before it, which is repeated.
  done < <(head -n -2 entries)
  assert_ends_rightly
}

@test "killed in the middle of writing an entry: it was never begun, wherever its writer was" {
  # Before an effect, its intent is the newest entry.
  for point in 1 3 5 21 41 61 81; do
    for state in whole half nothing noise; do
      crash_at $point "${job[@]}"
      newest=$(damage_tail list | tail -n 1)
      damage_tail tear "${newest% *}" $state
      assert_ends_rightly
      perdure rm job
      rm out
    done
  done
}

@test "killed while a signal's handler was writing too: a torn entry with whole ones behind it is passed over" {
  crash_at 61 "${job[@]}"
  # As two threads leave it: the first has reserved its space and was killed, the second had finished.
  python3 - "$run/tail" <<'SCRIPT'
import struct, sys
with open(sys.argv[1], "r+b") as tail:
    tail.seek(0)
    header = tail.read(128 << 10)
    ring_size, base = struct.unpack_from("<QQ", header, 16)
    heads = [at for at in range(8192, len(header) - 8, 64)
             if base < struct.unpack_from("<Q", header, at)[0] < base + ring_size]
    head, = struct.unpack_from("<Q", header, heads[0])
    tail.seek(heads[0])
    tail.write(struct.pack("<Q", head + 96))
SCRIPT
  assert_ends_rightly
  run -0 perdure verify job
}

@test "a byte changed anywhere in the store: refused, or it did not matter" {
  # All of the journal is in the store: the program's own death lets the drain finish.
  cat > steps.sh <<'SCRIPT'
i=0
while [ $i -lt 20 ]; do
  i=$((i + 1))
  echo "line $i" >> out
  [ $i -ne 10 ] || kill -9 $$
done
SCRIPT
  run_durable --no-retry "${job[@]}"
  assert_equal "$status" 137
  python3 - "$run/run.db" <<'SCRIPT'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
store.execute("pragma wal_checkpoint(truncate)")
SCRIPT
  rm -rf "$BATS_TEST_TMPDIR/aside"
  cp -a "$PERDURE_DIR" "$BATS_TEST_TMPDIR/aside"
  cp out "$BATS_TEST_TMPDIR/out"
  put_back
  run_durable -q --no-retry "${job[@]}"
  assert_equal "$status" 137
  cp out expected
  refused=0 step=2503
  [ -z "${PERDURE_TEST_LONG-}" ] || step=101
  for ((offset = 0; offset < $(stat -c %s "$BATS_TEST_TMPDIR/aside/runs/job/run.db"); offset += step)); do
    put_back
    python3 - "$run/run.db" $offset <<'SCRIPT'
import sys
with open(sys.argv[1], "r+b") as store:
    store.seek(int(sys.argv[2]))
    byte = store.read(1)[0]
    store.seek(-1, 1)
    store.write(bytes([byte ^ 0x20]))
SCRIPT
    run_durable -q --no-retry "${job[@]}"
    case $status in
      137) run -0 cmp out expected ;;
      *)
        refused=$((refused + 1))
        assert_equal "$status" 125
        assert_clear_line
        run -0 cmp out "$BATS_TEST_TMPDIR/out"
        ;;
    esac
  done
  echo "# refused $refused" >&3
  assert [ "$refused" -gt 0 ]
}
