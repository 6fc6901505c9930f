/* SPDX-License-Identifier: Apache-2.0 */
/* Mutexes and spin locks. */
#include "shim/lock_order.h"

#include <errno.h>
#include <pthread.h>

/* The next owner of a robust mutex whose owner has died has it. */
int lock_mutex_again(void *mutex)
{
  engine_thread.wants_mutex = 1;
  int result = lock_real()->pthread_mutex_lock(mutex);
  engine_thread.wants_mutex = 0;
  return result;
}

LOCK_HOOK int pthread_mutex_lock(pthread_mutex_t *mutex)
{
  static const struct lock_taking taking = {CALL_ID_MUTEX, LOCK_WAITS, lock_mutex_again, EOWNERDEAD, false};
  return lock_take(&taking, mutex, lock_real()->pthread_mutex_lock);
}

LOCK_HOOK int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
  static const struct lock_taking taking = {CALL_ID_MUTEX, LOCK_TRIES, lock_mutex_again, EOWNERDEAD, false};
  return lock_take(&taking, mutex, lock_real()->pthread_mutex_trylock);
}

LOCK_HOOK int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
  static const struct lock_taking taking = {CALL_ID_MUTEX, LOCK_WAITS_UNTIL, lock_mutex_again, EOWNERDEAD, false};
  return lock_take_until(&taking, mutex, lock_real()->pthread_mutex_timedlock, until);
}

LOCK_HOOK int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
  static const struct lock_taking taking = {CALL_ID_MUTEX, LOCK_WAITS_UNTIL, lock_mutex_again, EOWNERDEAD, false};
  return lock_take_clock(&taking, mutex, lock_real()->pthread_mutex_clocklock, clock, until);
}

LOCK_HOOK int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
  return lock_give(mutex, lock_real()->pthread_mutex_unlock);
}

/* In replay its owner may be at rest, and goes on only where the others do not wait for it without end. */
static int wait_for_spin(void *lock)
{
  int result;
  replay_sleeps(UINT64_MAX);
  while ((result = lock_real()->pthread_spin_trylock(lock)) == EBUSY)
    raw_syscall0(SYS_sched_yield);
  replay_sleeps(0);
  return result;
}

LOCK_HOOK int pthread_spin_lock(pthread_spinlock_t *lock)
{
  static const struct lock_taking taking = {CALL_ID_SPIN, LOCK_WAITS, wait_for_spin, 0, false};
  return lock_take(&taking, (void *)lock, (lock_function *)lock_real()->pthread_spin_lock);
}

LOCK_HOOK int pthread_spin_trylock(pthread_spinlock_t *lock)
{
  static const struct lock_taking taking = {CALL_ID_SPIN, LOCK_TRIES, wait_for_spin, 0, false};
  return lock_take(&taking, (void *)lock, lock_real()->pthread_spin_trylock);
}

LOCK_HOOK int pthread_spin_unlock(pthread_spinlock_t *lock)
{
  return lock_give((void *)lock, lock_real()->pthread_spin_unlock);
}
