#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Replicas in directories when something is wrong: moved away, full, read-only, not mounted; under way elsewhere, of another past, or all that
# is left of a run. What was acknowledged is there, and nothing is done twice.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load payments.bash
  set_up_place
  programs="$(dirname "$PERDURE_ITSELF")/tests/programs"
  one="$BATS_TEST_TMPDIR/one"
  two="$BATS_TEST_TMPDIR/two"
  mkdir "$one" "$two"
}

teardown() {
  [ -z "${supervisor-}" ] || kill -9 -- "-$supervisor" 2> /dev/null || true
  [ -z "${counting-}" ] || kill "$counting"
  ! mountpoint -q "$two" || umount "$two"
}

# start COMMAND...: `perdure run COMMAND...` in a group of its own, up to where its program writes to the FIFO `up`. What it says on
# stderr is read with await_line. $supervisor.
start() {
  mkfifo up go err
  exec 7<> err
  setsid "$PERDURE_ITSELF" run --id job "$@" > out 2> err 3>&- 7>&- &
  supervisor=$!
  read -t 30 -r _ < up
}

# await_line PATTERN: on stderr; all lines up to it are in $said.
await_line() {
  local line
  while read -t 30 -r line <&7; do
    said+="$line"$'\n'
    # shellcheck disable=SC2053  # a pattern
    [[ $line != $1 ]] || return 0
  done
  fail "never said: $1; but: ${said-}"
}

kill_all() {
  kill -9 -- "-$supervisor"
  wait "$supervisor" 2> /dev/null || true
  supervisor=
}

# Entries of the run in DIR, without a defect.
entries_in() {
  run "$PERDURE" verify --dir "$1" job
  assert_success
  assert_output --partial 'no defect'
  "$PERDURE" sql --dir "$1" job 'select count(*), max(seq) from entries'
}

assert_all_same() {
  local count directory
  count=$(entries_in "$PERDURE_DIR")
  for directory; do
    assert_equal "$directory: $(entries_in "$directory")" "$directory: $count"
  done
}

# Waits for `go`, and commits to N replicas: what comes of it goes to out.
write_commit() {
  echo "echo > up; read -r _ < go; $programs/committing $1 $2" > commit.sh
}

# on_disk KIB: the second replica is a disk of that size.
on_disk() {
  mount -t tmpfs -o "size=$1k" none "$two" 2> /dev/null || skip "this user may not mount a small disk"
}

@test "one that is moved away in the middle is one line, acknowledges nothing, and is sent what it lacks when it is back" {
  write_commit 2 0
  start --replica "$one" --replica "$two" -- bash commit.sh
  mv "$two" away
  echo > go
  await_line "*the replica in $two is gone; the run goes on without it*"
  mv away "$two"
  wait "$supervisor"
  assert_equal "$(cat out)" 'committed, 2'
  await_line "*the replica in $two works again*"
  assert_equal "$(grep -c 'goes on without it' <<< "$said")" 1
  assert_all_same "$one" "$two"
}

@test "one whose directory was emptied has all again" {
  write_commit 2 0
  start --replica "$one" --replica "$two" -- bash commit.sh
  rm -r "$two"
  mkdir "$two"
  echo > go
  wait "$supervisor"
  assert_equal "$(cat out)" 'committed, 2'
  assert_all_same "$one" "$two"
}

@test "one on a disk that is full acknowledges nothing, and has all once there is room" {
  on_disk 300
  write_commit 2 0
  # Random bytes take as much room there as here.
  sed -i '1s/^/head -c 400000 \/dev\/urandom | tail -c 1 > last; /' commit.sh
  start --replica "$one" --replica "$two" -- bash commit.sh
  echo > go
  await_line '*; the run goes on without it*'
  mount -o remount,size=300m none "$two"
  wait "$supervisor"
  assert_equal "$(cat out)" 'committed, 2'
  assert_all_same "$one" "$two"
}

@test "one on a disk that is read-only, or is taken away, acknowledges nothing" {
  on_disk 30000
  mount -o remount,ro none "$two"
  write_commit 2 400
  echo 'echo > up; read -r _ < go; '"$programs/committing 2 0" >> commit.sh
  start --replica "$one" --replica "$two" -- bash commit.sh
  await_line '*Read-only file system*; the run goes on without it*'
  echo > go
  read -t 30 -r _ < up
  assert_equal "$(cat out)" 'timeout, 1'
  mount -o remount,rw none "$two"
  await_line "*the replica in $two works again*"
  # What lies under the mount is no replica.
  umount -l "$two"
  await_line "*the replica in $two is gone; the run goes on without it*"
  echo > go
  perdure interrupt job
  assert_equal "$(ls "$two")" ''
}

@test "--min-replicas: no remote change is made while a replica that is needed is away" {
  write_payments
  start --replica "$one" --replica "$two" --min-replicas 2 -- bash pay.sh
  mv "$two" away
  echo > go
  await_line "*the replica in $two is gone*"
  assert_equal "$(wc -l < "$effects")" 3
  mv away "$two"
  wait "$supervisor"
  assert_paid_once
  assert_all_same "$one" "$two"
}

@test "a run whose own store is lost does not begin anew over its replica: it says so, and goes on from there" {
  write_payments
  start --replica "$one" --min-replicas 1 -- bash pay.sh
  kill_all
  rm -r "$PERDURE_DIR" go
  run_durable --id job --replica "$one" -- bash pay.sh
  assert_equal "$status" 125
  assert_regex "$stderr" "the replica in $one has a run job, and it is not the one that begins anew; go on with it by"
  assert_equal "$(wc -l < "$effects")" 3
  run "$PERDURE" resume --dir "$one" job
  assert_equal "$status" 0
  assert_paid_once
  assert_only_the_last_again
  # As finished as it is there, it is not begun anew either.
  run_durable --id job --replica "$one" -- bash pay.sh
  assert_equal "$status" 125
  assert_paid_once
}

@test "a run that is under way is not resumed from its replica" {
  write_commit 1 0
  start --replica "$one" -- bash commit.sh
  run "$PERDURE" resume --dir "$one" job
  assert_equal "$status" 125
  assert_output --partial "run job is live: process $supervisor supervises it"
  echo > go
  wait "$supervisor"
  assert_equal "$(cat out)" 'committed, 1'
}

@test "an old store does not go on beside a replica that has gone on, nor behind one that has more" {
  write_payments
  start --replica "$one" --min-replicas 1 -- bash pay.sh
  kill_all
  rm go
  run "$PERDURE" resume --dir "$one" job
  assert_equal "$status" 0
  run_durable --id job -- bash pay.sh
  assert_equal "$status" 125
  assert_regex "$stderr" "the replica in $one has (more|another past) of the run than its own store; go on from there by"
  assert_paid_once
  assert_only_the_last_again
}

@test "a run that begins anew replaces its replica, and no other run of that name" {
  PERDURE_DIR=$one run perdure run -q --id other -- sh -c 'exit 4'
  run_durable --id other --replica "$one" -- true
  assert_equal "$status" 125
  assert_regex "$stderr" 'has a run other, and it is not the one that begins anew'
  PERDURE_DIR=$one run perdure status other
  assert_line --regexp '^exit: +4$'
  # Without an id what has finished begins anew.
  run_durable --replica "$one" -- sh -c 'echo $$ >> begun; exit 0'
  assert_equal "$status" 0
  run_durable --replica "$one" -- sh -c 'echo $$ >> begun; exit 0'
  assert_equal "$status" 0
  assert_equal "$(wc -l < begun)" 2
  # Nor is one left behind by a program that could not be executed.
  printf 'nothing' > not-there
  run_durable --id none --replica "$one" -- ./not-there
  assert_not_exists "$one/runs/none"
}

@test "a long body is in the replica too" {
  load ../crash/servers.bash
  start_counting_server
  run_durable --id job --replica "$one" -- curl -sS -o out "http://127.0.0.1:$port/bytes/4000000"
  assert_equal "$status" 0
  stop_servers
  assert_all_same "$one"
  rm -r "$PERDURE_DIR"
  entries_in "$one"
}
