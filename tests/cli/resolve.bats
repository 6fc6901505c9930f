#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A run that has stopped with 121: a person says what became of its request, and it goes on from there.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load ../crash/servers.bash
  set_up_place
  start_counting_server
  url="http://127.0.0.1:$port"
}

teardown() {
  stop_servers
}

state_of() {
  perdure http --json job | python3 -c '
import json, sys
print(",".join(exchange["state"] + ":" + str(exchange["response_size"]) for exchange in json.load(sys.stdin)))'
}

# How the exchanges of a new run of $command stand that is killed there.
state_at() {
  rm -rf "$PERDURE_DIR"
  PERDURE_CRASH_AT=$1 "$PERDURE" run -q --not-idempotent --id job -- "${command[@]}" > /dev/null 2>&1 && return
  local state
  state=$(state_of)
  # shellcheck disable=SC2053  # a pattern
  if [[ $state == $wanted ]]; then
    echo there
  elif [ "${state:-under way:0}" = 'under way:0' ]; then
    echo before
  fi
}

# stop_open STATE COMMAND...: COMMAND is killed while its exchanges stand so, and then what the next attempt says:
# $seq is the number of the (last) request that it names.
stop_open() {
  wanted=$1
  shift
  command=("$@")
  PERDURE_CRASH_AT=$((1 << 62)) run --separate-stderr "$PERDURE" run --not-idempotent --id count -- "${command[@]}"
  by_halves "$(perdure sql count "select value from meta where key = 'crash_points'")" state_at
  : > "$requests"
  go_on
  assert_equal "$status" 121
  seq=$(sed -n 's/.*nobody can tell whether entry \([0-9]*\) happened.*/\1/p' <<< "$stderr" | tail -n 1)
}

go_on() {
  run --separate-stderr "$PERDURE" run --id job -- "${command[@]}"
}

# Nothing of the run has changed since `before`.
keep_state() {
  cp "$PERDURE_DIR/runs/job/run.db" before.db
  entries=$(perdure sql job 'select count(*) from entries')
}
assert_nothing_changed() {
  assert_equal "$(perdure sql job 'select count(*) from entries')" "$entries"
  assert_equal "$(perdure status --json job | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])')" unknown
}

post() {
  stop_open 'under way:0' curl -sS -o out -w '%{http_code} %{content_type} %{size_download} %{method}\n' -d one=1 "http://me:hush@127.0.0.1:$port/a"
}

@test "the message names the request, hides its password, and says the commands" {
  post
  assert_regex "$stderr" "nobody can tell whether entry $seq happened: .*curl_easy_perform\\(\"POST\", \"http://me:\\*\\*\\*\\*@127.0.0.1:$port/a\"\\)"
  assert_regex "$stderr" "\`perdure resolve job $seq --retry\`, \`perdure resolve job $seq --response FILE\`, or \`perdure resolve job $seq --failed CURLE_RECV_ERROR\`"
  refute_regex "$stderr" hush
  # It says so as often as it is asked.
  go_on
  assert_equal "$status" 121
}

@test "--retry sends the request again, with the same key, and once" {
  post
  run -0 perdure resolve job "$seq" --retry
  assert_output 'job: `perdure resume job` goes on with it'
  go_on
  assert_equal "$status" 0
  assert_line --regexp '^200 text/plain 27 POST$'
  assert_equal "$(wc -l < "$requests")" 1
  assert_equal "$(cut -d' ' -f3 "$requests")" "$(perdure show job "$seq" | sed -n 's/> Idempotency-Key: //p')"
  run -0 perdure verify job
}

# Where the next attempt of the stopped run is that is killed there: has it sent the request?
again_at() {
  rm -rf "$PERDURE_DIR/runs/job"
  cp -a stopped "$PERDURE_DIR/runs/job"
  PERDURE_CRASH_AT=$1 "$PERDURE" resume -q job > /dev/null 2>&1 && return
  case $(perdure http --json job) in
    *'"sent":2'*'"state":"under way"'* | *'"state":"under way"'*'"sent":2'*) echo there ;;
    *'"state":"under way"'*) echo before ;;
  esac
}

@test "a retry that is killed in its middle is unknown again" {
  post
  perdure resolve job "$seq" --retry
  cp -a "$PERDURE_DIR/runs/job" stopped
  by_halves 400 again_at
  go_on
  assert_equal "$status" 121
  perdure resolve job "$seq" --retry
  go_on
  assert_equal "$status" 0
}

@test "--response gives the program a body, and getinfo what goes with it" {
  post
  echo 'the given body' > body
  perdure resolve job "$seq" --response body --status 201
  go_on
  assert_equal "$status" 0
  assert_line '201  15 POST'
  cmp out body
  assert_equal "$(wc -l < "$requests")" 0
  assert_equal "$(perdure sql job 'select state, status, code, response_size, sent, resolved from exchanges')" 'ended|201|0|15|1|1'
  run -0 perdure verify job
  run -0 perdure verify --replay job
}

@test "--response takes a whole response with its header" {
  post
  printf 'HTTP/1.1 202 Later\r\nContent-Type: text/x-given\r\nContent-Length: 4\r\n\r\nbody' > whole
  perdure resolve job "$seq" --response whole
  go_on
  assert_equal "$status" 0
  assert_line '202 text/x-given 4 POST'
  assert_equal "$(cat out)" body
  run -0 perdure show job "$seq"
  assert_line '< HTTP/1.1 202 Later'
}

@test "a response of which the program has had a part goes on where that ends" {
  stop_open 'under way:[1-9]*' curl -sS -o out -D headers -X POST "$url/bytes/60000"
  curl -sS -o whole "$url/bytes/60000"
  keep_state
  head -c 60000 /dev/zero > other
  run --separate-stderr perdure resolve job "$seq" --response other
  assert_equal "$status" 125
  assert_clear_line
  assert_regex "$stderr" 'is another one than that which the program has had'
  assert_nothing_changed
  head -c 10 whole > short
  run --separate-stderr perdure resolve job "$seq" --response short
  assert_equal "$status" 125
  assert_clear_line
  assert_nothing_changed
  run --separate-stderr perdure resolve job "$seq" --response whole --status 500
  assert_equal "$status" 125
  assert_clear_line
  assert_regex "$stderr" 'has been told status 200'
  assert_nothing_changed
  perdure resolve job "$seq" --response whole
  go_on
  assert_equal "$status" 0
  cmp out whole
  assert_equal "$(head -n 1 headers | tr -d '\r')" 'HTTP/1.1 200 Fine'
}

@test "--failed lets the call fail as it is said" {
  post
  perdure resolve job "$seq" --failed CURLE_COULDNT_CONNECT
  go_on
  assert_equal "$status" 7
  assert_regex "$stderr" 'curl: \(7\) '
  assert_equal "$(wc -l < "$requests")" 0
  assert_equal "$(perdure sql job 'select code_name, resolved from exchanges')" 'CURLE_COULDNT_CONNECT|1'
}

@test "--fail and a given status of 400 and more end as libcurl ends it" {
  stop_open 'under way:0' curl -sS --fail -o out -d one=1 "$url/a"
  echo gone > body
  perdure resolve job "$seq" --response body --status 410
  go_on
  assert_equal "$status" 22
}

@test "killed at any point while a response is given, it is given whole, once" {
  stop_open 'under way:0' curl -sS -d one=1 "$url/a" --next -sS -d two=2 "$url/b"
  seq 1 9000 > body
  perdure resolve job "$seq" --response body
  cp -a "$PERDURE_DIR/runs/job" stopped
  local point=0 killed=0
  while :; do
    point=$((point + 5))
    rm -rf "$PERDURE_DIR/runs/job"
    cp -a stopped "$PERDURE_DIR/runs/job"
    : > "$requests"
    (PERDURE_CRASH_AT=$point "$PERDURE" resume job > first 2> /dev/null) && break
    [ "$(grep -c /b "$requests" || true)" -eq 0 ] || break
    killed=$((killed + 1))
    "$PERDURE" resume job > second 2> said || true
    head -n 9000 second > given
    cmp given body
    [ "$(grep -c /a "$requests" || true)" -eq 0 ]
  done
  [ "$killed" -gt 5 ]
}

@test "what is not open, is resolved already, or is not stopped, is refused in one line, and nothing changes" {
  post
  keep_state
  for number in 1 999999 $((seq + 1)); do
    run --separate-stderr perdure resolve job "$number" --retry
    assert_equal "$status" 125
    assert_clear_line
    assert_nothing_changed
  done
  run --separate-stderr perdure resolve job "$seq" --failed NONSENSE
  assert_equal "$status" 125
  assert_clear_line
  run --separate-stderr perdure resolve job "$seq" --response missing
  assert_equal "$status" 125
  assert_clear_line
  run --separate-stderr perdure resolve job "$seq" --retry --failed OK
  assert_equal "$status" 125
  assert_clear_line
  run --separate-stderr perdure resolve job "$seq" --retry --status 200
  assert_equal "$status" 125
  assert_clear_line
  assert_nothing_changed
  perdure resolve job "$seq" --retry
  entries=$((entries + 1))
  run --separate-stderr perdure resolve job "$seq" --retry
  assert_equal "$status" 125
  assert_clear_line
  assert_regex "$stderr" 'has been resolved already'
  assert_nothing_changed
  go_on
  run --separate-stderr perdure resolve job "$seq" --retry
  assert_equal "$status" 125
  assert_clear_line
}

@test "a live run is not resolved" {
  start_waiting_run job
  run --separate-stderr perdure resolve job 1 --retry
  assert_equal "$status" 125
  assert_clear_line
  let_go
  await_supervisor
}

@test "several requests that are under way are resolved one by one" {
  stop_open 'under way:0,under way:0' curl -sS -Z -d one=1 "$url/slow/100" --next -sS -d two=2 "$url/slow/100"
  assert_equal "$(grep -c 'nobody can tell whether entry' <<< "$stderr")" 2
  local first
  first=$(sed -n 's/.*nobody can tell whether entry \([0-9]*\) happened.*/\1/p' <<< "$stderr" | head -n 1)
  echo given > body
  run -0 perdure resolve job "$first" --response body
  assert_output 'job: 1 more to resolve; `perdure resume job` names it'
  go_on
  assert_equal "$status" 121
  assert_equal "$(grep -c 'nobody can tell whether entry' <<< "$stderr")" 1
  assert_regex "$stderr" "entry $seq happened"
  perdure resolve job "$seq" --retry
  go_on
  assert_equal "$status" 0
  assert_line given
  assert_equal "$(wc -l < "$requests")" 1
}
