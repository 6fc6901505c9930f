/* SPDX-License-Identifier: Apache-2.0 */
/* Locks for many readers or one writer. */
#include "shim/lock_order.h"

#include <pthread.h>

static int wait_to_read(void *lock)
{
  return lock_real()->pthread_rwlock_rdlock(lock);
}

static int wait_to_write(void *lock)
{
  return lock_real()->pthread_rwlock_wrlock(lock);
}

static const struct lock_taking reads[] = {
    [LOCK_WAITS] = {CALL_ID_READ_LOCK, LOCK_WAITS, wait_to_read, 0, false},
    [LOCK_TRIES] = {CALL_ID_READ_LOCK, LOCK_TRIES, wait_to_read, 0, false},
    [LOCK_WAITS_UNTIL] = {CALL_ID_READ_LOCK, LOCK_WAITS_UNTIL, wait_to_read, 0, false},
};
static const struct lock_taking writes[] = {
    [LOCK_WAITS] = {CALL_ID_WRITE_LOCK, LOCK_WAITS, wait_to_write, 0, false},
    [LOCK_TRIES] = {CALL_ID_WRITE_LOCK, LOCK_TRIES, wait_to_write, 0, false},
    [LOCK_WAITS_UNTIL] = {CALL_ID_WRITE_LOCK, LOCK_WAITS_UNTIL, wait_to_write, 0, false},
};

LOCK_HOOK int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
  return lock_take(&reads[LOCK_WAITS], lock, lock_real()->pthread_rwlock_rdlock);
}

LOCK_HOOK int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
  return lock_take(&reads[LOCK_TRIES], lock, lock_real()->pthread_rwlock_tryrdlock);
}

LOCK_HOOK int pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const struct timespec *until)
{
  return lock_take_until(&reads[LOCK_WAITS_UNTIL], lock, lock_real()->pthread_rwlock_timedrdlock, until);
}

LOCK_HOOK int pthread_rwlock_clockrdlock(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until)
{
  return lock_take_clock(&reads[LOCK_WAITS_UNTIL], lock, lock_real()->pthread_rwlock_clockrdlock, clock, until);
}

LOCK_HOOK int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
  return lock_take(&writes[LOCK_WAITS], lock, lock_real()->pthread_rwlock_wrlock);
}

LOCK_HOOK int pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
  return lock_take(&writes[LOCK_TRIES], lock, lock_real()->pthread_rwlock_trywrlock);
}

LOCK_HOOK int pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const struct timespec *until)
{
  return lock_take_until(&writes[LOCK_WAITS_UNTIL], lock, lock_real()->pthread_rwlock_timedwrlock, until);
}

LOCK_HOOK int pthread_rwlock_clockwrlock(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until)
{
  return lock_take_clock(&writes[LOCK_WAITS_UNTIL], lock, lock_real()->pthread_rwlock_clockwrlock, clock, until);
}

LOCK_HOOK int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
  return lock_give(lock, lock_real()->pthread_rwlock_unlock);
}
