#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A run that is killed in the middle of a sleep wakes when it would have waked. Measured in the journal's own times,
# between the sleep's intent and its result, so that a slow machine makes no difference but in the slack.

bats_require_minimum_version 1.5.0

setup() {
  load ../cli/domain.bash
  set_up_place
}

SLEEP_S=6

# kill_asleep ID COMMAND...: kills the whole tree as soon as its sleep is in the journal.
kill_asleep() {
  local id=$1
  shift
  "$PERDURE" run -q --id "$id" -- "$@" &
  supervisor=$!
  until [ -e "$PERDURE_DIR/runs/$id/run.db" ] && perdure status "$id" > /dev/null 2>&1; do
    kill -0 "$supervisor"
  done
  timeout 20 grep -q -m 1 'nanosleep.*intent' < <(exec "$PERDURE" log --follow "$id")
  kill -9 "$supervisor"
  await_supervisor
  assert_equal "$status" 137
}

# slept ID: nanoseconds from the first intent of its sleep to its result.
slept() {
  perdure log --json "$1" | python3 -c '
import json, sys
sleeps = [entry for line in sys.stdin for entry in [json.loads(line)] if "nanosleep" in entry.get("call", "")]
begun = [entry["time_ns"] for entry in sleeps if entry["kind"] == "intent"]
ended = [entry["time_ns"] for entry in sleeps if entry["kind"] == "result"]
assert len(begun) >= 1 and len(ended) == 1, sleeps
print(ended[0] - begun[0])'
}

@test "a resumed sleep waits only for what is left, and not less: relative and absolute ones" {
  kill_asleep relative sleep $SLEEP_S
  kill_asleep absolute /usr/bin/python3 -c "import time; time.sleep($SLEEP_S)"
  # Time passes while nobody runs: most of it.
  sleep $((SLEEP_S - 2))
  "$PERDURE" run -q --id absolute -- /usr/bin/python3 -c "import time; time.sleep($SLEEP_S)" &
  supervisor=$!
  run_durable -q --id relative -- sleep $SLEEP_S
  assert_equal "$status" 0
  await_supervisor
  assert_equal "$status" 0
  for id in relative absolute; do
    took=$(slept $id)
    # The journal's clock is coarse: a few milliseconds.
    assert [ "$took" -ge $((SLEEP_S * 1000000000 - 20000000)) ]
    # From its beginning again it would be 10 s.
    assert [ "$took" -lt $((2 * SLEEP_S * 1000000000 - 2500000000)) ]
  done
}

@test "killed in its sleep again and again, it still wakes when it would have" {
  kill_asleep job sleep $SLEEP_S
  for _ in 1 2 3; do
    kill_asleep job sleep $SLEEP_S
  done
  sleep $((SLEEP_S - 3))
  run_durable -q --id job -- sleep $SLEEP_S
  assert_equal "$status" 0
  took=$(slept job)
  assert [ "$took" -ge $((SLEEP_S * 1000000000 - 20000000)) ]
  assert [ "$took" -lt $((2 * SLEEP_S * 1000000000 - 3500000000)) ]
  run -0 perdure verify job
}

@test "a sleep whose time is over when it is resumed does not wait" {
  kill_asleep job sleep 3
  sleep 3
  run_durable -q --id job -- sleep 3
  assert_equal "$status" 0
  assert [ "$(slept job)" -lt 6000000000 ]
}
