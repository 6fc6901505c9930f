# SPDX-License-Identifier: Apache-2.0
# A run goes on from an earlier place of its journal.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
  source_root=$(realpath "$BATS_TEST_DIRNAME/../..")
}

# Appends, so that what is done again is seen.
appending='echo one >> out; /bin/echo two >> out; (echo three >> out); exit 5'

# seq_of PATTERN: the number of the last line of the log that it is in.
seq_of() {
  perdure log job | grep -- "$1" | tail -n 1 | grep -o '#[0-9]*' | cut -c 2-
}

@test "what comes after the entry is done again, and nothing else" {
  run_durable -q --id job -- /bin/bash -c "$appending"
  assert_equal "$status" 5
  before=$(perdure log job | wc -l)
  seq=$(seq_of 'wait4.*= [0-9][0-9]*  ')
  first_child=$(perdure log job | grep -m 1 'wait4.*= [0-9][0-9]*  ' | grep -o '#[0-9]*' | cut -c 2-)
  assert [ "$first_child" -lt "$seq" ]
  run -0 perdure revert job --to "$first_child"
  assert_line --index 0 "job: back behind entry $first_child; $((before - first_child)) entries are taken back"
  assert_line --partial 'write(1, "three\n", 6) appending at 8'
  refute_line --partial 'write(1, "two\n"'
  assert_line --index -1 "\`perdure resume job\` goes on from there"
  run -0 perdure status job
  assert_line --regexp '^state: +unfinished'
  assert_equal "$(perdure log job | grep -c '\[taken back\]$')" $((before - first_child))
  # The shell itself is where it was, and the command after that place is not one of the run's any more.
  run -0 perdure ps job
  assert_line --regexp '^ *[0-9]+ +unfinished .* /bin/bash -c '
  assert_equal "$(perdure ps job | grep -c '\[taken back\]$')" 1
  assert_equal "$(perdure ps --json job | jq -c '[.[] | [.state, .taken_back]]')" \
    '[["unfinished",false],["ended",false],["ended",true]]'
  run_durable -q --id job -- /bin/bash -c "$appending"
  assert_equal "$status" 5
  assert_equal "$(xargs < out)" 'one two three three'
  # The journal is whole, and replays.
  perdure verify job
  perdure verify -q --replay job
  # Once more, further back: to before the first line.
  run -0 perdure revert job --to 2
  run -5 perdure resume -q job
  assert_equal "$(xargs < out)" 'one two three three one two three'
}

@test "at every place it is refused for a reason, or the run ends as it had" {
  script='printf %s one > a; x=$(cat a); /bin/echo $x two > b; mv b c 2> errors; sort c > d; exit 3'
  count=500 refused=0 reverted=0
  for ((seq = 1; seq < count; seq += 1 + (count - 1) / ${PERDURE_TEST_LONG:+10}30)); do
    # Anew: the files have to be the ones that it knows.
    rm -rf "$PERDURE_DIR/runs/job" ./*
    run_durable -q --replayable --id job -- /bin/bash -c "$script"
    assert_equal "$status" 3
    count=$(perdure log job | wc -l)
    if perdure revert job --to $seq > ../said 2>&1; then
      reverted=$((reverted + 1))
    else
      refused=$((refused + 1))
      assert_regex "$(cat ../said)" "^perdure: entry $seq of run job lies in a call, which entry [0-9]+ begins: .*; give --to [0-9]+"
      # The place that is named is one.
      seq_before=$(grep -o 'give --to [0-9]*' ../said | grep -o '[0-9]*')
      assert [ "$seq_before" -lt "$seq" ]
      perdure revert job --to "$seq_before"
    fi
    run_durable -q --id job -- /bin/bash -c "$script"
    assert_equal "$status $stderr" '3 '
    assert_equal "$(cat a c d)" 'oneone two
one two'
    perdure verify -q --replay job
  done
  assert [ $reverted -gt 15 ]
}

@test "inside an atomic region, of an entry that was taken back, of none, and of a live run it is refused" {
  gcc -I "$source_root/control-api" -x c -o program - << 'END'
#include <perdure.h>
#include <unistd.h>
int main(void)
{
  PERDURE_ATOMICALLY { perdure_note("in it"); if (access("die", F_OK) == 0) perdure_fail(""); }
  perdure_note("behind it");
}
END
  touch die
  run_durable -q --id job --no-retry -- ./program
  rm die
  # Taken back when the run goes on.
  in_it=$(seq_of 'in it')
  run_durable -q --id job -- ./program
  assert_success
  begun=$(seq_of '\] { perdure_scope_begin')
  run --separate-stderr -125 perdure revert job --to "$(seq_of '\] | perdure_note')"
  assert_clear_line
  assert_regex "$stderr" "lies in an atomic region, which entry $begun begins: .*; give --to $((begun - 1)), or"
  run --separate-stderr -125 perdure revert job --to "$in_it"
  assert_clear_line
  assert_regex "$stderr" "entry $in_it of run job was taken back"
  run --separate-stderr -125 perdure revert job --to 10000
  assert_clear_line
  run --separate-stderr -125 perdure revert job --to "$(perdure log job | wc -l)"
  assert_clear_line
  for words in "job" "job --to 0" "job --to -3" "job --to x" "nobody --to 3"; do
    # shellcheck disable=SC2086  # words
    run --separate-stderr -125 perdure revert $words
    assert_clear_line
  done
  # The region's end is a place.
  run -0 perdure revert job --to "$(seq_of '\] } perdure_scope_end')"
  run -0 perdure resume -q job
  rm -r "$PERDURE_DIR/runs/job"
  start_waiting_run job
  run --separate-stderr -125 perdure revert job --to 3
  assert_clear_line
  assert_regex "$stderr" "run job is live: process $supervisor supervises it"
  kill -0 "$program"
  let_go
  await_supervisor
}

@test "a region that was unfinished at the end goes back with it" {
  gcc -I "$source_root/control-api" -x c -o program - << 'END'
#include <perdure.h>
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
  perdure_note("before it");
  PERDURE_ATOMICALLY {
    int fd = open("file", O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (write(fd, "once\n", 5) != 5 || access("die", F_OK) == 0)
      perdure_fail("");
  }
}
END
  touch die
  run_durable -q --id job --no-retry -- ./program
  assert_equal "$(cat file)" once
  run -0 perdure revert job --to "$(seq_of 'before it')"
  assert_not_exist file
  rm die
  run -0 perdure resume -q job
  assert_equal "$(cat file)" once
}

@test "killed at any of its writes, the run is as before, or reverted" {
  run_durable -q --id job -- /bin/bash -c "$appending"
  cp -r "$PERDURE_DIR/runs/job" whole
  seq=$(seq_of 'wait4.*= [0-9][0-9]*  ')
  after=$(($(perdure log job | wc -l) - seq))
  killed=0 before=0
  # strace counts each call by itself.
  for call in pwrite64 write fdatasync ftruncate mkdir unlink; do
    for ((at = 1;; at++)); do
      rm -rf "$PERDURE_DIR/runs/job"
      cp -r whole "$PERDURE_DIR/runs/job"
      ! strace -o trace -e trace=$call -e inject=$call:signal=KILL:when=$at "$PERDURE_ITSELF" revert job --to "$seq" \
        > said 2>&1 3>&- || break
      killed=$((killed + 1))
      state=$(perdure status job | awk '/^state:/ { print $2 }')
      taken_back=$(perdure log job | grep -c '\[taken back\]$' || true)
      if [ "$state" = finished ]; then
        assert_equal "$taken_back" 0
        before=$((before + 1))
      else
        assert_equal "$state $taken_back" "unfinished $after"
      fi
      perdure verify -q job
    done
  done
  assert [ $before -gt 5 ]
  assert [ $before -lt $killed ]
}

@test "files that have been renamed or removed since are the ones that it goes on with" {
  run_durable -q --replayable --id job -- /bin/bash -c 'exec 5> a 6> gone; echo one >&5; echo two >&5; mv a b 2> errors; rm -f gone'
  assert_success
  run -0 perdure revert job --to "$(seq_of 'write() = 4')"
  run -0 perdure revert job --to "$(seq_of 'openat() = 3 <.*/gone')"
  run -0 perdure resume -q job
  assert_equal "$(cat b)" "$(printf 'one\ntwo')"
  assert_not_exist a
  assert_regex "$(cat errors)" "mv: .*'a'"
}
