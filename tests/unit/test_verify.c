/* SPDX-License-Identifier: Apache-2.0 */
/* What the check of a whole journal finds, and which tails are refused. */
#include "journal/call_table.h"
#include "tests/unit/scratch_run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_tail(const char *path)
{
  struct tail_file file;
  int error = tail_file_open(path, &file, &failure);
  if (error == 0)
    tail_file_close(&file);
  return error;
}

static void test_tail_refusals(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  struct tail_header *header = run.file.header;
  tap_ok(open_tail(run.tail_path) == 0, "a tail that was created opens");
  tap_ok(open_tail(scratch_path("nowhere")) == -ENOENT && says("No such file"), "a missing tail is refused");
  header->version = 9;
  tap_ok(open_tail(run.tail_path) == -EPROTONOSUPPORT && says("newer"), "a newer tail is refused");
  header->version = JOURNAL_VERSION;
  header->magic[0] = 'P';
  tap_ok(open_tail(run.tail_path) == -EBADMSG && says("not a tail"), "what is no tail is refused");
  header->magic[0] = 'p';
  header->ring_size = 3 * SMALL_RING;
  tap_ok(open_tail(run.tail_path) == -EBADMSG && says("corrupt"), "a tail with wrong sizes is refused");
  header->ring_size = SMALL_RING;
  atomic_store(&header->drained, 8);
  tap_ok(open_tail(run.tail_path) == -EBADMSG && says("order"), "positions out of order are refused");
  atomic_store(&header->drained, 0);
  int truncated = truncate(run.tail_path, TAIL_HEADER_SIZE + SMALL_RING / 2);
  assert(truncated == 0);
  tap_ok(open_tail(run.tail_path) == -EBADMSG && says("truncated"), "a truncated tail is refused");
  struct stat status;
  stat(run.tail_path, &status);
  tap_ok((status.st_mode & 07777) == 0600, "a tail is its owner's alone");
  run_close(&run);
}

static void append_kind(struct run *run, uint8_t kind, uint16_t call, uint8_t flags)
{
  struct tail_draft draft = {.stream = 1, .kind = kind, .call = call, .flags = flags};
  tail_file_append(&run->file, &draft);
}

static void test_order(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  append_kind(&run, JOURNAL_ATTEMPT, 1026, 0);
  append_kind(&run, JOURNAL_INTENT, 1, 0);
  append_kind(&run, JOURNAL_RESULT, 1, 0);
  append_kind(&run, JOURNAL_INTENT, 2, 0);
  append_kind(&run, JOURNAL_ATTEMPT, 1026, 0);
  append_kind(&run, JOURNAL_RESULT, 2, JOURNAL_FLAG_RESOLVED);
  drain(&run, false);
  tap_ok(defects(&run) == 0, "intents with their results, and one that recovery resolved, are right");
  append_kind(&run, JOURNAL_INTENT, 5, 0);
  append_kind(&run, JOURNAL_INTENT, 6, 0);
  append_kind(&run, JOURNAL_RESULT, 6, 0);
  append_kind(&run, JOURNAL_RESULT, 5, 0);
  append_kind(&run, JOURNAL_INTENT, CALL_ID_EXCHANGE, 0);
  append_kind(&run, JOURNAL_ATTEMPT, 1026, 0);
  append_kind(&run, JOURNAL_INTENT, 1, 0);
  append_kind(&run, JOURNAL_RESULT, 1, 0);
  append_kind(&run, JOURNAL_RESULT, CALL_ID_EXCHANGE, 0);
  drain(&run, false);
  tap_ok(defects(&run) == 0, "intents may lie within each other, and an exchange go on in a later attempt");
  append_kind(&run, JOURNAL_INTENT, 3, 0);
  append_kind(&run, JOURNAL_RESULT, 4, 0);
  tap_ok(defects(&run) == 1 && strstr(last_defect, "entry 17 ") && strstr(last_defect, "another call"),
         "a result of another call is a defect, also where only the tail has it");
  append_kind(&run, JOURNAL_RESULT, 3, 0);
  drain(&run, false);
  tap_ok(defects(&run) == 2 && strstr(last_defect, "entry 18 ") && strstr(last_defect, "without"),
         "a result without an intent is a defect");
  append_kind(&run, JOURNAL_INTENT, CALL_ID_EXCHANGE, 0);
  append_kind(&run, JOURNAL_INTENT, 1, 0);
  append_kind(&run, JOURNAL_RESULT, 1, 0);
  append_kind(&run, JOURNAL_RESULT, CALL_ID_EXCHANGE, 0);
  append_kind(&run, JOURNAL_INTENT, SYS_nanosleep, 0);
  append_kind(&run, JOURNAL_ATTEMPT, 1026, 0);
  append_kind(&run, JOURNAL_RESULT, SYS_nanosleep, 0);
  tap_ok(defects(&run) == 2, "calls between an intent and its result, and a sleep that goes on, are none");
  run_close(&run);
}

static void test_damage(void)
{
  struct run run = {0};
  run_create(&run, SMALL_RING);
  uint64_t first = append(&run, 1, 0, 100);
  drain(&run, false);
  uint64_t second = append(&run, 1, 1, 100);
  run.tail.ring[second + 60] ^= 1;
  tap_ok(defects(&run) == 1 && strstr(last_defect, "damaged"), "a damaged entry of the tail is a defect");
  run.tail.ring[second + 60] ^= 1;
  run.tail.ring[first + 60] ^= 1;
  tap_ok(defects(&run) == 1 && strstr(last_defect, "other bytes"),
         "a tail that disagrees with the store is a defect");
  run.tail.ring[first + 60] ^= 1;
  tap_ok(defects(&run) == 0, "without the damage there is none");
  sqlite3_exec(store_database(run.store), "UPDATE chunk SET entry_count = 2", NULL, NULL, NULL);
  tap_ok(defects(&run) > 0, "a wrong count is a defect");
  run_close(&run);
}

static void test_missing(void)
{
  struct run run = {0}, other = {0};
  run_create(&run, SMALL_RING);
  run_create(&other, SMALL_RING);
  append(&run, 1, 0, 100);
  drain(&run, false);
  append(&run, 1, 1, 100);
  tap_ok(verify_journal(other.store, run.tail_path, say_note, last_defect, &failure) == 1 &&
             strstr(last_defect, "missing") != NULL,
         "entries that are neither in the store nor in the tail are a defect");
  tap_ok(verify_journal(run.store, scratch_path("none"), say_note, last_defect, &failure) == 0,
         "a run whose tail is gone is checked by its store alone");
  run_close(&run);
  run_close(&other);
}

int main(void)
{
  scratch_create();
  test_tail_refusals();
  test_order();
  test_damage();
  test_missing();
  scratch_remove();
  return tap_done();
}
