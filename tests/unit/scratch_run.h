/* SPDX-License-Identifier: Apache-2.0 */
/* A run of a test's own: a store, a tail, and writers that write what can be recognised again. Include
 * scratch.h and call scratch_create() first. */
#ifndef PERDURE_TESTS_UNIT_SCRATCH_RUN_H
#define PERDURE_TESTS_UNIT_SCRATCH_RUN_H

#include "supervisor/drain.h"

#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <string.h>

#define SMALL_RING (64u << 10)

static struct failure failure;

static inline bool says(const char *words)
{
  return strstr(failure.text, words) != NULL && strchr(failure.text, '\n') == NULL;
}

/* A run's store and tail, and the tail as a writer has it. */
struct run {
  char store_path[512], tail_path[512];
  struct store *store;
  struct tail_file file;
  struct tail tail;
};

static inline void run_open(struct run *run)
{
  int error = store_open(run->store_path, false, &run->store, &failure);
  if (error == 0)
    error = tail_file_open(run->tail_path, &run->file, &failure);
  if (error == 0)
    error = tail_file_map(&run->file, &run->tail);
  if (error != 0)
    tap_note("%s", failure.text);
  assert(error == 0);
}

static inline void run_close(struct run *run)
{
  tail_file_unmap(&run->tail);
  tail_file_close(&run->file);
  store_close(run->store);
}

static inline void run_create_in(struct run *run, const char *directory, uint64_t ring_size, unsigned sync)
{
  static unsigned number;
  number++;
  snprintf(run->store_path, sizeof run->store_path, "%s/store%u", directory, number);
  snprintf(run->tail_path, sizeof run->tail_path, "%s/tail%u", directory, number);
  struct store *store;
  struct tail_file file;
  int error = store_create(run->store_path, sync, &store, &failure);
  if (error == 0)
    error = tail_file_create(run->tail_path, ring_size, 0, &file, &failure);
  if (error != 0)
    tap_note("%s", failure.text);
  assert(error == 0);
  store_close(store);
  tail_file_close(&file);
  run_open(run);
}

static inline void run_create(struct run *run, uint64_t ring_size)
{
  run_create_in(run, scratch_directory, ring_size, TAIL_SYNC_NONE);
}

/* Entry `number` of `stream`, with `size` bytes of output that only it has. */
static inline uint64_t append(struct run *run, uint32_t stream, uint64_t number, uint32_t size)
{
  static __thread uint8_t bytes[1 << 20];
  memset(bytes, (int)(number + stream), size);
  uint64_t args[] = {number};
  struct tail_part part = {.type = SEGMENT_OUTPUT, .arg = 1, .data = bytes, .length = size};
  struct tail_draft draft = {.stream = stream,
                             .kind = JOURNAL_COMPLETE,
                             .result = size,
                             .args = args,
                             .arg_count = 1,
                             .part_count = 1,
                             .parts = &part};
  return tail_append(&run->tail, &draft);
}

/* Reserves `size` bytes as a writer does that is then killed. */
static inline uint64_t reserve(struct run *run, uint64_t size)
{
  return atomic_fetch_add(&run->file.header->head, size);
}

static inline uint64_t drain(struct run *run, bool finished)
{
  uint64_t count = 0;
  int error = drain_once(&run->file, run->store, finished, &count, &failure);
  if (error != 0)
    tap_note("%s", failure.text);
  assert(error == 0);
  return count;
}

static inline uint64_t pending(struct run *run)
{
  return atomic_load(&run->file.header->head) - atomic_load(&run->file.header->drained);
}

/* Are the store's entries, stream by stream, the numbers from 0 without a hole, `count` in all, with
 * the bytes that they were given? */
static inline bool holds(struct run *run, uint64_t count)
{
  uint64_t next[8] = {0}, seq = 0, total = 0;
  struct store_cursor *cursor;
  const struct journal_entry *entry;
  int error = store_cursor_open(run->store, 1, &cursor, &failure);
  while (error == 0 && (error = store_cursor_next(cursor, &entry, &seq, &failure)) == 0 && entry) {
    const struct journal_segment *output = journal_find_segment(entry, SEGMENT_OUTPUT, 1);
    if (entry->args[0] != next[entry->stream]++ || output == NULL ||
        output->length != (uint64_t)entry->result || seq != ++total)
      error = -EBADMSG;
    for (uint32_t i = 0; error == 0 && i < output->length; i++)
      if (output->data[i] != (uint8_t)(entry->args[0] + entry->stream))
        error = -EBADMSG;
  }
  store_cursor_close(cursor);
  if (error != 0 || total != count)
    tap_note("%d at entry %llu of %llu", error, (unsigned long long)total, (unsigned long long)count);
  return error == 0 && total == count;
}

static inline void say_note(const char *line, void *context)
{
  snprintf(context, 512, "%s", line);
}

static char last_defect[512];

static inline int64_t defects(struct run *run)
{
  last_defect[0] = '\0';
  return verify_journal(run->store, run->tail_path, say_note, last_defect, &failure);
}

#endif
