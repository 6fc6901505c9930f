/* SPDX-License-Identifier: Apache-2.0 */
/* Appending to the tail, from any thread of any process of the run, and from signal handlers.
 *
 * Invariant: a thread owns [position, position + size) from its atomic add until it stores the
 * position field. Killed between the two, the space stays a gap that no reader takes for an entry;
 * killed anywhere else, the entry is there whole or was never begun. */
#include "journal/tail.h"

#include "journal/hash.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The drain is woken, and pages are made ready, whenever an append crosses a multiple of these. */
#define DRAIN_STEP (1u << 20)
#define POPULATE_STEP (256u << 10)

static long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static void copy_bytes(void *to, const void *from, size_t size)
{
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void wake_drain(struct tail_header *header)
{
  atomic_fetch_add_explicit(&header->drain_futex, 1, memory_order_release);
  raw_call(SYS_futex, (long)&header->drain_futex, FUTEX_WAKE, 1, 0, 0, 0);
}

/* Waits until the ring has room up to `end`. */
static void wait_for_room(struct tail_header *header, uint64_t end)
{
  while (end > atomic_load_explicit(&header->drained, memory_order_acquire) + header->ring_size &&
         !atomic_load(&header->left)) {
    uint32_t seen = atomic_load(&header->drained_futex);
    atomic_fetch_add(&header->writers_waiting, 1);
    wake_drain(header);
    if (end > atomic_load(&header->drained) + header->ring_size)
      raw_call(SYS_futex, (long)&header->drained_futex, FUTEX_WAIT, seen, 0, 0, 0);
    atomic_fetch_sub(&header->writers_waiting, 1);
  }
}

static bool crosses(uint64_t from, uint64_t to, uint64_t step)
{
  return (from ^ to) & ~(step - 1);
}

static size_t draft_size(const struct tail_draft *draft)
{
  size_t size = JOURNAL_ENTRY_HEADER_SIZE + 8 * (size_t)draft->arg_count;
  for (uint32_t i = 0; i < draft->part_count; i++)
    size += sizeof(struct journal_segment) +
            journal_padded((size_t)draft->parts[i].length + draft->parts[i].length2);
  return size;
}

static uint8_t *write_part(uint8_t *place, const struct tail_part *part)
{
  struct journal_segment *segment = (struct journal_segment *)place;
  size_t length = (size_t)part->length + part->length2, padded = journal_padded(length);
  segment->type = part->type;
  segment->arg = part->arg;
  segment->zero = 0;
  segment->length = (uint32_t)length;
  if (padded != length)
    *(uint64_t *)(segment->data + padded - 8) = 0;
  if (part->length == 16) {
    __builtin_memcpy(segment->data, part->data, 16);
  } else {
    copy_bytes(segment->data, part->data, part->length);
  }
  if (part->length2)
    copy_bytes(segment->data + part->length, part->data2, part->length2);
  return segment->data + padded;
}

/* What this process has just seen may be a part of the attempt's end. */
static void die_if_over(struct tail_header *header)
{
  uint32_t lives = atomic_load_explicit(&header->supervisor.word, memory_order_acquire) |
                   atomic_load_explicit(&header->first.word, memory_order_acquire);
  if (__builtin_expect(!atomic_load_explicit(&header->stopped, memory_order_acquire) && !(lives & FUTEX_OWNER_DIED), 1))
    return;
  for (;;)
    raw_call(SYS_kill, raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
}

uint64_t tail_append(const struct tail *tail, const struct tail_draft *draft)
{
  struct tail_header *header = tail->header;
  die_if_over(header);
  if (__builtin_expect(atomic_load_explicit(&header->left, memory_order_relaxed), 0))
    return TAIL_NOWHERE;
  size_t size = draft_size(draft);
  assert(size <= JOURNAL_ENTRY_SIZE_MAX && draft->arg_count <= JOURNAL_ARG_COUNT_MAX);

  uint64_t position = atomic_fetch_add_explicit(&header->head, size, memory_order_relaxed);
  uint64_t end = position + size;
  if (end > atomic_load_explicit(&header->drained, memory_order_acquire) + header->ring_size) {
    wait_for_room(header, end);
    if (atomic_load(&header->left))
      return TAIL_NOWHERE;
  }

  struct journal_entry *entry =
      (struct journal_entry *)(tail->ring + (position & (header->ring_size - 1)));
  entry->size = (uint32_t)size;
  entry->stream = draft->stream;
  entry->call = draft->call;
  entry->kind = draft->kind;
  entry->arg_count = (uint8_t)(draft->arg_count | draft->flags);
  entry->result = draft->result;
  entry->signature = draft->signature;
  entry->time_ns = draft->time_ns;
  for (uint32_t i = 0; i < draft->arg_count; i++)
    entry->args[i] = draft->args[i];
  uint8_t *place = (uint8_t *)(entry->args + draft->arg_count);
  for (uint32_t i = 0; i < draft->part_count; i++)
    place = write_part(place, &draft->parts[i]);
  entry->checksum = journal_checksum(entry);
  __atomic_store_n(&entry->position, position, __ATOMIC_RELEASE);

  if (crosses(position, end, POPULATE_STEP)) {
    uint64_t ahead = (end + POPULATE_STEP) & (header->ring_size - 1) & ~(uint64_t)(POPULATE_STEP - 1);
    raw_call(SYS_madvise, (long)(tail->ring + ahead), POPULATE_STEP, MADV_POPULATE_WRITE, 0, 0, 0);
    if (crosses(position, end, DRAIN_STEP))
      wake_drain(header);
  }
  return position;
}

/* Returns when all that has left the ring is on disk, and all that will leave it is before it does. */
static void wait_for_durable(struct tail_header *header)
{
  uint32_t seen = TAIL_DURABLE_NOT_YET;
  if (atomic_compare_exchange_strong(&header->durable, &seen, TAIL_DURABLE_WANTED))
    wake_drain(header);
  while (atomic_load(&header->durable) != TAIL_DURABLE && !atomic_load(&header->left))
    raw_call(SYS_futex, (long)&header->durable, FUTEX_WAIT, TAIL_DURABLE_WANTED, 0, 0, 0);
}

/* Where what is published in a row from `from` on ends, at most at `end`. */
static uint64_t published_to(const struct tail *tail, uint64_t from, uint64_t end)
{
  while (from < end) {
    const struct journal_entry *entry =
        (const struct journal_entry *)(tail->ring + (from & (tail->header->ring_size - 1)));
    if (__atomic_load_n(&entry->position, __ATOMIC_ACQUIRE) != from || entry->size < JOURNAL_ENTRY_HEADER_SIZE ||
        entry->size % 8 != 0 || entry->size > end - from)
      break;
    from += entry->size;
  }
  return from;
}

void tail_raise(_Atomic uint64_t *word, uint64_t value)
{
  uint64_t seen = atomic_load(word);
  while (seen < value && !atomic_compare_exchange_weak(word, &seen, value)) {
  }
}

static int sync_bytes(const void *from, const void *end)
{
  uintptr_t first = (uintptr_t)from & ~(uintptr_t)4095;
  return (int)raw_call(SYS_msync, (long)first, (long)((uintptr_t)end - first), MS_SYNC, 0, 0, 0);
}

int tail_sync_to(const struct tail *tail, uint64_t start, uint64_t end)
{
  struct tail_header *header = tail->header;
  if (atomic_load_explicit(&header->durable, memory_order_acquire) != TAIL_DURABLE)
    wait_for_durable(header);
  if (atomic_load(&header->left))
    return 0;
  uint64_t from = atomic_load(&header->synced), drained = atomic_load(&header->drained);
  if (from < drained)
    from = drained;
  if (from > start)
    from = start;
  /* Before the sync: what is published later need not be in it. */
  uint64_t published = published_to(tail, from, end);
  const uint8_t *first = tail->ring + (from & (header->ring_size - 1));
  int result = sync_bytes(first, first + (end - from));
  if (result == 0 && published < end) {
    tail_raise(&header->holes_to, end);
    result = sync_bytes(&header->holes_to, &header->holes_to + 1);
  }
  if (result == 0)
    tail_raise(&header->synced, published);
  return result;
}
