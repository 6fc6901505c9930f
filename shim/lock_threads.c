/* SPDX-License-Identifier: Apache-2.0 */
/* Making threads, cancelling them and joining them. Who waits for the end of a thread needs no entry; whether it had come is in the journal. When all others have been
 * joined, there is no order between threads any more, in every attempt from the same call on. */
#include "shim/arenas.h"
#include "shim/lock_order.h"

#include <pthread.h>

LOCK_HOOK int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
  arenas_one_for_each_thread();
  return lock_real()->pthread_create(ret_thread, attributes, run, argument);
}

/* Threads of a library's own work, and those of a part without persistence, were never counted. What the thread has of its own
 * is gone when it has been joined. */
static uint32_t is_counted(pthread_t thread)
{
  return thread_of(thread)->counted;
}

static int joined(uint32_t counted, int result)
{
  if (result == 0 && counted)
    atomic_fetch_sub(&engine.other_threads, 1);
  return result;
}

/* Replay: a thread that had ended will have. */
static int join_again(struct lock_turn *turn, pthread_t thread, void **ret_result)
{
  uint32_t counted = is_counted(thread);
  if (turn->result == 0) {
    lock_works();
    lock_real()->pthread_join(thread, ret_result);
    lock_rests();
  }
  lock_end(turn, turn->result);
  lock_given_up();
  return joined(counted, (int)turn->result);
}

LOCK_HOOK int pthread_join(pthread_t thread, void **ret_result)
{
  uint32_t counted = is_counted(thread);
  return joined(counted, lock_real()->pthread_join(thread, ret_result));
}

LOCK_HOOK int pthread_tryjoin_np(pthread_t thread, void **ret_result)
{
  struct lock_turn turn;
  uint32_t counted = is_counted(thread);
  if (!lock_ordered())
    return joined(counted, lock_real()->pthread_tryjoin_np(thread, ret_result));
  if (lock_begin(&turn, CALL_ID_JOIN, (const void *)thread, LOCK_TRIES))
    return join_again(&turn, thread, ret_result);
  int result = lock_real()->pthread_tryjoin_np(thread, ret_result);
  lock_end(&turn, result);
  return joined(counted, result);
}

LOCK_HOOK int pthread_timedjoin_np(pthread_t thread, void **ret_result, const struct timespec *until)
{
  struct lock_turn turn;
  uint32_t counted = is_counted(thread);
  if (!lock_ordered())
    return joined(counted, lock_real()->pthread_timedjoin_np(thread, ret_result, until));
  if (lock_begin(&turn, CALL_ID_JOIN, (const void *)thread, LOCK_WAITS_UNTIL))
    return join_again(&turn, thread, ret_result);
  lock_works();
  int result = lock_real()->pthread_timedjoin_np(thread, ret_result, until);
  lock_rests();
  lock_end(&turn, result);
  return joined(counted, result);
}

LOCK_HOOK int pthread_clockjoin_np(pthread_t thread, void **ret_result, clockid_t clock, const struct timespec *until)
{
  struct lock_turn turn;
  uint32_t counted = is_counted(thread);
  if (!lock_ordered())
    return joined(counted, lock_real()->pthread_clockjoin_np(thread, ret_result, clock, until));
  if (lock_begin(&turn, CALL_ID_JOIN, (const void *)thread, LOCK_WAITS_UNTIL))
    return join_again(&turn, thread, ret_result);
  lock_works();
  int result = lock_real()->pthread_clockjoin_np(thread, ret_result, clock, until);
  lock_rests();
  lock_end(&turn, result);
  return joined(counted, result);
}

/* Where the thread waits in the kernel, libc sends it a signal; which has no entry: whether it does wait then, replay need not know. */
LOCK_HOOK int pthread_cancel(pthread_t thread)
{
  struct lock_turn turn;
  if (!lock_ordered())
    return lock_real()->pthread_cancel(thread);
  bool replays = lock_begin(&turn, CALL_ID_CANCEL, (const void *)thread, LOCK_WAITS);
  /* First the entry: the thread's own may come at once. */
  if (!replays)
    lock_end(&turn, 0);
  lock_works();
  int result = lock_real()->pthread_cancel(thread);
  lock_rests();
  if (replays)
    lock_end(&turn, 0);
  return result;
}
