/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERDURE_SUPERVISOR_RUN_WAIT_H
#define PERDURE_SUPERVISOR_RUN_WAIT_H

#include "supervisor/store.h"

#include <sys/types.h>

struct run_end {
  bool interrupted; /* somebody asked for it (run_interrupt.h): what still lived was killed, or is to be */
  bool killed;
  bool left; /* it has exited, and processes that it has left live on, which are not waited for */
  int status; /* exit status, or the signal that killed it */
};

/* Says whether a program that has ended so leaves what still lives; asked again every now and then. */
struct run_leaving {
  bool (*leaves)(const void *context, const struct run_end *end);
  const void *context;
};

/* Waits until `pid` ends, and what it has started, unless `leaving` says otherwise; with the signals that run_supervise() has blocked: passes on those that
 * were sent to the supervisor alone, stops and goes on with the program, reaps what the subreaper
 * inherits. The terminal's own signals reach the program without us. */
int run_wait(pid_t pid, const struct run_leaving *leaving, struct run_end *ret_end, struct failure *failure);

#endif
