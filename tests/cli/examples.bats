# SPDX-License-Identifier: Apache-2.0
# The examples, each at some of its kill points: their runs say and check what comes out.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
  examples=$(realpath "$BATS_TEST_DIRNAME/../../examples")
}

# run_example NAME POINTS
run_example() {
  POINTS=$2 run "$examples/$1/run" "$(dirname "$PERDURE_ITSELF")"
  assert_success
}

@test "transfer: never half done" {
  run_example transfer 20
  assert_line --regexp '^20 points, 20 the same, 0 different$'
}

@test "order: paid once, wherever it was killed" {
  run_example order 20
  assert_output --regexp '^20 orders, each killed at another point: each paid once, [1-9][0-9]* of them after asking$'
}

@test "cache: filled anew, and not journaled" {
  run_example cache 20
  assert_line --partial 'no entry of it in the journal'
  assert_line --regexp '^20 points, 20 the same, 0 different$'
}

@test "flaky: the waits are the policy's" {
  run_example flaky 15
  assert_line --index 0 'refused twice, asked again after 20 and 40 ms and up to a tenth more, done once'
  assert_line --index 1 '15 runs, each killed at another point: done once'
}

@test "saga: booked once, cancelled once, in reverse" {
  run_example saga 15
  assert_output '15 journeys, each killed at another point: booked once, cancelled once, in reverse'
}

@test "replicas: a commit to two, with one of them down" {
  run_example replicas all
  assert_output 'letter: safe, on 2 replicas
parcel: safe, on 2 replicas
letter: delivered, and only on 1
parcel: delivered, and only on 1
one: entries, no defect'
}
