# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Servers on 127.0.0.1 that outlive the kill points of a sweep. Whoever starts one calls stop_servers in
# teardown: it ends them by their own pids.

servers=()

# start_counting_server [PORT]: its port in $port, its log in $requests.
start_counting_server() {
  local build
  build=$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")
  requests="$BATS_TEST_TMPDIR/requests"
  rm -f "$BATS_TEST_TMPDIR/ready"
  mkfifo "$BATS_TEST_TMPDIR/ready"
  "$build/tests/programs/counting_server" "$requests" "$BATS_TEST_TMPDIR/ready" "$@" 3>&- &
  servers+=($!)
  read -r port < "$BATS_TEST_TMPDIR/ready"
}

stop_servers() {
  local server
  for server in "${servers[@]}"; do
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  done
  servers=()
}

# ---- what the server counts ----

# The keys of those of the run's exchanges that have their end in the journal, one a line.
answered_keys() {
  local seq
  for seq in $("$PERDURE" sql job "select i.seq from entries r join entries i on i.position = cast(r.args as integer)
      where r.call_id = 1100 and r.kind = 'result' and i.call_id = 1100 and i.kind = 'intent'"); do
    "$PERDURE" show job "$seq" | mawk '/^    [0-9a-f]+  / { printf "%s", substr($0, 64) } END { print "" }' |
      sed -nE 's/.*Idempotency-Key: (.{36}).*/\1/p'
  done
}

# What was answered before the crash has come to the server once, the run being through now.
assert_answered_once() {
  local key
  while read -r key; do
    assert_equal "$(grep -c " $key " "$requests")" 1
  done < "$BATS_TEST_TMPDIR/answered"
}

# kill_everywhere [OPTION...] -- COMMAND...: runs it, killed at point 1, 2, ... and resumed. Calls
# count_point after each, with the exit status in $status, the server's lines in $requests, and what was answered
# before the resumption in the file `answered`.
kill_everywhere() {
  local options=() point=0 step=1
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  [ -n "${PERDURE_TEST_LONG-}" ] || step=5
  killed=0
  while :; do
    point=$((point + step))
    rm -rf "$PERDURE_DIR"
    : > "$requests"
    (cd "$inputs" && PERDURE_CRASH_AT=$point "$PERDURE" run "${options[@]}" --id job -- "$@") > "$BATS_TEST_TMPDIR/said" 2>&1 && break
    killed=$((killed + 1))
    answered_keys > "$BATS_TEST_TMPDIR/answered"
    status=0
    (cd "$inputs" && "$PERDURE" run "${options[@]}" --id job -- "$@") > "$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
    count_point
  done
  [ "$killed" -gt 10 ]
}
