# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Programs that nobody kills: the same commands as those of the sweeps, for the replay suite.

# What is in a directory: names, kinds, modes, links, contents.
list_tree() {
  (cd "$1" && find . -printf '%P %y %m %n %l\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}

# compare_option: the COMMAND of --compare among check_options.
compare_option() {
  local word found=
  for word in "${check_options[@]}"; do
    [ "$found" != --compare ] || printf '%s' "$word"
    found=$word
  done
}

# in_copy NAME COMMAND...: runs it in a fresh copy of $inputs, always at the same path. Its status, output and
# what it leaves are $at/NAME.*.
in_copy() {
  local name=$1 ended=0
  shift
  rm -rf "$at/work"
  cp -a "$inputs" "$at/work"
  (cd "$at/work" && exec "$@" < /dev/null > "$at/$name.out" 2> "$at/$name.err" 3>&-) || ended=$?
  echo "$ended" > "$at/$name.status"
}

# assert_reproduced COMMAND...: uncrashed it leaves, prints and returns what it does without perdure, and
# `verify --replay` makes every call of it again, twice, and changes nothing.
assert_reproduced() {
  local at="$BATS_TEST_TMPDIR/reproduced$((reproduced += 1))" compare
  compare=$(compare_option)
  mkdir "$at"
  export PERDURE_DIR="$at/perdure"
  in_copy bare "$@"
  list_tree "$at/work" > "$at/bare.tree"
  mv "$at/work" "$at/bare"
  in_copy durable "$PERDURE" run -q --replayable --id job -- "$@"
  list_tree "$at/work" > "$at/durable.tree"
  diff "$at/bare.status" "$at/durable.status"
  if [ -n "$compare" ]; then
    diff <(cd "$at/bare" && sh -c "$compare") <(cd "$at/work" && sh -c "$compare")
  else
    diff "$at/bare.out" "$at/durable.out"
    diff "$at/bare.err" "$at/durable.err"
    diff "$at/bare.tree" "$at/durable.tree"
  fi
  # A run that a signal ends is never finished, so there is nothing to replay whole.
  [ "$(cat "$at/bare.status")" -lt 128 ] || return 0
  for _ in once twice; do
    run "$PERDURE" verify --replay job
    assert_success
    assert_line "job: every call came again as it is recorded"
    list_tree "$at/work" | diff "$at/durable.tree" -
  done
  run -0 "$PERDURE" verify job
}
