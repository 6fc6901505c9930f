#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs in a Redis, read from anywhere: a machine that has never seen them, beside whoever runs them.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load redis.bash
  load payments.bash
  set_up_place
  redis_start primary
  store="redis://127.0.0.1:$redis_port"
  primary_port=$redis_port
}

teardown() {
  [ -z "${supervisor-}" ] || kill -9 -- "-$supervisor" 2> /dev/null || true
  [ -z "${counting-}" ] || kill "$counting"
  stop_redis
}

# look COMMAND ARG...: on a machine whose directory of perdure's is not there; $status, $output, $stderr.
look() {
  PERDURE_DIR="$BATS_TEST_TMPDIR/elsewhere" run --separate-stderr "$PERDURE" "$@"
}

assert_one_line() {
  assert_equal "$status" 125
  assert_equal "$(wc -l <<< "$stderr")" 1
  [[ $stderr == *"$1"* ]] || fail "$stderr"
}

field() {
  redis-cli -p "$primary_port" HGET "perdure:{$1}:run" "$2"
}

@test "a machine that has never seen a run reads all of it, with no right to write, and leaves nothing anywhere" {
  write_payments
  run_durable --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  run_durable --id other --store "$store" -- true
  run "$PERDURE" log job
  local here=$output
  redis-cli -p "$primary_port" ACL SETUSER looker on '>secret' '~perdure:*' +@read -@write +@connection +info +scan +time > answer
  redis-cli -p "$primary_port" DEBUG DIGEST > before
  local there="redis://looker:secret@127.0.0.1:$primary_port"
  export TMPDIR="$BATS_TEST_TMPDIR/copies"
  mkdir "$TMPDIR"
  look ls --store "$there"
  assert_equal "$(awk 'NR > 1 { print $1, $2 }' <<< "$output")" $'job finished\nother finished'
  look ls --json --store "$there"
  assert_equal "$(jq -r '.[] | "\(.id) \(.state) \(.live) \(.exit_status) \(.epoch) \(.directory)"' <<< "$output")" \
    $'job finished false 0 1 null\nother finished false 0 1 null'
  look status --store "$there" job
  [[ $output == *"state:      finished"*"command:    bash pay.sh"*"store:      redis://127.0.0.1:$primary_port/0"*"epoch:      1"* ]]
  look log --store "$there" job
  assert_equal "$output" "$here"
  look sql --store "$there" job 'select count(*) from entries'
  assert_equal "$output" "$(wc -l <<< "$here")"
  look http --json --store "$there" job
  assert_equal "$status" 0
  look ps --store "$there" job
  assert_equal "$(grep -c curl <<< "$output")" 10
  look show --store "$there" job 1
  [[ $output == *"#1 "* ]]
  look verify --store "$there" job
  [[ $output == *"no defect"* ]]
  redis-cli -p "$primary_port" DEBUG DIGEST | diff before -
  assert_equal "$(field job epoch)" 1
  assert_not_exist "$BATS_TEST_TMPDIR/elsewhere"
  [ -z "$(ls -A "$TMPDIR")" ]
}

@test "a run that is under way is read as running beside its owner, who goes on; when that one is gone it is unfinished" {
  write_payments
  mkfifo up go
  setsid "$PERDURE_ITSELF" run --id job --store "$store" --lease 2s -- bash pay.sh > out 2> err 3>&- &
  supervisor=$!
  read -t 20 -r _ < up
  look status --store "$store" job
  [[ $output == *"state:      running"*"held by:"*"$PERDURE_DIR"* ]]
  look ps --store "$store" job
  [[ $output == *running* ]]
  look log --store "$store" job
  assert_equal "$status" 0
  [[ $output == *curl* ]]
  look log --follow --store "$store" job
  assert_one_line "follow it on the machine that runs it"
  assert_equal "$(field job epoch)" 1
  kill -9 -- "-$supervisor"
  wait "$supervisor" || true
  supervisor=
  until [ "$(field job lease_until_us)" -lt "$(redis-cli -p "$primary_port" TIME | paste -sd '' | cut -c1-16)" ]; do :; done
  look status --store "$store" job
  [[ $output == *"state:      unfinished"*"last owner:"* ]]
  echo > go &
  run_durable --id job --store "$store" --lease 2s -- bash pay.sh
  assert_equal "$status" 0
  assert_paid_once
}

@test "PERDURE_STORE: what is here is read here, what is not from there; --store and --dir say which" {
  run_durable --id here --store "$store" -- true
  PERDURE_DIR="$BATS_TEST_TMPDIR/second" run_durable --id there --store "$store" -- true
  run_durable --id alone -- true
  export PERDURE_STORE=$store
  run "$PERDURE" ls
  assert_equal "$(awk 'NR > 1 { print $1 }' <<< "$output" | sort | paste -sd ' ')" "alone here there"
  run "$PERDURE" ls --store "$store"
  assert_equal "$(awk 'NR > 1 { print $1 }' <<< "$output" | sort | paste -sd ' ')" "here there"
  run "$PERDURE" ls --dir "$PERDURE_DIR"
  assert_equal "$(awk 'NR > 1 { print $1 }' <<< "$output" | sort | paste -sd ' ')" "alone here"
  run "$PERDURE" status here
  [[ $output == *"journal:    $PERDURE_DIR/runs/here"* ]]
  run "$PERDURE" status there
  [[ $output == *"store:      redis://"* ]]
  run "$PERDURE" log there
  assert_success
  run --separate-stderr "$PERDURE" log --dir "$PERDURE_DIR" there
  assert_one_line "there is no run there in $PERDURE_DIR"
  redis_kill primary
  run --separate-stderr "$PERDURE" ls
  assert_one_line "does not answer"
  assert_equal "$(awk 'NR > 1 { print $1 }' <<< "$output" | sort | paste -sd ' ')" "alone here"
}

@test "of a cluster the runs of all nodes are listed, whichever is named; a node that is down does not hide the others" {
  redis_start_cluster 3
  local nodes=() id
  for id in node0 node1 node2; do nodes+=("$(cat "$BATS_TEST_TMPDIR/redis-$id/port")"); done
  for id in a b c d e f g h; do
    run_durable --id "$id" --store "redis://127.0.0.1:${nodes[0]}" -- true
    assert_equal "$status" 0
  done
  for port in "${nodes[@]}"; do
    [ "$(redis-cli -p "$port" DBSIZE)" -gt 0 ]
    look ls --store "redis://127.0.0.1:$port"
    assert_equal "$status" 0
    assert_equal "$(awk 'NR > 1 { print $1 }' <<< "$output" | sort | paste -sd ' ')" "a b c d e f g h"
    look log --store "redis://127.0.0.1:$port" c
    assert_equal "$status" 0
  done
  redis_kill node2
  look ls --store "redis://127.0.0.1:${nodes[0]}"
  assert_one_line "redis://127.0.0.1:${nodes[2]}/0 does not answer"
  [ "$(wc -l <<< "$output")" -gt 1 ]
  [ "$(wc -l <<< "$output")" -lt 9 ]
}

@test "finished runs of all nodes of a cluster are archived at once" {
  redis_start_cluster 3
  local id
  for id in a b c d e f; do run_durable --id "$id" --store "redis://127.0.0.1:$redis_port" -- true; done
  mkdir archive
  run "$PERDURE" archive --store "redis://127.0.0.1:$redis_port" --into archive
  assert_success
  assert_equal "$(cd archive && echo *)" "a.run.zst b.run.zst c.run.zst d.run.zst e.run.zst f.run.zst"
}

@test "runs are found among other people's keys, step by step: no command holds up the server" {
  redis-cli -p "$primary_port" EVAL "for i = 1, 20000 do redis.call('SET', 'perdure:{' .. i .. '}:other', i) end
    redis.call('SET', 'perdure:{no-run}:runs', 1) redis.call('HSET', 'perdure:{/}:run', 'state', 'finished')" 0 > filled
  run_durable --id job --store "$store" -- true
  look ls --store "$store"
  assert_equal "$(awk 'NR > 1 { print $1 }' <<< "$output")" job
  run redis-cli -p "$primary_port" INFO commandstats
  [[ $output == *cmdstat_scan:* && $output != *cmdstat_keys:* ]]
}

@test "no such run, a store that is not there, a wrong password, another version, a damaged run: one line each" {
  run_durable --id job --store "$store" -- true
  run_durable --id damaged --store "$store" -- true
  run_durable --id newer --store "$store" -- true
  redis-cli -p "$primary_port" HSET 'perdure:{newer}:run' format 9 > answer
  redis-cli -p "$primary_port" HSET 'perdure:{damaged}:run' head nonsense > answer
  local command
  for command in log status; do
    look "$command" --store "$store" nobody
    assert_one_line "there is no run nobody in redis://127.0.0.1:$primary_port/0"
    look "$command" --store "$store" newer
    assert_one_line "in format 9"
    look "$command" --store "$store" damaged
    assert_one_line "damaged"
    look "$command" --store redis://127.0.0.1:1 job
    assert_one_line "redis://127.0.0.1:1/0 does not answer"
    look "$command" --store "http://there" job
    assert_one_line "begins with no redis://"
    look "$command" --store "$store" ../job
    assert_one_line "is no run id"
  done
  look ls --store "$store"
  assert_equal "$status" 125
  assert_equal "$(wc -l <<< "$stderr")" 2
  [[ $stderr == *"run newer: "*"format 9"* && $stderr == *"run damaged: "* ]]
  [[ $output == *"job "* ]]
  redis_start locked --requirepass secret
  look ls --store "redis://:wrong@127.0.0.1:$redis_port"
  assert_one_line "correct its user and password"
  [[ $stderr != *wrong@* ]]
  look status --store "redis://:wrong@127.0.0.1:$redis_port" job
  assert_one_line "correct its user and password"
  look log --archive x --store "$store" job
  assert_one_line "give that one"
}
