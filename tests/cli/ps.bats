#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The commands of a run, as a tree.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
  seq 10 > numbers
  cat > job.sh <<'END'
sort -rn numbers > sorted
(/bin/echo "two words"; exit 4)
sh -c 'kill -9 $$'
echo > up
until [ -e go ]; do sleep 0.01; done
END
  mkfifo up
}

start_job() {
  "$PERDURE" run -q --no-retry --id job -- /bin/bash job.sh > said 2>&1 &
  supervisor=$!
}

let_job_go() {
  touch go
  await_supervisor
}

# What ps says without processes and times.
shape() {
  perdure ps "$@" job | sed -E '1d; s/^ *[0-9]+  //; s/ +[0-9.]+ s +([0-9]+) +([0-9]+)  / \1 \2 /'
}

@test "each command has its place, its end, its changes and its words" {
  touch go
  start_job
  read -t 10 -r _ <> up
  await_supervisor
  run shape
  assert_line --index 0 --regexp '^0 [0-9]+ 1 /bin/bash job.sh$'
  assert_line --index 1 '0 2 1   sort -rn numbers'
  assert_line --index 2 --regexp '^4 [0-9]+ 1   \(as its parent\)$'
  assert_line --index 3 "0 1 1     /bin/echo 'two words'"
  assert_line --index 4 "SIGKILL 0 1   sh -c 'kill -9 \$\$'"
  assert_equal "${#lines[@]}" 5
  run -0 perdure log --tree job
  assert_output "$(perdure ps job)"
}

@test "--json says the same" {
  touch go
  start_job
  read -t 10 -r _ <> up
  await_supervisor
  run -0 perdure ps --json job
  assert_equal "$(jq -r '.[] | [.state, .status, .attempts, .one_step] | @csv' <<< "$output" | sort | uniq -c | xargs)" \
    '3 ended,0,1,false 1 ended,137,1,false 1 ended,4,1,false'
  assert_equal "$(jq -r '.[1].parent == .[0].process' <<< "$output")" true
}

@test "of a live run, what runs; after a crash, what is unfinished; after a resumption, in how many attempts" {
  start_job
  read -t 10 -r _ <> up
  run -0 perdure ps job
  assert_line --regexp ' running .*bash job.sh$'
  kill -9 "$supervisor"
  await_supervisor
  run shape
  assert_line --regexp '^unfinished .* /bin/bash job.sh$'
  start_job
  let_job_go
  run shape
  assert_line --index 0 --regexp '^0 [0-9]+ 2 /bin/bash job.sh$'
  assert_line --regexp '^0 2 1   sort -rn numbers$'
}

@test "words are quoted, and passwords in them hidden" {
  run_durable -q --id job -- /bin/sh -c 'env -u HOME echo http://me:hush@host/ > out; echo done'
  run -0 perdure ps job
  refute_output --partial hush
  assert_output --partial 'http://me:****@host/'
  run -0 perdure ps --secrets job
  assert_output --partial 'hush'
}
