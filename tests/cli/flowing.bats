#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pipes through which more goes than is recorded, and devices whose bytes are known.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

# Of a pipe, and of the read with which the limit was passed.
recorded_max=$(((1 << 20) + (1 << 18)))

@test "the journal has of each pipe no more bytes than the limit, and the run replays whole" {
  head -c 60000000 /dev/zero > zeros
  run_durable -q --replayable --id job -- /bin/sh -c 'cat zeros | cat | cksum'
  assert_output "$(cksum < zeros)"
  recorded=$(perdure sql job "select sum(length(output)) from entries where call = 'read'")
  [ "$recorded" -lt $((2 * recorded_max)) ]
  run -0 perdure verify job
  run -0 perdure verify --replay job
  assert_output "job: every call came again as it is recorded"
}

@test "several that write into such a pipe at a time lose nothing" {
  cat > job.sh <<'END'
for i in 1 2 3 4; do
  yes "$(printf '%0999d' "$i")" | head -n 3000 &
done | tr -d '0\n' | fold -w 1 | sort | uniq -c
wait
END
  expected=$(printf '%7d %d\n' 3000 1 3000 2 3000 3 3000 4)
  run_durable -q --id job -- /bin/bash job.sh
  assert_output "$expected"
}

@test "a program that is one step reads from such a pipe: it is not written for again" {
  step=$(dirname "$PERDURE_ITSELF")/tests/programs/opaque_step
  head -c 5000000 /dev/zero > zeros
  # What waits for the reader's end is resumed: the writer has been cut off by it.
  echo "cat zeros | { head -c 4000000 | cksum; exec $step log one; }; cat zeros | cksum; kill -9 \$PPID" > job.sh
  run -137 "$PERDURE" run -q --id job -- /bin/sh job.sh
  run timeout 60 "$PERDURE" run -q --no-retry --id job -- /bin/sh job.sh
  assert_line "$(cksum < zeros)"
  assert_equal "$(cat log)" one
}

@test "zeros that are read from a device are not recorded, and come again; random bytes are recorded" {
  run_durable -q --replayable --id job -- /bin/sh -c 'head -c 3000000 /dev/zero | cksum; head -c 100000 /dev/full | cksum; head -c 20 /dev/urandom | cksum'
  assert_line --index 0 "$(head -c 3000000 /dev/zero | cksum)"
  assert_line --index 1 "$(head -c 100000 /dev/zero | cksum)"
  run -0 perdure sql job "select count(*) from entries where call = 'read' and length(output) = 20"
  refute_output 0
  run -0 perdure verify --replay job
  assert_output "job: every call came again as it is recorded"
  run -0 perdure log job
  assert_output --regexp 'read\([0-9]+, \{[0-9]+ zeros\}, '
}

@test "zeros that are read into several pieces come again into all of them" {
  run_durable -q --replayable --id job -- /usr/bin/python3 -c '
import os
zero = os.open("/dev/zero", os.O_RDONLY)
pieces = [bytearray(b"x" * n) for n in (1, 0, 5000, 3)]
print(os.readv(zero, pieces), [sum(piece) for piece in pieces], os.pread(zero, 3, 7).hex())'
  assert_output '5004 [0, 0, 0, 0] 000000'
  run -0 perdure verify --replay job
  assert_output "job: every call came again as it is recorded"
}
