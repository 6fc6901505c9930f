#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Another store: the journal in Redis, runs that go on on another machine (another directory of perdure's), and one owner
# at a time.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load redis.bash
  load payments.bash
  set_up_place
  redis_start primary
  store="redis://127.0.0.1:$redis_port"
  primary_port=$redis_port
  programs="$(dirname "$PERDURE_ITSELF")/tests/programs"
}

teardown() {
  [ -z "${supervisor-}" ] || kill -9 -- "-$supervisor" 2> /dev/null || true
  [ -z "${counting-}" ] || kill "$counting"
  stop_redis
}

@test "a run that has finished is known on a machine that has never seen it" {
  run_durable --id job --store "$store" -- sh -c 'echo done; exit 3'
  assert_equal "$status" 3
  run --separate-stderr on_another_machine run --id job --store "$store" -- sh -c 'echo done; exit 3'
  assert_equal "$status" 3
  assert_output ''
  [[ $stderr == *"taken over from another machine"*"has finished with status 3 already"* ]]
  run on_another_machine verify job
  assert_output --partial 'no defect'
}

@test "a run whose machine is gone goes on elsewhere: what was answered before the last remote change is not sent again" {
  write_payments
  start_payments --lease 500ms --min-replicas 0
  kill -9 -- "-$supervisor"
  wait "$supervisor" 2> /dev/null || true
  rm go
  run --separate-stderr on_another_machine run --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  assert_paid_once
  # The first machine, back again, has nothing left to do.
  run_durable --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  [[ $stderr == *"has finished with status 0 already"* ]]
  assert_paid_once
  assert_only_the_last_again
}

@test "a machine that has lost the newest part of its journal, when it died, takes it from the store" {
  write_payments
  start_payments --lease 500ms --min-replicas 0 --sync none
  kill -9 -- "-$supervisor"
  wait "$supervisor" 2> /dev/null || true
  "$BATS_TEST_DIRNAME/damage-tail" "$PERDURE_DIR/runs/job/tail" reboot
  python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1], isolation_level=None).execute("DELETE FROM chunk").rowcount)' \
    "$PERDURE_DIR/runs/job/run.db" > lost
  [ "$(cat lost)" -gt 0 ]
  rm go
  run_durable --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  assert_paid_once
  assert_only_the_last_again
  run perdure verify job
  assert_output --partial 'no defect'
}

@test "an owner that was frozen does nothing more when it wakes behind a takeover" {
  write_payments
  start_payments --lease 500ms --min-replicas 0
  kill -STOP -- "-$supervisor"
  mv go gone
  run --separate-stderr on_another_machine run --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  executed=$(wc -l < "$effects")
  kill -CONT -- "-$supervisor"
  # Not waiting for a reader, who may be dead.
  exec 6<> gone
  echo >&6
  wait "$supervisor" && status=0 || status=$?
  exec 6>&-
  assert_equal "$status" 125
  assert_file_contains err 'taken over by'
  assert_paid_once
  assert_only_the_last_again
  assert_equal "$(wc -l < "$effects")" "$executed"
}

@test "while an owner lives, another machine is refused, and told whose the run is" {
  write_payments
  start_payments --lease 3s
  run --separate-stderr on_another_machine run --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 125
  [[ $stderr == *"the run is $(hostname):$PERDURE_DIR's"* ]]
  echo > go
  wait "$supervisor"
  assert_paid_once
}

@test "a store that begins anew in the middle of a run has all of it at the end" {
  write_payments
  start_payments --lease 500ms --min-replicas 0
  redis_kill primary
  redis_start_on primary "$primary_port"
  echo > go
  wait "$supervisor"
  assert_paid_once
  run --separate-stderr on_another_machine run --id job --store "$store" -- bash pay.sh
  assert_equal "$status" 0
  [[ $stderr == *"has finished with status 0 already"* ]]
  run on_another_machine verify job
  assert_output --partial 'no defect'
}

@test "a store that is lost is said, and the run stops when it is to" {
  write_payments
  start_payments --lease 500ms --min-replicas 0 --on-store-loss stop
  redis_kill primary
  wait "$supervisor" && status=0 || status=$?
  assert_equal "$status" 125
  assert_file_contains err 'does not answer'
  assert_equal "$(wc -l < "$effects")" 3
}

@test "a commit waits for as many replicas as it says, and counts them" {
  local replicas=3 wanted limit
  for name in one two three; do
    redis_start "$name" --replicaof "127.0.0.1 $primary_port"
    redis-cli -p "$primary_port" SET "$name" there > said
    until [ "$(redis-cli -p "$redis_port" GET "$name")" = there ]; do :; done
  done
  for name in three two one none; do
    for wanted in 0 1 2 3 4; do
      # What comes is waited for as long as it takes.
      limit=1500
      [ "$wanted" -gt "$replicas" ] || limit=60000
      run --separate-stderr perdure run -q --id "commit-$replicas-$wanted" --store "$store" -- "$programs/committing" "$wanted" "$limit"
      if [ "$wanted" = 0 ]; then
        assert_output 'committed, 0'
      elif [ "$wanted" -le "$replicas" ]; then
        assert_output --regexp "^committed, [$wanted-$replicas]$"
      else
        assert_output "timeout, $replicas"
      fi
    done
    [ "$name" = none ] || redis_kill "$name"
    replicas=$((replicas - 1))
  done
}

@test "Sentinels say who the primary is; the first one that lives is asked" {
  redis_start_sentinel one "$primary_port"
  run_durable --id job --store "redis-sentinel://127.0.0.1:1,127.0.0.1:$redis_port/ours" -- sh -c 'exit 4'
  assert_equal "$status" 4
  assert_equal "$(redis-cli -p "$primary_port" HGET 'perdure:{job}:run' state)" finished
  run_durable --id other --store "redis-sentinel://127.0.0.1:$redis_port/theirs" -- true
  assert_equal "$status" 125
  [[ $stderr == *"know no such master"* ]]
}

@test "runs in a Redis Cluster: each lies in one slot, whichever node is named, and is taken over by way of another node" {
  local id nodes=()
  redis_start_cluster 3
  for id in one two three four five six; do
    run --separate-stderr perdure run -q --id "$id" --min-replicas 0 --store "redis://127.0.0.1:$redis_port" -- "$programs/committing" 0 0
    assert_equal "$status" 0
    run redis-cli -c -p "$redis_port" HGET "perdure:{$id}:run" state
    assert_output finished
    nodes+=("$(redis-cli -p "$redis_port" CLUSTER KEYSLOT "perdure:{$id}:run")")
    assert_equal "${nodes[-1]}" "$(redis-cli -p "$redis_port" CLUSTER KEYSLOT "perdure:{$id}:chunks")"
  done
  # They lie in different nodes' slots: some were not where they were asked for.
  for id in node0 node1 node2; do
    [ "$(redis-cli -p "$(cat "$BATS_TEST_TMPDIR/redis-$id/port")" DBSIZE)" -gt 0 ]
  done
  for id in one two three four five six; do
    run --separate-stderr on_another_machine run --id "$id" --store "redis://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/redis-node2/port")" -- "$programs/committing" 0 0
    assert_equal "$status" 0
    [[ $stderr == *"has finished with status 0 already"* ]]
  done
}

@test "finished runs are moved to files, which can be looked at, and unfinished ones stay" {
  local id file
  for id in one two; do
    perdure run -q --id "$id" --store "$store" -- sh -c "echo $id; cat /etc/hostname > out-$id"
  done
  PERDURE_CRASH_AT=20 run perdure run -q --id half --store "$store" --lease 100ms -- sh -c 'echo half; cat /etc/hostname'
  perdure log one > before
  mkdir archive
  run --separate-stderr perdure archive --store "$store" --into archive
  assert_equal "$status" 0
  assert_equal "$(sort <<< "$output")" "one: $PWD/archive/one.run.zst"$'\n'"two: $PWD/archive/two.run.zst"
  run redis-cli -p "$primary_port" KEYS '*'
  assert_output --partial '{half}'
  refute_output --partial one
  refute_output --partial two
  perdure log --archive archive/one.run.zst one > behind
  cmp before behind
  run -0 perdure verify --archive archive/two.run.zst two
  assert_output --partial 'no defect'
  run -0 perdure sql --archive archive/two.run.zst two "select value from meta where key = 'state'"
  assert_output finished
  assert_equal "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'perdure-archive-*' -user "$(id -u)" -newer before | wc -l)" 0
  run --separate-stderr perdure archive --store "$store" --into archive half
  assert_equal "$status" 125
  assert_clear_line
  assert_equal "$(find archive -type f | wc -l)" 2
  run --separate-stderr perdure archive --store "$store" --into archive nobody
  assert_equal "$status" 125
  [[ $stderr == *"does not have the run"* ]]
  run redis-cli -p "$primary_port" KEYS '*nobody*'
  assert_output ''
}

@test "a run leaves the store for a file only when that is whole, and no other one's" {
  mkdir archive
  perdure run -q --id job --store "$store" -- sh -c 'echo done'
  echo other > archive/job.run.zst
  run --separate-stderr perdure archive --store "$store" --into archive job
  assert_equal "$status" 125
  [[ $stderr == *"is no archived run, or it is damaged"* ]]
  rm archive/job.run.zst
  # What the store has is damaged.
  redis-cli -p "$primary_port" LSET 'perdure:{job}:chunks' 0 damaged > said
  run --separate-stderr perdure archive --store "$store" --into archive job
  assert_equal "$status" 125
  [[ $stderr == *damaged* ]]
  assert_equal "$(find archive -type f | wc -l)" 0
  assert_equal "$(redis-cli -p "$primary_port" HGET 'perdure:{job}:run' state)" finished
  # One that somebody holds stays.
  redis-cli -p "$primary_port" HSET 'perdure:{job}:run' lease_until_us 99999999999999999 owner somebody name somebody > said
  run --separate-stderr perdure archive --store "$store" --into archive job
  assert_equal "$status" 125
  [[ $stderr == *"the run is somebody's"* ]]
}

@test "what is wrong with a store's address, its password or its server is one line" {
  run_durable --store http://there -- true
  assert_equal "$status" 125
  [[ $stderr == *"begins with no redis://"* ]]
  run_durable --store redis://127.0.0.1:1 -- true
  assert_equal "$status" 125
  [[ $stderr == *"redis://127.0.0.1:1/0 does not answer"* ]]
  redis_start locked --requirepass secret
  run_durable --store "redis://:wrong@127.0.0.1:$redis_port" -- true
  assert_equal "$status" 125
  [[ $stderr == *"correct its user and password"* && $stderr != *wrong@* ]]
  run_durable --store "redis://:secret@127.0.0.1:$redis_port" -- true
  assert_equal "$status" 0
}
