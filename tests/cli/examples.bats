# SPDX-License-Identifier: Apache-2.0
# The examples, each at all of its kill points, or 150 of them: their runs say and check what comes out.
# With PERDURE_TEST_LONG at all of them.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
  examples=$(realpath "$BATS_TEST_DIRNAME/../../examples")
}

run_example() {
  local points=150
  if [ -n "${PERDURE_TEST_LONG:-}" ]; then points=all; fi
  POINTS=$points run "$examples/$1/run" "$(dirname "$PERDURE_ITSELF")"
  assert_success
}

@test "transfer: never half done" {
  run_example transfer
  assert_line --regexp '^1[5-9][0-9] points, 1[5-9][0-9] the same, 0 different$'
}

@test "order: paid once, wherever it was killed" {
  run_example order
  assert_output --regexp '^[6-9][0-9] orders, each killed at another point: each paid once, [1-9][0-9]* of them after asking$'
}

@test "cache: filled anew, and not journaled" {
  run_example cache
  assert_line --partial 'no entry of it in the journal'
  assert_line --regexp '^1[5-9][0-9] points, 1[5-9][0-9] the same, 0 different$'
}

@test "flaky: the waits are the policy's" {
  run_example flaky
  assert_line --index 0 'refused twice, asked again after 20 and 40 ms and up to a tenth more, done once'
  assert_line --index 1 --regexp '^[6-9][0-9] runs, each killed at another point: done once$'
}

@test "saga: booked once, cancelled once, in reverse" {
  run_example saga
  assert_output --regexp '^1[0-9][0-9] journeys, each killed at another point: booked once, cancelled once, in reverse$'
}

@test "replicas: a commit to two, with one of them down" {
  run_example replicas
  assert_output 'letter: safe, on 2 replicas
parcel: safe, on 2 replicas
letter: delivered, and only on 1
parcel: delivered, and only on 1
one: entries, no defect'
}
