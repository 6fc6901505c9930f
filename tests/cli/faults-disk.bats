#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A disk that is full: when a run starts, while it is drained, when it ends, and when it is resumed. What is
# done stays done, and once there is room the same command comes to the right end.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  # Each entry that reads random bytes takes as much room in the store as in the tail.
  cat > job.py <<'SCRIPT'
import os, sys
out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for i in range(int(sys.argv[1])):
    os.urandom(65536)
    os.write(out, b"line %d\n" % i)
print("done")
SCRIPT
}

teardown() {
  ! mountpoint -q "$PERDURE_DIR" || umount "$PERDURE_DIR"
}

# on_disk KIB: perdure's directory is a disk of that size.
on_disk() {
  mkdir -p "$PERDURE_DIR"
  mount -t tmpfs -o "size=$1k" none "$PERDURE_DIR" 2> /dev/null || skip "this user may not mount a small disk"
}

make_room() {
  mount -o remount,size=300m none "$PERDURE_DIR"
}

assert_lines() {
  assert_equal "$(cat out)" "$(seq -f 'line %g' 0 $(($1 - 1)))"
}

@test "full when the run starts, wherever: one line, no run is left, nothing was done; with more room it runs" {
  refused=0 kept=0 ended=0
  # No room for the boundary images, the store, the tail, the first commit, the rest; and then enough.
  for size in 16 1000 1500 20000 $(seq 32800 200 38000); do
    on_disk "$size"
    run_durable --id job -- /usr/bin/python3 job.py 3
    if [ "$status" -eq 0 ]; then
      ended=$((ended + 1))
      assert_equal "$stderr" ""
    elif [ -e out ]; then
      kept=$((kept + 1))
      assert_regex "$stderr" 'run job has ended, and the newest part of its journal cannot be stored: .*; it is kept; put that right'
    else
      refused=$((refused + 1))
      assert_clear_line
      assert_regex "$stderr" 'No space left on device|the disk is full'
      assert_equal "$(ls "$PERDURE_DIR/runs")" ""
    fi
    make_room
    run_durable -q --id job -- /usr/bin/python3 job.py 3
    assert_equal "$status" 0
    assert_equal "$stderr" ""
    assert_lines 3
    umount "$PERDURE_DIR"
    rm out
  done
  echo "# refused $refused, kept $kept, ended $ended" >&3
  assert [ "$refused" -gt 4 ]
  assert [ "$ended" -gt 0 ]
}

# start_until_full LINES: in the background, up to the line that says that the disk is full. What else it
# says comes from descriptor 8.
start_until_full() {
  mkfifo said
  "$PERDURE" run --id job -- /usr/bin/python3 job.py "$1" 2> said &
  supervisor=$!
  exec 8< said
  read -t 60 -r full <&8
  assert_regex "$full" '^perdure: run job: cannot write to the store .*: the disk is full; nothing is lost: the program waits when the tail is full, and goes on when it works again$'
}

@test "full while it runs: said once, the program waits for room, and goes on when there is some" {
  on_disk 40000
  # More than a tail and that disk hold.
  start_until_full 900
  make_room
  await_supervisor
  assert_equal "$status" 0
  assert_lines 900
  assert_equal "$(cat <&8)" "perdure: run job: the journal can be stored again"
  run -0 perdure verify job
}

@test "full, and all is killed: not resumed before there is room, and then to the right end" {
  on_disk 40000
  start_until_full 900
  kill -9 "$supervisor"
  await_supervisor
  assert_equal "$status" 137
  before=$(cat out)
  run_durable --id job -- /usr/bin/python3 job.py 900
  assert_equal "$status" 125
  assert_clear_line
  assert_equal "$(cat out)" "$before"
  # What there is can be looked at meanwhile.
  assert_regex "$(perdure status job)" 'state: +unfinished'
  make_room
  run_durable -q --id job -- /usr/bin/python3 job.py 900
  assert_equal "$status" 0
  assert_equal "$stderr" ""
  assert_lines 900
}

@test "full when the run ends: the tail keeps what the store could not take, and nothing runs again" {
  # The program itself takes all room but a little, before most of its calls.
  cat > fill.py <<'SCRIPT'
import os
disk = os.environ["PERDURE_DIR"]
ballast = os.open(disk + "/ballast", os.O_RDWR | os.O_CREAT)
# What drains meanwhile takes room too.
for little in range(100000, 3000000, 100000):
    free = os.statvfs(disk)
    try:
        os.posix_fallocate(ballast, 0, free.f_bavail * free.f_frsize - little)
        break
    except OSError:
        pass
exec(open("job.py").read())
SCRIPT
  on_disk 120000
  run_durable --id job -- /usr/bin/python3 fill.py 100
  assert_equal "$status" 125
  assert_regex "$stderr" 'run job has ended, and the newest part of its journal cannot be stored: .*the disk is full; it is kept; put that right, and run the same command again'
  assert_lines 100
  rm "$PERDURE_DIR/ballast"
  run_durable -q --id job -- /usr/bin/python3 fill.py 100
  assert_equal "$status" 0
  # The new pipe gets the output; the program had ended, and does nothing again.
  assert_equal "$stderr" ""
  assert_output "done"
  assert_lines 100
  run -0 perdure verify job
}

@test "full when it is resumed: refused before anything is done, then resumed" {
  on_disk 300000
  crash_near_end 100 job /usr/bin/python3 job.py 30
  before=$(cat out)
  # All but a little is taken.
  free=$(df --output=avail -k "$PERDURE_DIR" | tail -n 1)
  for left in 0 100 1000 20000; do
    fallocate -l "$((free - left))k" "$PERDURE_DIR/ballast"
    run_durable --id job -- /usr/bin/python3 job.py 30
    assert_equal "$status" 125
    assert_clear_line
    assert_equal "$(cat out)" "$before"
    rm "$PERDURE_DIR/ballast"
  done
  run_durable -q --id job -- /usr/bin/python3 job.py 30
  assert_equal "$status" 0
  assert_lines 30
}

@test "full where a file must be kept before it is cut: the file is not cut, and is once there is room" {
  head -c 8000000 /dev/urandom > input
  cat > cut.py <<'SCRIPT'
import os
out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(out, b"read %d\n" % len(open("input", "rb").read()))
os.truncate("input", 10)
os.write(out, b"left %d\n" % os.path.getsize("input"))
SCRIPT
  on_disk 38000
  run_durable --id job -- /usr/bin/python3 cut.py
  assert_equal "$status" 125
  assert_clear_line
  assert_regex "$stderr" 'input: No space left on device; free some space'
  assert_equal "$(stat -c %s input)" 8000000
  assert_equal "$(cat out)" "read 8000000"
  make_room
  run_durable -q --id job -- /usr/bin/python3 cut.py
  assert_equal "$status" 0
  assert_equal "$(cat out)" $'read 8000000\nleft 10'
}
