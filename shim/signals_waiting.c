/* SPDX-License-Identifier: Apache-2.0 */
/* Each thread has its own. Killed at any line: what waits is lost, as what is pending is. */
#include "shim/signals_waiting.h"

#include <time.h>

static __thread int32_t timer_number; /* and one: what ends the patience; 0: there is none */

/* At the far end of the thread's engine stack: programs' own stacks may be small, and hold what is __thread. */
siginfo_t *waiting_info(int number)
{
  LARGE_TABLE static siginfo_t without_stack[SIGNAL_MAX];
  if (!engine_stack_top)
    engine_stack_make();
  siginfo_t *all = engine_stack_top ? (siginfo_t *)(engine_stack_top - ENGINE_STACK_SIZE) : without_stack;
  return &all[number];
}

void patience_end(void)
{
  if (timer_number)
    raw_syscall1(SYS_timer_delete, (uint64_t)timer_number - 1);
  timer_number = 0;
}

void patience_begin(int number)
{
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number};
  const struct itimerspec later = {.it_value = {.tv_nsec = PATIENCE_NS}};
  int32_t timer;
  event.sigev_value.sival_ptr = &timer_number;
  event._sigev_un._tid = (int32_t)raw_syscall0(SYS_gettid);
  if (timer_number || raw_syscall3(SYS_timer_create, CLOCK_MONOTONIC, (uint64_t)&event, (uint64_t)&timer) < 0)
    return;
  timer_number = timer + 1;
  raw_syscall4(SYS_timer_settime, (uint64_t)timer, 0, (uint64_t)&later, 0);
}

bool patience_has_ended(const siginfo_t *info)
{
  return info->si_code == SI_TIMER && info->si_ptr == &timer_number;
}

void patience_of_child(void)
{
  timer_number = 0;
}
