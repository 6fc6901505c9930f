#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The program, its supervisor, or both are killed from outside, wherever they happen to be: nothing is lost, nothing is
# done twice, and the program never goes on without its journal.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  # Says its number and each line in `out`, which is shared with the test.
  cat > job.py <<'SCRIPT'
import os, sys
out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
up = os.open("up", os.O_RDWR)
os.write(up, b"%d\n" % os.getpid())
for i in range(int(sys.argv[1])):
    os.write(out, b"line %d\n" % i)
print("done")
SCRIPT
}

# start_job LINES [OPTION...]: in the background. $supervisor; $program as soon as it is about to write.
start_job() {
  local count=$1
  shift
  [ -e up ] || mkfifo up
  "$PERDURE" run -q --id job "$@" -- /usr/bin/python3 job.py "$count" > said &
  supervisor=$!
  read -t 30 -r program <> up
}

assert_ends_rightly() {
  mkfifo up 2> /dev/null || true
  # It writes its number again only if it had not yet.
  run_durable -q --id job -- /usr/bin/python3 job.py "$1"
  assert_equal "$status" 0
  assert_equal "$output" "done"
  assert_equal "$(cat out)" "$(seq -f 'line %g' 0 $(($1 - 1)))"
  run -0 perdure verify job
}

@test "the supervisor killed alone while the program writes: the program dies with it and writes nothing more" {
  for _ in 1 2 3 4 5; do
    start_job 200000
    kill -9 "$supervisor"
    await_death "$program"
    size=$(stat -c %s out 2> /dev/null || echo 0)
    await_supervisor
    assert_equal "$status" 137
    # What the program did is in the journal, all of it: as many lines as there are, and one that may be under way.
    written=$(grep -c . out 2> /dev/null || true)
    recorded=$(perdure log job | grep -c 'write(3, "line .*intent' || true)
    assert [ "$recorded" -ge "${written:-0}" ]
    assert [ "$recorded" -le $((${written:-0} + 1)) ]
    assert_equal "$(stat -c %s out 2> /dev/null || echo 0)" "$size"
    perdure rm job
    rm -f out
  done
}

@test "the supervisor killed alone: the same command comes to the right end" {
  start_job 20000
  kill -9 "$supervisor"
  await_supervisor
  assert_ends_rightly 20000
}

@test "the program killed alone from outside: it is started again at once, and comes to the right end" {
  start_job 200000 --retry min=1ms,jitter=0
  kill -9 "$program"
  await_supervisor
  assert_equal "$status" 0
  assert_equal "$(cat out)" "$(seq -f 'line %g' 0 199999)"
  run -0 perdure sql job "select ended from attempt order by number"
  assert_output $'killed\nexited'
}

@test "with --no-retry: said, 137, and the same command comes to the right end" {
  start_job 200000 --no-retry
  kill -9 "$program"
  await_supervisor
  assert_equal "$status" 137
  run -0 perdure status job
  assert_line --regexp '^state: +unfinished$'
  assert_ends_rightly 200000
}

@test "both killed, the program first or the supervisor first: the same command comes to the right end" {
  start_job 20000
  kill -9 "$program" "$supervisor"
  await_supervisor
  for _ in 1 2 3; do
    "$PERDURE" run -q --id job -- /usr/bin/python3 job.py 20000 > said &
    supervisor=$!
    # In the middle of the recovery, or of the replay, or of what is new: wherever it is.
    kill -9 "$supervisor"
    await_supervisor
  done
  assert_ends_rightly 20000
}
