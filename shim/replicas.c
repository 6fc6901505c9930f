/* SPDX-License-Identifier: Apache-2.0 */
/* Writes nothing but what the supervisor is asked for, which is of this attempt. A crash at any line is harmless. */
#include "shim/replicas.h"

#include <errno.h>
#include <linux/futex.h>
#include <time.h>

/* Nobody waits for ever on a supervisor that does not answer: it is looked at again. */
#define LOOK_NS 100000000l

static void wait_for_news(struct tail_replication *replication, uint32_t seen)
{
  const struct timespec look = {0, LOOK_NS};
  raw_syscall6(SYS_futex, (uint64_t)&replication->news, FUTEX_WAIT, seen, (uint64_t)&look, 0, 0);
}

static void wake(_Atomic uint32_t *word)
{
  atomic_fetch_add(word, 1);
  raw_syscall6(SYS_futex, (uint64_t)word, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

static void ask_for(struct tail_header *header, uint64_t end)
{
  uint64_t wanted = atomic_load(&header->replication.wanted);
  while (wanted < end && !atomic_compare_exchange_weak(&header->replication.wanted, &wanted, end)) {
  }
  if (header->replication.on & TAIL_REPLICATION_DRAINED)
    wake(&header->drain_futex);
  wake(&header->replication.wake);
}

/* How many replicas have all below. */
static unsigned count_of(const struct tail_replication *replication, uint64_t end)
{
  unsigned count = TAIL_REPLICAS_MAX;
  while (count && atomic_load(&replication->acknowledged[count]) < end)
    count--;
  return count;
}

int replicas_ask(uint64_t end, unsigned replicas)
{
  struct tail_header *header = engine.tail.header;
  struct tail_replication *replication = &header->replication;
  if (!replication->on || replicas > replication->replicas_max || engine_left())
    return -ENOTCONN;
  atomic_fetch_add(&replication->waiting[replicas], 1);
  ask_for(header, end);
  return 0;
}

int replicas_wait(uint64_t end, unsigned replicas, uint64_t timeout_ns, unsigned *ret_count)
{
  struct tail_replication *replication = &engine.tail.header->replication;
  int result = 0;
  int64_t until = timeout_ns && timeout_ns < INT64_MAX / 2 ? (int64_t)engine_clock_ns(CLOCK_BOOTTIME) + (int64_t)timeout_ns : INT64_MAX;
  for (;;) {
    uint32_t seen = atomic_load(&replication->news);
    if (atomic_load(&replication->acknowledged[replicas]) >= end)
      break;
    if ((int64_t)engine_clock_ns(CLOCK_BOOTTIME) >= until || engine_left()) {
      result = engine_left() ? -ENOTCONN : -ETIMEDOUT;
      break;
    }
    wait_for_news(replication, seen);
  }
  atomic_fetch_sub(&replication->waiting[replicas], 1);
  if (ret_count)
    *ret_count = count_of(replication, end);
  return result;
}

int replicas_ask_before_remote(uint64_t end)
{
  const struct tail_replication *replication = &engine.tail.header->replication;
  return replication->on && replication->before_remote ? replicas_ask(end, replication->before_remote - 1) : -ENOTCONN;
}

void replicas_before_remote(uint64_t end, int asked)
{
  struct tail_replication *replication = &engine.tail.header->replication;
  if (!replication->on)
    return;
  if (asked == 0)
    replicas_wait(end, replication->before_remote - 1, 0, NULL);
  for (;;) {
    uint32_t seen = atomic_load(&replication->news);
    if ((int64_t)engine_clock_ns(CLOCK_BOOTTIME) < atomic_load(&replication->lease_until_ns) || engine_left())
      return;
    wait_for_news(replication, seen);
  }
}
