# SPDX-License-Identifier: Apache-2.0
# Running programs under the smallest engine (tests/programs/boundary_probe.c).

bats_load_library bats-support
bats_load_library bats-assert

programs=$PERDURE_BUILD/tests/programs

prepare_images() {
  export BOUNDARY_PROBE_CACHE=$1
  mkdir -p "$BOUNDARY_PROBE_CACHE"
  "$programs/boundary_prepare" "$BOUNDARY_PROBE_CACHE"
}

# Runs a command whose calls go through the engine.
run_probed() {
  export BOUNDARY_PROBE_REPORT=$BATS_TEST_TMPDIR/report
  : > "$BOUNDARY_PROBE_REPORT"
  run env LD_PRELOAD="$programs/boundary_probe.so" "$@"
}

# At least that many calls of a kind (calls, vdso, clones) were seen, in all processes together.
assert_seen() {
  local seen
  seen=$(awk -v kind="$1" '{ for (i = 1; i < NF; i += 2) if ($i == kind) sum += $(i + 1) }
    END { print sum + 0 }' "$BOUNDARY_PROBE_REPORT")
  [ "$seen" -ge "$2" ] || fail "only $seen $1 were seen, not $2"
}

# A program does the same under the engine as it does without.
assert_same_as_without() {
  local expected expected_status
  expected_status=0
  expected=$("$@" 2>&1) || expected_status=$?
  run_probed "$@"
  assert_equal "$status" "$expected_status"
  assert_output "$expected"
}
