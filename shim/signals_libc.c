/* SPDX-License-Identifier: Apache-2.0 */
/* libc's own signals, by which its threads cancel each other and change their rights. Its handlers look whether their process has sent
 * them, by the number that it knows; which in a resumed run is not the kernel's. */
#include "shim/identity.h"
#include "shim/signals.h"

#include <signal.h>

#define FIRST 32
#define COUNT 2

/* As rt_sigaction has it. */
struct action_given {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

static uint64_t handlers[COUNT];

static void arrive_for_libc(int number, siginfo_t *info, void *context)
{
  info->si_pid = (int32_t)identity_seen(info->si_pid);
  ((void (*)(int, siginfo_t *, void *))handlers[number - FIRST])(number, info, context);
}

int64_t signals_action_of_libc(struct call *call)
{
  const struct action_given *given = (const struct action_given *)call->args[1];
  /* SIG_DFL, SIG_IGN; or somebody asks, which libc does not. */
  if (!given || given->handler <= 1 || call->args[2])
    return call_run(call);
  struct action_given installed = *given;
  struct call translated = *call;
  handlers[call->args[0] - FIRST] = given->handler;
  installed.handler = (uint64_t)arrive_for_libc;
  translated.args[1] = (uint64_t)&installed;
  return call_run(&translated);
}
