/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions. The entry of a wait lies where the thread has its mutex again, whoever woke it, or nobody.
 *
 * Replay waits for the entry's turn and not for the condition: which of several threads a signal wakes is not said, and would
 * be another one. So what is signalled in replay wakes nobody. A wait that the journal does not see the end of may have been
 * signalled already: it is over when the process goes live, as a wait may be at any time (POSIX calls that spurious), and
 * the program looks again at what it waits for. */
#include "shim/lock_order.h"

/* One wait, by which of the functions its fields say. */
struct condition_wait {
  pthread_cond_t *condition;
  pthread_mutex_t *mutex;
  enum lock_way way;
  bool has_clock;
  clockid_t clock;
  const struct timespec *until;
};

static int wait_for_real(const struct condition_wait *wait)
{
  const struct lock_real *real = lock_real();
  if (wait->has_clock)
    return real->pthread_cond_clockwait(wait->condition, wait->mutex, wait->clock, wait->until);
  if (wait->way == LOCK_WAITS_UNTIL)
    return real->pthread_cond_timedwait(wait->condition, wait->mutex, wait->until);
  return real->pthread_cond_wait(wait->condition, wait->mutex);
}

/* Who does not have the mutex is told so, and does not wait. */
static int wait_again(const struct condition_wait *wait, struct lock_turn *turn)
{
  int had_not = lock_real()->pthread_mutex_unlock(wait->mutex);
  bool replays = lock_begin(turn, CALL_ID_CONDITION, wait->condition, wait->way);
  int result = had_not;
  if (!had_not) {
    lock_works();
    result = lock_mutex_again(wait->mutex);
    lock_rests();
  }
  if (replays)
    result = (int)turn->result;
  lock_end_keeping(turn, result, true);
  if (result == LOCK_CANCELLED)
    lock_cancelled_again();
  return result;
}

static int wait_ordered(const struct condition_wait *wait)
{
  struct lock_turn turn;
  struct _pthread_cleanup_buffer buffer;
  if (!engine_live())
    return wait_again(wait, &turn);
  lock_begin(&turn, CALL_ID_CONDITION, wait->condition, wait->way);
  lock_works_cancellable(&turn, &buffer);
  int result = wait_for_real(wait);
  lock_rests_uncancelled(&buffer);
  lock_end(&turn, result);
  return result;
}

LOCK_HOOK int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
  const struct condition_wait wait = {.condition = condition, .mutex = mutex, .way = LOCK_WAITS};
  return lock_ordered() ? wait_ordered(&wait) : wait_for_real(&wait);
}

LOCK_HOOK int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
  const struct condition_wait wait = {.condition = condition, .mutex = mutex, .way = LOCK_WAITS_UNTIL, .until = until};
  return lock_ordered() ? wait_ordered(&wait) : wait_for_real(&wait);
}

LOCK_HOOK int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                     const struct timespec *until)
{
  const struct condition_wait wait = {condition, mutex, LOCK_WAITS_UNTIL, true, clock, until};
  return lock_ordered() ? wait_ordered(&wait) : wait_for_real(&wait);
}
