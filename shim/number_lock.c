/* SPDX-License-Identifier: Apache-2.0 */
/* A futex lock of the process: 0 free, 1 taken, 2 taken and waited for. */
#include "shim/number_lock.h"

#include <linux/futex.h>
#include <signal.h>

static _Atomic uint32_t state;

void number_lock_take(struct number_lock *lock)
{
  lock->taken = engine.threaded;
  if (!lock->taken)
    return;
  uint64_t all = ~0ull;
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&all, (uint64_t)&lock->mask, 8);
  uint32_t free = 0;
  if (atomic_compare_exchange_strong(&state, &free, 1))
    return;
  while (atomic_exchange(&state, 2))
    raw_syscall6(SYS_futex, (uint64_t)&state, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
}

void number_lock_release(struct number_lock *lock)
{
  if (!lock->taken)
    return;
  if (atomic_exchange(&state, 0) == 2)
    raw_syscall6(SYS_futex, (uint64_t)&state, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&lock->mask, 0, 8);
}

void number_lock_of_child(void)
{
  atomic_store(&state, 0);
}
