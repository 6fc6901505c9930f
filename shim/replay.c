/* SPDX-License-Identifier: Apache-2.0 */
/* Taking entries from the feed, in the journal's order, each by the stream that made it.
 *
 * The cursor lies in the tail's header, so that it survives an exec. Nothing is written to the world
 * or the journal here: killed at any line, the next attempt replays from the beginning. */
#include "shim/engine.h"
#include "shim/input_file.h"
#include "shim/signals.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>

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

static void tell_waiting(void)
{
  struct tail_header *header = engine.tail.header;
  if (!atomic_load(&header->cursor_waiting))
    return;
  atomic_fetch_add(&header->cursor_futex, 1);
  raw_syscall6(SYS_futex, (uint64_t)&header->cursor_futex, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

void replay_advance(const struct journal_entry *entry)
{
  struct tail_header *header = engine.tail.header;
  atomic_store_explicit(&header->cursor, feed_offset(entry) + entry->size, memory_order_seq_cst);
  tell_waiting();
}

#define PATIENCE_S 1
static const struct timespec patience = {.tv_sec = PATIENCE_S};

void replay_keep(const struct journal_entry *entry)
{
  engine_thread.keeps = feed_offset(entry) + entry->size;
  atomic_store(&engine.tail.header->cursor_kept, engine_thread.keeps);
}

/* Whoever is first: the thread itself, or one that has waited for it long enough. */
static void pass_on(uint64_t kept)
{
  struct tail_header *header = engine.tail.header;
  if (!kept || !atomic_compare_exchange_strong(&header->cursor_kept, &kept, 0))
    return;
  atomic_store(&header->cursor, kept);
  tell_waiting();
}

void replay_pass_on(void)
{
  uint64_t kept = engine_thread.keeps;
  engine_thread.keeps = 0;
  pass_on(kept);
}

/* Another thread is ending the process, as it did then: what this one was about to do it never did. */
static void stay_if_ending(void)
{
  while (atomic_load(&engine.ending))
    raw_syscall0(SYS_pause);
}

/* Waits until the next entry is this stream's; NULL: the feed is used up. */
static const struct journal_entry *wait_for_turn(void)
{
  struct tail_header *header = engine.tail.header;
  replay_pass_on();
  for (unsigned tries = 0;; tries++) {
    uint32_t seen = atomic_load(&header->cursor_futex);
    const struct journal_entry *entry = entry_at(atomic_load(&header->cursor));
    if (!entry)
      stay_if_ending();
    if (!entry || entry->stream == engine_thread.stream)
      return entry;
    if (tries < 100) {
      __builtin_ia32_pause();
      continue;
    }
    atomic_fetch_add(&header->cursor_waiting, 1);
    entry = entry_at(atomic_load(&header->cursor));
    uint64_t kept = atomic_load(&header->cursor_kept);
    int64_t result = 0;
    if (entry && entry->stream != engine_thread.stream)
      result = raw_syscall6(SYS_futex, (uint64_t)&header->cursor_futex, FUTEX_WAIT, seen, (uint64_t)&patience, 0, 0);
    atomic_fetch_sub(&header->cursor_waiting, 1);
    if (result == -ETIMEDOUT)
      pass_on(kept);
  }
}

/* ---- one thread at a time ---- */

/* What threads do between calls (take a lock, take work from a queue) is in no journal, only which call came
 * first. So a thread goes on from a call only when its own next one is the next of all: what leads to a
 * call then happens in the calls' order. Where that thread is asleep on a lock, the others may go on to
 * give it up; then all that wait for the lock are woken, and the one whose turn it is gets it. */
#define STREAM_MAX 1024

LARGE_TABLE static _Atomic uint64_t asleep[STREAM_MAX]; /* the word of memory that the stream waits for, or 0 */
LARGE_TABLE static _Atomic int32_t owners[STREAM_MAX];  /* the thread that has it, as the kernel numbers it; 0: not known */

_Static_assert(offsetof(struct __pthread_mutex_s, __lock) == 0, "libc's layout");

/* It is a mutex that this thread waits for: only its owner has to go on. */
static int32_t owner_of(uint64_t word)
{
  return engine_thread.wants_mutex ? ((const struct __pthread_mutex_s *)word)->__owner : 0;
}

void replay_sleeps(uint64_t word)
{
  unsigned place = engine_thread.stream % STREAM_MAX;
  if (word)
    atomic_store(&owners[place], owner_of(word));
  atomic_store(&asleep[place], word);
  if (word)
    tell_waiting();
}

void replay_wakes(uint64_t word)
{
  for (unsigned i = 0; i < STREAM_MAX; i++) {
    uint64_t waits_for = word;
    atomic_compare_exchange_strong(&asleep[i], &waits_for, 0);
  }
}

static bool may_go_on(void)
{
  const struct journal_entry *entry = entry_at(atomic_load(&engine.tail.header->cursor));
  if (!entry || entry->stream == engine_thread.stream)
    return true;
  unsigned place = entry->stream % STREAM_MAX;
  if (!atomic_load(&asleep[place]))
    return false;
  int32_t owner = atomic_load(&owners[place]);
  return !owner || owner == (int32_t)raw_syscall0(SYS_gettid);
}

void replay_yield(void)
{
  struct tail_header *header = engine.tail.header;
  replay_pass_on();
  /* A thread that spins on memory sleeps nowhere: nobody waits for it forever. */
  while (!engine_live()) {
    uint32_t seen = atomic_load(&header->cursor_futex);
    atomic_fetch_add(&header->cursor_waiting, 1);
    int64_t result = 0;
    bool goes_on = may_go_on();
    if (!goes_on)
      result = raw_syscall6(SYS_futex, (uint64_t)&header->cursor_futex, FUTEX_WAIT, seen, (uint64_t)&patience, 0, 0);
    atomic_fetch_sub(&header->cursor_waiting, 1);
    if (goes_on || result == -ETIMEDOUT)
      return;
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

const struct journal_entry *replay_own_next(void)
{
  uint64_t offset = atomic_load(&engine.tail.header->cursor);
  const struct journal_entry *entry;
  while ((entry = entry_at(offset)) && (entry->stream != engine_thread.stream || entry->kind == JOURNAL_DATA))
    offset += entry->size;
  return entry;
}

bool replay_used_up(void)
{
  return !entry_at(atomic_load(&engine.tail.header->cursor));
}

bool replay_own_turn(void)
{
  const struct journal_entry *entry = entry_at(atomic_load(&engine.tail.header->cursor));
  return entry && entry->stream == engine_thread.stream;
}

void replay_ends_asleep(void)
{
  if (!entry_at(atomic_load(&engine.tail.header->cursor)) && engine.tail.header->mode != TAIL_MODE_VERIFY)
    engine_go_live();
}

/* Runs the handlers of signals that came before what follows. *ret_came: there was one. */
static const struct journal_entry *wait_past_signals(bool *ret_came)
{
  const struct journal_entry *entry;
  *ret_came = false;
  while ((entry = wait_for_turn()) && entry->kind == JOURNAL_SIGNAL) {
    signals_again(entry);
    *ret_came = true;
  }
  return entry;
}

/* The call for which replay has handled a signal last, before its own entry. A call that an attempt began and did not
 * end is journaled anew by the next, behind the SIGNAL that had come in it. */
static __thread const struct call *came_in;

unsigned replay_next(void)
{
  bool came;
  const struct journal_entry *entry = wait_past_signals(&came);
  return entry ? entry->kind : 0;
}

const struct journal_entry *replay_any(const struct call *call)
{
  bool came;
  const struct journal_entry *entry = wait_past_signals(&came);
  came_in = came ? call : NULL;
  input_file_close_before(entry ? call : NULL);
  if (entry)
    return entry;
  if (engine.tail.header->mode == TAIL_MODE_VERIFY)
    engine_diverged(call, NULL);
  engine_go_live();
  if (came)
    signals_replayed(call);
  return NULL;
}

const struct journal_entry *replay_take(struct call *call, unsigned kind)
{
  for (;;) {
    const struct journal_entry *entry = replay_any(call);
    if (!entry)
      return NULL;
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

bool replay_answers(struct call *call, int64_t *ret_result)
{
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return false;
  *ret_result = replay_deliver(call, entry);
  replay_advance(entry);
  return true;
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
  if (ret_intent)
    *ret_intent = intent;
  if (ret_outcome)
    *ret_outcome = outcome;
  else
    replay_advance(outcome);
  return true;
}

void replay_to_end(struct call *call)
{
  bool came;
  const struct journal_entry *entry = wait_past_signals(&came);
  input_file_close_before(NULL);
  if (entry || engine.tail.header->mode == TAIL_MODE_VERIFY)
    engine_diverged(call, entry);
  engine_go_live();
  if (came || came_in == call)
    signals_replayed(call);
}
