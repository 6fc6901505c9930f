#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What becomes of output that a killed attempt had given already: for each kind of standard output, and each --output.

bats_require_minimum_version 1.5.0

setup() {
  load ../cli/domain.bash
  set_up_place
  cat > job.sh <<'SCRIPT'
i=0
while [ $i -lt 10 ]; do
  i=$((i + 1))
  echo "said $i"
  echo "told $i" >&2
done
SCRIPT
  # Both attempts, on what this script's standard output is: MODE of --output.
  cat > twice.sh <<'SCRIPT'
PERDURE_CRASH_AT=$1 "$3" run -q --id job -- /bin/sh job.sh
"$3" run -q --output "$2" --id job -- /bin/sh job.sh
SCRIPT
  # Behind some lines.
  perdure run -q --id undisturbed -- /bin/sh job.sh > /dev/null 2>&1
  point=$(($(perdure sql undisturbed "select value from meta where key = 'crash_points'") - 25))
}

# assert_said TEXT COUNT: each line COUNT times where it was given before the crash, and once where it was not.
assert_said() {
  assert_equal "$(grep -c '^said 1$' <<< "$1")" "$2"
  assert_equal "$(grep -c '^said 10$' <<< "$1")" 1
}

# The same object for both attempts.
on_terminal() { script -qec "/bin/sh twice.sh $point $1 '$PERDURE'" /dev/null < /dev/null | tr -d '\r' | grep said; }
on_pipe() { /bin/sh twice.sh $point "$1" "$PERDURE" 2> /dev/null | cat; }
on_file() { /bin/sh twice.sh $point "$1" "$PERDURE" > kept 2> /dev/null && cat kept; }

# Another one for the second attempt.
on_new_terminal() {
  script -qec "PERDURE_CRASH_AT=$point '$PERDURE' run -q --id job -- /bin/sh job.sh" /dev/null < /dev/null > /dev/null
  script -qec "'$PERDURE' run -q --output $1 --id job -- /bin/sh job.sh" /dev/null < /dev/null | tr -d '\r' | grep said
}
on_new_pipe() {
  PERDURE_CRASH_AT=$point perdure run -q --id job -- /bin/sh job.sh 2> /dev/null | cat > /dev/null
  perdure run -q --output "$1" --id job -- /bin/sh job.sh 2> /dev/null | cat
}
on_emptied_file() {
  PERDURE_CRASH_AT=$point perdure run -q --id job -- /bin/sh job.sh > kept 2> /dev/null || true
  perdure run -q --output "$1" --id job -- /bin/sh job.sh > kept 2> /dev/null
  cat kept
}

# assert_given MODE ON COUNT...
assert_given() {
  local mode=$1 on count
  shift
  while [ $# -gt 0 ]; do
    on=$1 count=$2
    shift 2
    echo "$mode, $on"
    assert_said "$("$on" "$mode")" "$count"
    perdure rm job
    rm -f kept
  done
}

@test "--output auto: not twice to the same terminal, pipe or file; in full to a new pipe or an emptied file" {
  assert_given auto on_terminal 1 on_pipe 1 on_file 1 on_new_pipe 1 on_emptied_file 1
}

@test "--output once: only what is new, wherever it goes" {
  assert_given once on_terminal 1 on_pipe 1 on_file 1 on_new_terminal 0 on_new_pipe 0 on_emptied_file 0
}

@test "--output again: all of it, also where it was given before" {
  assert_given again on_terminal 2 on_pipe 2 on_file 2 on_new_terminal 1 on_new_pipe 1 on_emptied_file 1
}

@test "standard output and standard error each have their own: one to a new pipe, the other kept" {
  PERDURE_CRASH_AT=$point "$PERDURE" run -q --id job -- /bin/sh job.sh 2>> told | cat > /dev/null
  assert_said "$(perdure run -q --id job -- /bin/sh job.sh 2>> told)" 1
  assert_equal "$(cat told)" "$(seq -f 'told %g' 10)"
}
