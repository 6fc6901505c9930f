/* SPDX-License-Identifier: Apache-2.0 */
/* Semaphores. Their functions say by errno why they fail; an entry has the number. */
#include "shim/lock_order.h"

#include <errno.h>
#include <semaphore.h>

static int why_failed(void)
{
  return *lock_real()->__errno_location();
}

static int fail(int why)
{
  if (!why)
    return 0;
  *lock_real()->__errno_location() = why;
  return -1;
}

static int take_waiting(void *semaphore)
{
  return lock_real()->sem_wait(semaphore) == 0 ? 0 : why_failed();
}

static int take_trying(void *semaphore)
{
  return lock_real()->sem_trywait(semaphore) == 0 ? 0 : why_failed();
}

static int take_until(void *semaphore, const struct timespec *until)
{
  return lock_real()->sem_timedwait(semaphore, until) == 0 ? 0 : why_failed();
}

static int take_clock(void *semaphore, clockid_t clock, const struct timespec *until)
{
  return lock_real()->sem_clockwait(semaphore, clock, until) == 0 ? 0 : why_failed();
}

/* A signal that ends the wait now did not end it then; nor was the thread cancelled, which it may have been just after. */
static int wait_for_semaphore(void *semaphore)
{
  int why, before;
  lock_real()->pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  do
    why = take_waiting(semaphore);
  while (why == EINTR);
  lock_real()->pthread_setcancelstate(before, NULL);
  return why;
}

static const struct lock_taking takes[] = {
    [LOCK_WAITS] = {CALL_ID_SEMAPHORE, LOCK_WAITS, wait_for_semaphore, 0, true},
    [LOCK_TRIES] = {CALL_ID_SEMAPHORE, LOCK_TRIES, wait_for_semaphore, 0, false},
    [LOCK_WAITS_UNTIL] = {CALL_ID_SEMAPHORE, LOCK_WAITS_UNTIL, wait_for_semaphore, 0, true},
};

/* Nobody gives a semaphore up who has it: in replay the thread rests here. */
static int taken(int why)
{
  if (!engine_live())
    lock_given_up();
  return fail(why);
}

LOCK_HOOK int sem_wait(sem_t *semaphore)
{
  if (!lock_ordered())
    return lock_real()->sem_wait(semaphore);
  return taken(lock_take_ordered(&takes[LOCK_WAITS], semaphore, take_waiting));
}

LOCK_HOOK int sem_trywait(sem_t *semaphore)
{
  if (!lock_ordered())
    return lock_real()->sem_trywait(semaphore);
  return taken(lock_take_ordered(&takes[LOCK_TRIES], semaphore, take_trying));
}

LOCK_HOOK int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
  if (!lock_ordered())
    return lock_real()->sem_timedwait(semaphore, until);
  return taken(lock_take_until_ordered(&takes[LOCK_WAITS_UNTIL], semaphore, take_until, until));
}

LOCK_HOOK int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
  if (!lock_ordered())
    return lock_real()->sem_clockwait(semaphore, clock, until);
  return taken(lock_take_clock_ordered(&takes[LOCK_WAITS_UNTIL], semaphore, take_clock, clock, until));
}

LOCK_HOOK int sem_post(sem_t *semaphore)
{
  return lock_give(semaphore, lock_real()->sem_post);
}

/* What it says is over when it has been said; the journal has it. */
LOCK_HOOK int sem_getvalue(sem_t *semaphore, int *ret_value)
{
  struct lock_turn turn;
  if (!lock_ordered())
    return lock_real()->sem_getvalue(semaphore, ret_value);
  if (lock_begin(&turn, CALL_ID_SEMAPHORE_VALUE, semaphore, LOCK_TRIES)) {
    *ret_value = (int)turn.result;
    lock_end(&turn, turn.result);
    lock_given_up();
    return 0;
  }
  lock_real()->sem_getvalue(semaphore, ret_value);
  lock_end(&turn, *ret_value);
  return 0;
}
