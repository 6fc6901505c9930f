# SPDX-License-Identifier: Apache-2.0
# sort, sed, awk, split, jq, killed at their kill points.
load sweeps

setup() {
  check_options=()
  set_up_inputs
}

@test "sort with spilled temporary files" {
  assert_survives sort -n -S 16k -T . -o sorted numbers
}

@test "sort in place" {
  assert_survives sort -n -o numbers numbers
}

@test "sed -i" {
  assert_survives sed -i 's/word1/WORD/' numbers tree/few
}

@test "mawk writes to several files" {
  # shellcheck disable=SC2016  # awk's
  assert_survives mawk '{ print > ("out" $1 % 3); sum += $1 } END { print sum; print sum > "sum" }' numbers
}

@test "gawk writes to several files" {
  # shellcheck disable=SC2016  # awk's
  assert_survives gawk '{ print > ("out" $1 % 3); sum += $1 } END { print sum; print sum > "sum" }' numbers
}

@test "split" {
  assert_survives split -l 200 numbers part-
}

@test "jq" {
  jq -R -n '[inputs | split(" ") | {number: .[0] | tonumber, word: .[1]}]' "$inputs/numbers" > "$inputs/numbers.json"
  assert_survives jq 'group_by(.word) | map({word: .[0].word, sum: map(.number) | add}) | .[:50]' numbers.json
}
