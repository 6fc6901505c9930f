/* SPDX-License-Identifier: Apache-2.0 */
/* Taking entries from the feed, in the journal's order, each by the stream that made it.
 *
 * The cursor lies in the tail's header, so that it survives an exec. Nothing is written to the world
 * or the journal here: killed at any line, the next attempt replays from the beginning. */
#include "shim/engine.h"

#include <errno.h>
#include <linux/futex.h>

uint64_t feed_offset(const void *place)
{
  return (uint64_t)((const uint8_t *)place - (const uint8_t *)engine.feed);
}

const void *feed_at(uint64_t offset)
{
  return (const uint8_t *)engine.feed + offset;
}

const struct feed_file *feed_find_primary(uint64_t device, uint64_t inode, uint64_t birth_ns)
{
  const struct feed_file *files = feed_at(engine.feed->files_offset);
  uint64_t low = 0, high = engine.feed->file_count;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    const struct feed_file *file = &files[middle];
    bool below = file->device != device    ? file->device < device
                 : file->inode != inode    ? file->inode < inode
                                           : file->birth_ns < birth_ns;
    if (below)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == engine.feed->file_count)
    return NULL;
  const struct feed_file *file = &files[low];
  if (file->device != device || file->inode != inode || file->birth_ns != birth_ns)
    return NULL;
  return file->flags & FEED_FILE_REBORN ? &files[file->primary] : file;
}

static const struct journal_entry *entry_at(uint64_t offset)
{
  return offset < engine.feed->entries_end ? feed_at(offset) : NULL;
}

const struct journal_entry *replay_peek(const struct journal_entry *entry)
{
  uint64_t offset = feed_offset(entry);
  do {
    offset += ((const struct journal_entry *)feed_at(offset))->size;
    const struct journal_entry *next = entry_at(offset);
    if (!next || (next->stream == entry->stream && next->kind != JOURNAL_DATA))
      return next;
  } while (true);
}

void replay_advance(const struct journal_entry *entry)
{
  struct tail_header *header = engine.tail.header;
  atomic_store_explicit(&header->cursor, feed_offset(entry) + entry->size, memory_order_seq_cst);
  if (atomic_load_explicit(&header->cursor_waiting, memory_order_seq_cst)) {
    atomic_fetch_add(&header->cursor_futex, 1);
    raw_syscall6(SYS_futex, (uint64_t)&header->cursor_futex, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
  }
}

/* Waits until the next entry is this stream's; NULL: the feed is used up. */
static const struct journal_entry *wait_for_turn(void)
{
  struct tail_header *header = engine.tail.header;
  for (unsigned tries = 0;; tries++) {
    uint32_t seen = atomic_load(&header->cursor_futex);
    const struct journal_entry *entry = entry_at(atomic_load(&header->cursor));
    if (!entry || entry->stream == engine_thread.stream)
      return entry;
    if (tries < 100) {
      __builtin_ia32_pause();
      continue;
    }
    atomic_fetch_add(&header->cursor_waiting, 1);
    entry = entry_at(atomic_load(&header->cursor));
    if (entry && entry->stream != engine_thread.stream)
      raw_syscall6(SYS_futex, (uint64_t)&header->cursor_futex, FUTEX_WAIT, seen, 0, 0, 0);
    atomic_fetch_sub(&header->cursor_waiting, 1);
  }
}

/* Where the output of argument `arg` goes: `length` bytes at `offset` of it. */
static void give(const struct call *call, unsigned arg, uint64_t offset, const void *bytes,
                 uint64_t length)
{
  uint64_t target = arg < 6 ? call->args[arg] : 0;
  if (!target)
    return;
  uint32_t shape = call->shape->args[arg];
  if (CALL_ARG_KIND(shape) == ARG_OUT_IOV)
    vector_scatter((const struct io_vector *)target, call->args[CALL_ARG_OTHER(shape)], offset, bytes,
                   length);
  else
    raw_copy((uint8_t *)target + offset, bytes, length);
}

static void give_data(struct call *call, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, -1);
  if (segment) {
    give(call, segment->arg, call->delivered, segment->data, segment->length);
    call->delivered += segment->length;
    call->delivered_arg = segment->arg;
  }
}

unsigned replay_next(void)
{
  const struct journal_entry *entry = wait_for_turn();
  return entry ? entry->kind : 0;
}

const struct journal_entry *replay_take(struct call *call, unsigned kind)
{
  for (;;) {
    const struct journal_entry *entry = wait_for_turn();
    if (!entry) {
      if (engine.tail.header->mode == TAIL_MODE_VERIFY)
        engine_diverged(call, NULL);
      engine_go_live();
      return NULL;
    }
    if (entry->kind == JOURNAL_DATA && entry->call == call->id) {
      give_data(call, entry);
      replay_advance(entry);
      continue;
    }
    if (entry->kind != kind || entry->call != call->id ||
        (kind != JOURNAL_RESULT && entry->signature != call->signature))
      engine_diverged(call, entry);
    return entry;
  }
}

int64_t replay_deliver(struct call *call, const struct journal_entry *entry)
{
  const uint8_t *end = (const uint8_t *)entry + entry->size;
  const struct journal_segment *segment = journal_first_segment(entry);
  if ((const uint8_t *)segment >= end)
    return entry->result;
  for (; segment; segment = journal_next_segment(entry, segment)) {
    if (segment->type != SEGMENT_OUTPUT)
      continue;
    uint64_t offset = segment->arg == call->delivered_arg ? call->delivered : 0;
    give(call, segment->arg, offset, segment->data, segment->length);
  }
  return entry->result;
}

bool replay_change(struct call *call, int64_t *ret_result, const struct journal_entry **ret_intent,
                   const struct journal_entry **ret_outcome)
{
  const struct journal_entry *intent = replay_take(call, JOURNAL_INTENT);
  if (!intent)
    return false;
  replay_advance(intent);
  const struct journal_entry *outcome = replay_take(call, JOURNAL_RESULT);
  if (!outcome)
    engine_failed(TAIL_REPORT_FAILED, "the feed ends between a change and its outcome: ",
                  call_shape_name(call->id), 0);
  *ret_result = replay_deliver(call, outcome);
  replay_advance(outcome);
  if (ret_intent)
    *ret_intent = intent;
  if (ret_outcome)
    *ret_outcome = outcome;
  return true;
}

void replay_to_end(struct call *call)
{
  const struct journal_entry *entry = wait_for_turn();
  if (entry || engine.tail.header->mode == TAIL_MODE_VERIFY)
    engine_diverged(call, entry);
  engine_go_live();
}
