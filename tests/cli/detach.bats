#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a program leaves when it has exited, with --detach.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

# What a test that failed has left would keep bats waiting.
teardown() {
  local pid
  for pid in ${supervisor-} $(cat started 2> /dev/null); do
    kill -9 "$pid" 2> /dev/null || true
  done
}

# A script that ends with status 3 and leaves a daemon, which says that it is up, and waits until it may go on.
write_leaving_script() {
  mkfifo up go
  cat > daemon <<'SCRIPT'
exec > daemon.log 2>&1 < /dev/null
me=$$
echo $$ > up
read -r _ < go
echo "still $me" > after
kill -0 "$me" && rm numbers
sort copy > sorted
env > environment
SCRIPT
  seq 10 > numbers
  printf '%s\n' 'cat numbers > copy' 'setsid /bin/bash daemon &' 'read -r daemon < up' 'echo "$$" > program' \
    'echo "$daemon" > started' \
    'exit 3' > job
}

@test "--detach: the run is finished when the program has exited, and what it has left lives on by itself" {
  write_leaving_script
  run --separate-stderr "$PERDURE" run --detach --id job -- /bin/bash job
  assert_equal "$status" 3
  assert_equal "$stderr" "perdure: run job has ended, and processes that it has started live on by themselves"
  daemon=$(cat started)
  kill -0 "$daemon"
  run -0 perdure status job
  assert_line --regexp "^state: +finished"
  run -0 perdure verify job
  run perdure verify --replay job
  assert_failure
  assert_output --partial "has left processes that live on"
  perdure rm job
  assert_not_exist "$PERDURE_DIR/runs/job"
  kill -0 "$daemon"
  echo > go
  await_death "$daemon"
  assert_equal "$(cat after)" "still $daemon"
  assert_equal "$(cat sorted)" "$(sort copy)"
  assert_not_exist numbers
  assert_equal "$(cat daemon.log)" ''
  # What it starts then knows of no run.
  run grep -E 'PERDURE_RUN|LD_PRELOAD' environment
  assert_failure
}

@test "--detach, killed before its end: what was started is ended, and lives on once the resumed run has ended" {
  write_leaving_script
  sed -i 's/^exit 3/echo > waits; read -r _ < end; exit 3/' job
  mkfifo waits end
  local held
  exec {held}<> waits # the line is written once more if the kill falls into it
  "$PERDURE" run -q --detach --id job -- /bin/bash job 3>&- {held}>&- &
  supervisor=$!
  read -t 10 -r _ <&"$held"
  kill -9 "$supervisor"
  await_supervisor
  first=$(cat started)
  "$PERDURE" run -q --id job -- /bin/bash job 3>&- {held}>&- &
  supervisor=$!
  # Of the first attempt nothing reads from `end` any more.
  await_death "$first"
  await_death "$(cat program)"
  echo > end
  await_supervisor
  assert_equal "$status" 3
  echo > go
  timeout 10 tail -n +1 -F --retry environment 2> tail.err | grep -m1 -q '^SHLVL='
  assert_equal "$(cat after)" "still $first"
  assert_equal "$(cat sorted)" "$(sort copy)"
}

@test "a run that a daemon kept open, killed, and resumed with --detach, is finished when the daemon is where it was" {
  write_leaving_script
  "$PERDURE" run -q --id job -- /bin/bash job 3>&- &
  supervisor=$!
  timeout 10 tail -n +1 -F --retry started 2> tail.err | grep -m1 -q .
  await_death "$(cat program)"
  kill -9 "$supervisor"
  await_supervisor
  first=$(cat started)
  run -3 "$PERDURE" resume --detach job
  assert_output "perdure: ended 1 process that an earlier attempt of run job had left
$(sed -n 's/^perdure: resuming/&/p' <<< "$output")
$(sed -n '/not run again/p' <<< "$output")
perdure: run job has ended, and processes that it has started live on by themselves"
  run -0 perdure status job
  assert_line --regexp "^state: +finished"
  echo > go
  timeout 10 tail -n +1 -F --retry environment 2> tail.err | grep -m1 -q '^SHLVL='
  assert_equal "$(cat after)" "still $first"
  assert_equal "$(cat sorted)" "$(sort copy)"
}
