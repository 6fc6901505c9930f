/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls a handler ends (signal(7)). A pure function of the call and the descriptors. */
#include "shim/signals.h"

#include "shim/descriptors.h"

#include <signal.h>
#include <sys/wait.h>

static bool may_wait(int fd)
{
  unsigned kind = descriptor_get(fd)->kind;
  return kind == DESCRIPTOR_PIPE || kind == DESCRIPTOR_PAIR || kind == DESCRIPTOR_SOCKET || kind == DESCRIPTOR_TERMINAL;
}

bool call_waits_for_readiness(uint64_t id)
{
  switch (id) {
  case SYS_poll:
  case SYS_ppoll:
  case SYS_select:
  case SYS_pselect6:
  case SYS_epoll_wait:
  case SYS_epoll_pwait:
  case SYS_epoll_pwait2:
    return true;
  }
  return false;
}

bool signals_break(const struct call *call, uint64_t flags)
{
  if (call_waits_for_readiness(call->id))
    return true;
  switch (call->id) {
  case SYS_pause:
  case SYS_rt_sigsuspend:
  case SYS_rt_sigtimedwait:
  case SYS_nanosleep:
  case SYS_clock_nanosleep:
    return true;
  case SYS_wait4:
  case SYS_waitid:
    return !(call->args[call->id == SYS_wait4 ? 2 : 3] & WNOHANG) && !(flags & SA_RESTART);
  case SYS_read:
  case SYS_readv:
  case SYS_recvfrom:
  case SYS_recvmsg:
  case SYS_accept:
  case SYS_accept4:
    return !(flags & SA_RESTART) && may_wait((int)call->args[0]);
  }
  return false;
}
