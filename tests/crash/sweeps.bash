# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sweeps of real programs: killed at every kill point, or at 150 spread evenly where there are more; on a slow machine, at
# as many as 20 seconds allow. PERDURE_TEST_LONG: at every one, with larger inputs. PERDURE_UNCRASHED: not killed at all, and replayed.

bats_require_minimum_version 1.5.0

bats_load_library bats-support
bats_load_library bats-assert

# A folder of inputs, the same in every run of the tests, in $inputs.
set_up_inputs() {
  local build lines=1500
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  PERDURE="$BATS_TEST_TMPDIR/perdure-without-3"
  # Descriptor 3 is bats' own: a program must not inherit it.
  printf '#!/bin/bash\nexec "%s" "$@" 3>&-\n' "$build/perdure" > "$PERDURE"
  chmod +x "$PERDURE"
  [ -z "${PERDURE_TEST_LONG-}" ] || lines=4000
  inputs="$BATS_TEST_TMPDIR/inputs"
  mkdir -p "$inputs/tree/deep"
  mawk -v lines=$lines 'BEGIN {
    seed = 42
    for (i = 0; i < lines; i++) { seed = (seed * 16807) % 2147483647; print seed % 100000, "word" seed % 977 }
  }' > "$inputs/numbers"
  head -n 700 "$inputs/numbers" > "$inputs/tree/few"
  # More than is recorded rather than referenced.
  for _ in 1 2 3 4 5 6; do cat "$inputs/tree/few"; done > "$inputs/tree/deep/many"
  ln -s ../few "$inputs/tree/deep/link"
  ln "$inputs/tree/few" "$inputs/tree/hard"
  mkdir "$inputs/tree/empty"
  chmod 750 "$inputs/tree/deep"
  chmod 640 "$inputs/tree/deep/many"
}

# assert_survives COMMAND...: the same at every kill point, and the same uncrashed as without perdure.
assert_survives() {
  if [ -n "${PERDURE_UNCRASHED-}" ]; then
    load reproduced
    assert_reproduced "$@"
    return
  fi
  local points=${sweep_points-150}
  local limits=(--points "$points" --within "${sweep_within-20}")
  [ -z "${PERDURE_TEST_LONG-}" ] || limits=(--points all)
  run --separate-stderr "$PERDURE" check "${limits[@]}" --jobs 1 --from "$inputs" "${check_options[@]}" -- "$@"
  # The figures belong into the report of a long run.
  [ ${#lines[@]} -eq 0 ] || echo "# $1: ${lines[-1]}" >&3
  # shellcheck disable=SC2154 # bats sets stderr
  [ "$status" -eq 0 ] || printf '%s\n' "$output" "$stderr"
  assert_success
  assert_line --regexp '^[1-9][0-9]* points, [1-9][0-9]* the same, 0 different$'
}
