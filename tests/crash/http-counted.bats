# SPDX-License-Identifier: Apache-2.0
# What the counting server has counted of runs that were killed at their kill points, and of some that were not.
load sweeps
load servers

setup() {
  set_up_inputs
  start_counting_server
  url="http://127.0.0.1:$port"
}

teardown() {
  stop_servers
}

@test "idempotent: every request arrives, none is executed twice, an answered one is not sent again" {
  local repeated=0
  count_point() {
    assert_equal "$status" 0
    assert_equal "$(grep -c executed "$requests")" 3
    assert_equal "$(mawk '{ print $3 }' "$requests" | sort -u | wc -l)" 3
    assert_answered_once
    repeated=$((repeated + $(grep -c repeated "$requests" || true)))
  }
  kill_everywhere -- curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b" --next -sS -X PATCH -d three=3 "$url/c"
  # Some were killed between the answer and its end in the journal.
  [ "$repeated" -gt 0 ]
}

@test "not idempotent: nothing is sent twice, and the run stops with 121 where nobody can tell" {
  local stopped=0 through=0
  count_point() {
    assert_equal "$(sort "$requests" | cut -d' ' -f1-2 | uniq -d)" ""
    if [ "$status" -eq 121 ]; then
      stopped=$((stopped + 1))
      assert_regex "$(cat "$BATS_TEST_TMPDIR/said")" 'nobody can tell whether entry [0-9]+ happened'
    else
      assert_equal "$status" 0
      assert_equal "$(wc -l < "$requests")" 2
      through=$((through + 1))
    fi
  }
  kill_everywhere --not-idempotent -- curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b"
  [ "$stopped" -gt 0 ]
  [ "$through" -gt 0 ]
}

@test "not idempotent: a GET that was under way is sent again" {
  count_point() {
    assert_equal "$status" 0
  }
  kill_everywhere --not-idempotent -- curl -sS -o out "$url/bytes/20000"
  assert_equal "$(wc -c < "$inputs/out")" 20000
}

@test "not idempotent in a scope alone: that request stops the run where nobody can tell, others are sent again" {
  local stopped=0 again=0 kill_step=2
  count_point() {
    # The charge is sent once at most; the others arrive as often as they have to, and are executed once.
    [ "$(grep -c charge "$requests")" -le 1 ]
    if [ "$status" -eq 121 ]; then
      stopped=$((stopped + 1))
      assert_regex "$(cat "$BATS_TEST_TMPDIR/said")" 'nobody can tell whether entry ([0-9]+) happened'
      "$PERDURE" show job "${BASH_REMATCH[1]}" | grep -q charge
    else
      assert_equal "$status" 0
      assert_equal "$(grep -c executed "$requests")" 3
      again=$((again + $(grep -c repeated "$requests" || true)))
    fi
  }
  kill_everywhere "$@" -- "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/paying" "$url"
  [ "$stopped" -gt 0 ]
  [ "$again" -gt 0 ]
}

@test "in an atomic region, an answered request is sent again when the region runs again, with the same key" {
  local again=0 kill_step=2
  count_point() {
    assert_equal "$status" 0
    assert_equal "$(grep -c executed "$requests")" 3
    # An order whose charge had been sent too was sent before the crash and after it.
    again=$((again + $(grep -c 'order.*repeated' "$requests" || true)))
  }
  kill_everywhere -- "$(realpath "${PERDURE_BUILD:-$BATS_TEST_DIRNAME/../../build}")/tests/programs/paying" "$url" region
  [ "$again" -gt 2 ]
}

@test "a run that is begun anew has other keys" {
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  "$PERDURE" run -- curl -sS -d one=1 "$url/a"
  "$PERDURE" run -- curl -sS -d one=1 "$url/a"
  assert_equal "$(grep -c executed "$requests")" 2
}

@test "--no-idempotency-key adds none" {
  export PERDURE_DIR="$BATS_TEST_TMPDIR/perdure"
  "$PERDURE" run --no-idempotency-key -- curl -sS -d one=1 "$url/a"
  assert_equal "$(cut -d' ' -f3 "$requests")" -
}
