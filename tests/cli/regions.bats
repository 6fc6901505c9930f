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
