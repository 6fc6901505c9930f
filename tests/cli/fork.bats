# SPDX-License-Identifier: Apache-2.0
# Another run goes on from a place of a run's journal.
bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  load ../crash/servers.bash
  set_up_place
  source_root=$(realpath "$BATS_TEST_DIRNAME/../..")
  start_counting_server
}

teardown() {
  stop_servers
}

# seq_of PATTERN: the number of the last line of job's log that it is in.
seq_of() {
  perdure log job | grep -- "$1" | tail -n 1 | grep -o '#[0-9]*' | cut -c 2-
}

@test "a fork replays what was done, does the rest itself, and leaves the original as it is" {
  # shellcheck disable=SC2016  # the inner shell's
  run_durable -q --id job -- /bin/bash -c 'echo one >> out; x=$(cat /proc/sys/kernel/random/uuid); echo $x >> out; exit 4'
  assert_equal "$status" 4
  log=$(perdure log job)
  uuid=$(tail -n 1 out)
  run -0 perdure fork job other --to "$(seq_of 'wait4.*= [0-9][0-9]*  ')"
  assert_output --regexp "^other: a run with the journal of job up to entry [0-9]+; \`perdure resume other\` goes on from there$"
  run -0 perdure status other
  assert_line --regexp '^state: +unfinished'
  run -4 perdure resume -q other
  # What was random is the same, and the last line is there once more.
  assert_equal "$(cat out)" "$(printf 'one\n%s\n%s' "$uuid" "$uuid")"
  perdure verify -q --replay other
  assert_equal "$(perdure log job)" "$log"
  perdure verify -q --replay job
  # All of it is a finished run.
  run -0 perdure fork job all
  run -0 perdure status all
  assert_line --regexp '^state: +finished'
}

@test "up to the place a fork has the original's keys, and from there its own; what was sent is not sent again" {
  gcc -I "$source_root/control-api" -x c -o program - << 'END'
#include <perdure.h>
#include <stdio.h>
int main(void)
{
  char key[37];
  for (int i = 0; i < 4; i++) {
    perdure_idempotency_key(key);
    dprintf(1, "%s\n", key);
  }
}
END
  run_durable -q --id job -- ./program
  keys=$output
  perdure fork job other --to "$(seq_of 'idempotency_key' | awk '{ print $1 - 6 }')" ||
    perdure fork job other --to "$(perdure fork job other --to "$(seq_of 'idempotency_key' | awk '{ print $1 - 6 }')" 2>&1 |
      grep -o 'give --to [0-9]*' | grep -o '[0-9]*')"
  run --separate-stderr perdure resume -q --output again other
  assert_success
  assert_equal "${#lines[@]}" 4
  assert_equal "$(comm -12 <(sort <<< "$keys") <(sort <<< "$output") | wc -l)" 2
  # The same of requests.
  perdure rm job other
  run_durable -q --id job -- curl -sS -d one=1 "http://127.0.0.1:$port/a" --next -sS -d two=2 "http://127.0.0.1:$port/b"
  assert_success
  second=$(perdure sql job 'select max(seq) from exchanges')
  perdure fork job other --to $((second - 1))
  run -0 perdure resume -q other
  key() { perdure show "$1" "$(perdure sql "$1" "select $2(seq) from exchanges")" | grep -i -o 'idempotency-key: .*'; }
  assert_equal "$(key job min)" "$(key other min)"
  assert [ "$(key job max)" != "$(key other max)" ]
  assert_equal "$(perdure http other | grep -c 'replayed.*/a')" 1
  assert_equal "$(perdure http other | grep -c 'live.*/b')" 1
}

@test "where it cannot be it is refused in one line, and nothing is left" {
  run_durable -q --id job -- /bin/sh -c 'echo hello > file'
  perdure fork job taken
  for words in "job" "job taken" "job .bad" "job job" "nobody new" "job new --to 0" "job new --to 100000" \
               "job new --to $(seq_of 'write(1')"; do
    # shellcheck disable=SC2086  # words
    run --separate-stderr -125 perdure fork $words
    assert_clear_line
    assert_not_exist "$PERDURE_DIR/runs/new"
  done
  start_waiting_run live
  run --separate-stderr -125 perdure fork live new --to 3
  assert_clear_line
  assert_regex "$stderr" "run live is live: process $supervisor supervises it"
  let_go
  await_supervisor
}

@test "killed while it is made, there is a whole fork or none" {
  run_durable -q --replayable --id job -- /bin/sh -c 'echo hello > file; rm file; echo again > file'
  seq=$(seq_of 'write() = 6')
  killed=0
  for call in mkdir linkat ftruncate fdatasync rename unlink; do
    for ((at = 1;; at++)); do
      rm -rf "$PERDURE_DIR/runs/new"
      ! strace -o trace -e trace=$call -e inject=$call:signal=KILL:when=$at "$PERDURE_ITSELF" fork job new --to "$seq" \
        > said 2>&1 3>&- || break
      killed=$((killed + 1))
      if [ ! -e "$PERDURE_DIR/runs/new/run.db" ]; then
        run --separate-stderr -125 perdure status new
        perdure fork job new --to "$seq"
      fi
      perdure verify -q new
      assert_equal "$(perdure status new | awk '/^state:/ { print $2 }')" unfinished
      assert_equal "$(perdure log new | grep -c '\[taken back\]$')" "$(perdure log job | sed "1,${seq}d" | wc -l)"
    done
  done
  assert [ $killed -gt 8 ]
  run -0 perdure resume -q new
  assert_equal "$(cat file)" again
}
