/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers. Replay waits at them for real, since what the others did before they came must have been done; whom a barrier calls
 * the one (PTHREAD_BARRIER_SERIAL_THREAD) is in the journal. libc's choice would be another one in replay, and where only a part
 * of a round is in the journal, two threads would be told so, or none. So the choice is made here: it is the last to return,
 * where none of its round has been told. */
#include "shim/lock_order.h"

#include <pthread.h>

/* As many barriers as a process may have at a time with threads of it waiting, and be counted. */
#define BARRIER_MAX 1024u

/* Zero: free. Two with the same place lie one after the other. */
struct barrier {
  _Atomic uint64_t address;
  uint32_t thread_count;
  _Atomic uint64_t told; /* low half: how many have returned; high half: how many of them were the one */
};
LARGE_TABLE static struct barrier barriers[BARRIER_MAX];
#define GONE 1u /* there was one, and others may lie behind it */
#define ONE (1ull << 32)

static struct barrier *find(uint64_t address)
{
  uint64_t place = address / 8 * 0x9e3779b97f4a7c15ull >> 32;
  for (unsigned i = 0; i < BARRIER_MAX; i++) {
    struct barrier *barrier = &barriers[(place + i) % BARRIER_MAX];
    uint64_t taken = atomic_load(&barrier->address);
    if (taken == address)
      return barrier;
    if (!taken)
      break;
  }
  return NULL;
}

static void forget(uint64_t address)
{
  struct barrier *barrier = find(address);
  if (barrier)
    atomic_store(&barrier->address, GONE);
}

static void learn(uint64_t address, unsigned thread_count)
{
  uint64_t place = address / 8 * 0x9e3779b97f4a7c15ull >> 32;
  forget(address);
  for (unsigned i = 0; i < BARRIER_MAX; i++) {
    struct barrier *barrier = &barriers[(place + i) % BARRIER_MAX];
    uint64_t taken = atomic_load(&barrier->address);
    if (taken > GONE || !atomic_compare_exchange_strong(&barrier->address, &taken, address))
      continue;
    barrier->thread_count = thread_count;
    atomic_store(&barrier->told, 0);
    return;
  }
  engine_failed(TAIL_REPORT_FAILED, "the program has more barriers than can be followed", "", BARRIER_MAX);
}

/* The thread returns, and was the one then, or not: 1, 0; -1: it has not been told yet. */
static int tell(struct barrier *barrier, int was_one)
{
  uint64_t told = atomic_load(&barrier->told), next;
  bool is_one;
  do {
    uint32_t returned = (uint32_t)told + 1, rounds = returned / barrier->thread_count;
    is_one = was_one > 0 || (was_one < 0 && returned % barrier->thread_count == 0 && (uint32_t)(told >> 32) < rounds);
    next = ((told & ~0xffffffffull) | returned) + (is_one ? ONE : 0);
  } while (!atomic_compare_exchange_weak(&barrier->told, &told, next));
  return is_one ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

LOCK_HOOK int pthread_barrier_init(pthread_barrier_t *barrier, const pthread_barrierattr_t *attributes, unsigned count)
{
  int result = lock_real()->pthread_barrier_init(barrier, attributes, count);
  if (result == 0)
    learn((uint64_t)barrier, count);
  return result;
}

LOCK_HOOK int pthread_barrier_destroy(pthread_barrier_t *barrier)
{
  forget((uint64_t)barrier);
  return lock_real()->pthread_barrier_destroy(barrier);
}

LOCK_HOOK int pthread_barrier_wait(pthread_barrier_t *address)
{
  struct lock_turn turn;
  struct barrier *barrier = find((uint64_t)address);
  /* One that another process has made counts there. */
  if (!barrier || !lock_ordered())
    return lock_real()->pthread_barrier_wait(address);
  lock_works();
  lock_real()->pthread_barrier_wait(address);
  lock_rests();
  if (lock_begin(&turn, CALL_ID_BARRIER, address, LOCK_WAITS)) {
    lock_end(&turn, tell(barrier, turn.result != 0));
    lock_given_up();
    return (int)turn.result;
  }
  int result = tell(barrier, -1);
  lock_end(&turn, result);
  return result;
}
