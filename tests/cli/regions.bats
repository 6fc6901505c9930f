# SPDX-License-Identifier: Apache-2.0
# Atomic regions as people meet them: what is said, what cannot be taken back, what another run finds.
bats_require_minimum_version 1.5.0
load domain

setup() {
  set_up_place
  source_root=$(realpath "$BATS_TEST_DIRNAME/../..")
}

build_program() {
  gcc -I "$source_root/control-api" -x c -o program -
}

@test "a region that always fails runs as often as the policy says, its files go back each time, and its key stays" {
  build_program << 'END'
#include <perdure.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
  PERDURE_ATOMICALLY {
    char key[37];
    perdure_idempotency_key(key);
    dprintf(1, "%s\n", key);
    int fd = open("file", O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (lseek(fd, 0, SEEK_END) != 0)
      return 3;
    dprintf(fd, "half done\n");
    perdure_fail("in the middle");
  }
}
END
  run_durable -q --id job --retry max=4,min=1ms -- ./program
  assert_equal "$status" 134
  assert_equal "${#lines[@]}" 4
  assert_equal "$(sort -u <<< "$output" | wc -l)" 1
  run -0 perdure retries job
  assert_line --index 3 --partial 'failure 4 of 4: no further attempt'
  # What was taken back is marked in the log; the last one is not taken back yet.
  assert_equal "$(perdure log job | grep -c 'idempotency_key.*\[taken back\]')" 3
  assert_equal "$(perdure log job | grep 'idempotency_key' | grep -vc 'taken back')" 1
  # Given up in the middle, the file is as it is until the run goes on.
  assert_file_exists file
}

# build_regions: a program with a region in a region; it dies in the outer one as long as a file `die` is there.
build_regions() {
  build_program << 'END'
#include <perdure.h>
#include <unistd.h>
int main(void)
{
  struct perdure_token outer;
  perdure_note("before");
  perdure_atomic_begin(&outer);
  PERDURE_ATOMICALLY { perdure_note("inner"); }
  if (access("die", F_OK) == 0)
    perdure_fail("in the middle");
  perdure_atomic_end(outer);
  perdure_note("after");
  return 0;
}
END
}

@test "log draws regions as brackets, strikes out what was taken back, and has each end of an attempt in its place" {
  build_regions
  touch die
  run_durable -q --id job --retry max=2,min=5ms,jitter=0 -- ./program
  assert_equal "$status" 134
  run -0 perdure log job
  assert_line --regexp '#[0-9]+ \[0\] perdure_note\("before"\)'
  assert_line --regexp '\[0\] \{ perdure_scope_begin'
  assert_line --regexp '\[0\] ~ \|\{ perdure_scope_begin.*\[taken back\]$'
  assert_line --regexp '\[0\] ~ \|\| perdure_note\("inner"\).*\[taken back\]$'
  assert_line --regexp '\[0\] ~ \|\} perdure_scope_end.*\[taken back\]$'
  assert_line --regexp '\[0\] \|\| perdure_note\("inner"\) = 0  \[local\]$'
  begun=$(grep -o '#[0-9]* \[0\] { ' <<< "$output" | grep -o '[0-9]*' | head -n 1)
  assert_line --index -1 --regexp "^the region of #$begun is unfinished: .*\\[unfinished\\]\$"
  # In the order in which it was.
  assert_equal "$(grep -oE 'attempt [0-9]+ begins|attempt [0-9]+: killed by signal 6|failure . of 2: .*' <<< "$output" |
    tr '\n' ',')" "attempt 1 begins,attempt 1: killed by signal 6,failure 1 of 2: again after 5 ms,\
attempt 2 begins,attempt 2: killed by signal 6,failure 2 of 2: no further attempt,"
  rm die
  run_durable -q --id job -- ./program
  assert_success
  run -0 perdure log job
  assert_line --regexp '\[0\] \} perdure_scope_end'
  refute_line --partial '[unfinished]'
  assert_line --regexp '\[0\] perdure_note\("after"\)'
  # Struck out on a terminal, and only there.
  struck=$'\x1b[9m'
  assert_equal "$(grep -cF "$struck" <<< "$output")" 0
  taken_back=$(grep -c '\[taken back\]$' <<< "$output")
  assert_equal "$(script -qec "$PERDURE log job" /dev/null | grep -cF "$struck")" "$taken_back"
}

@test "log --follow says what is taken back of the lines that it has printed" {
  build_program << 'END'
#include <perdure.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
  char word[8] = "";
  PERDURE_ATOMICALLY {
    perdure_note("in it");
    close(open("up", O_WRONLY));
    read(open("go", O_RDONLY), word, sizeof word - 1);
    if (strcmp(word, "on") != 0)
      perdure_fail("not on");
  }
  return 0;
}
END
  mkfifo up go
  "$PERDURE" run -q --id job --retry max=2,min=1ms -- ./program &
  supervisor=$!
  : < up
  "$PERDURE" log --follow job > followed &
  follower=$!
  timeout 10 tail --pid="$follower" -f followed | grep -q -m 1 'in it'
  printf off > go
  : < up
  printf on > go
  await_supervisor
  assert_equal "$status" 0
  await_death "$follower"
  begun=$(grep -o '#[0-9]* \[0\] { ' followed | cut -d ' ' -f 1)
  assert_equal "$(grep -c "^~ what came in the region of $begun is taken back" followed)" 1
  assert_equal "$(grep -oE 'attempt [0-9]+ begins|failure 1 of 2' followed | tr '\n' ',')" \
    'attempt 1 begins,failure 1 of 2,attempt 2 begins,'
  # Afterwards the same lines are struck out.
  assert_equal "$(perdure log job | grep -c '~ | perdure_note("in it")')" 1
}

@test "log --json has the same of regions and attempts" {
  build_regions
  touch die
  run_durable -q --id job --retry max=2,min=5ms,jitter=0 -- ./program
  run -0 perdure log --json job
  python3 - 3<<< "$output" << 'END'
import json, os
lines = [json.loads(line) for line in os.fdopen(3)]
entries = [line for line in lines if "seq" in line]
events = [line for line in lines if "event" in line]
begins = [entry for entry in entries if "region_begins" in entry]
assert [len(entry["regions"]) for entry in begins] == [1, 2, 2], begins
assert [entry["taken_back"] for entry in begins] == [False, True, False], begins
assert all(entry["region_begins"] == entry["seq"] for entry in begins)
ends = [entry for entry in entries if "region_ends" in entry]
assert [entry["region_ends"] for entry in ends] == [entry["seq"] for entry in begins[1:]], ends
assert "regions" not in entries[0]
assert [event["event"] for event in events] == ["attempt_ended", "attempt_ended", "region_unfinished"], events
assert (events[0]["ended"], events[0]["status"], events[0]["delay_ns"]) == ("killed", 6, 5000000), events
assert events[1]["delay_ns"] is None and events[1]["failure"] == 2, events
assert events[2]["region"] == begins[0]["seq"], events
at = lines.index(events[0])
assert lines[at + 1]["kind"] == "attempt", lines[at + 1]
END
}

@test "a region that is given up runs again from its beginning" {
  build_program << 'END'
#include <perdure.h>
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
  struct perdure_token region;
  perdure_atomic_begin(&region);
  if (open("file", O_WRONLY | O_CREAT | O_EXCL, 0666) < 0)
    return 3;
  return perdure_atomic_abort(region) ? 4 : 5;
}
END
  run_durable -q --id job --retry max=3,min=1ms -- ./program
  assert_equal "$status" 134
  assert_equal "$(perdure log job | grep -c 'the program gave up: an atomic region is given up')" 3
}

@test "what stands in the way of taking back is named, and the run goes on when it is put right" {
  build_program << 'END'
#include <perdure.h>
#include <sys/stat.h>
int main(void)
{
  PERDURE_ATOMICALLY {
    if (mkdir("made", 0777) < 0)
      return 3;
    perdure_fail(NULL);
  }
}
END
  run_durable -q --id job --no-retry -- ./program
  assert_equal "$status" 134
  touch made/somebodys
  run_durable --id job --no-retry -- ./program
  assert_equal "$status" 125
  assert_regex "$stderr" "unfinished atomic region's change of .*/made cannot be taken back: Directory not empty; "
  rm made/somebodys
  run_durable -q --id job --no-retry -- ./program
  assert_equal "$status" 134
}

@test "an empty region is one sync under --sync all, and none under --sync none" {
  build_program << 'END'
#include <perdure.h>
int main(void)
{
  for (int i = 0; i < 100; i++)
    PERDURE_ATOMICALLY {}
}
END
  for sync in none all; do
    strace -f -o calls.$sync -e trace=msync "$PERDURE" run --sync $sync -- ./program
  done
  assert_equal "$(grep -c msync calls.none)" 0
  assert_equal "$(grep -c msync calls.all)" 100
}

@test "a region does not end while a request that it began, and that may not be repeated, is under way" {
  load ../crash/servers.bash
  start_counting_server
  cat > open.c <<'SOURCE'
#include "control-api/perdure.h"
#include <curl/curl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
  CURLM *multi = curl_multi_init();
  CURL *easy = curl_easy_init();
  struct perdure_token region, mode;
  int running = 1, idempotent = argc > 2;
  curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "one=1");
  if (perdure_atomic_begin(&region) != 0 || perdure_idempotence_begin(idempotent, &mode) != 0)
    return 1;
  curl_multi_add_handle(multi, easy);
  printf("%d\n", perdure_atomic_end(region) == PERDURE_ERROR_UNANSWERED);
  while (running && curl_multi_perform(multi, &running) == CURLM_OK)
    curl_multi_wait(multi, NULL, 0, 1000, NULL);
  printf("%d\n", perdure_atomic_end(region));
  return 0;
}
SOURCE
  cc -I "$source_root" -o open open.c -lcurl
  run_durable --id asks -- ./open "http://127.0.0.1:$port/a"
  assert_success
  assert_line --index 0 1
  assert_line --regexp '^0$'
  run -0 perdure verify --replay asks
  # One that may be repeated keeps nothing open: the second end finds none.
  run_durable -- ./open "http://127.0.0.1:$port/b" idempotent
  assert_line --index 0 0
  assert_line --regexp '^-2$'
  stop_servers
}
