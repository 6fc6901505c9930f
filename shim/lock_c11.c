/* SPDX-License-Identifier: Apache-2.0 */
/* The same by the names of <threads.h>, which libc has for what POSIX threads have; it would call its own, past the hooks. */
#include "shim/arenas.h"
#include "shim/lock_order.h"

#include <errno.h>
#include <pthread.h>
#include <threads.h>

static int c11_result(int error)
{
  switch (error) {
  case 0:
    return thrd_success;
  case ENOMEM:
    return thrd_nomem;
  case ETIMEDOUT:
    return thrd_timedout;
  case EBUSY:
    return thrd_busy;
  }
  return thrd_error;
}

LOCK_HOOK int thrd_create(thrd_t *ret_thread, thrd_start_t run, void *argument)
{
  arenas_one_for_each_thread();
  return lock_real()->thrd_create(ret_thread, (void *)run, argument);
}

LOCK_HOOK int thrd_join(thrd_t thread, int *ret_result)
{
  void *result;
  int error = pthread_join(thread, &result);
  if (error == 0 && ret_result)
    *ret_result = (int)(uint64_t)result;
  return c11_result(error);
}

LOCK_HOOK int mtx_lock(mtx_t *mutex)
{
  return c11_result(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

LOCK_HOOK int mtx_trylock(mtx_t *mutex)
{
  return c11_result(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

LOCK_HOOK int mtx_timedlock(mtx_t *mutex, const struct timespec *until)
{
  return c11_result(pthread_mutex_timedlock((pthread_mutex_t *)mutex, until));
}

LOCK_HOOK int mtx_unlock(mtx_t *mutex)
{
  return c11_result(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

LOCK_HOOK int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
  return c11_result(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

LOCK_HOOK int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
  return c11_result(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

LOCK_HOOK void call_once(once_flag *flag, void (*routine)(void))
{
  pthread_once((pthread_once_t *)flag, routine);
}
