/* SPDX-License-Identifier: Apache-2.0 */
/* The program's process: what it gets from us, and what from whoever started us. */
#ifndef PERDURE_SUPERVISOR_RUN_SPAWN_H
#define PERDURE_SUPERVISOR_RUN_SPAWN_H

#include "supervisor/run_outer.h"
#include "supervisor/run_recipe.h"

#include <signal.h>
#include <sys/types.h>

/* The supervisor's own ways with signals and limits, and what they were before. */
struct run_inherited_state {
  sigset_t mask;
  struct sigaction actions[NSIG];
};

/* Blocks the signals that run_wait() handles; ignores those that must not end a supervisor (SIGPIPE,
 * SIGXFSZ); raises the soft limits of descriptors and file size; becomes the subreaper. */
void run_supervise(struct run_inherited_state *ret_state);

struct run_spawn {
  const struct run_recipe *recipe;
  char *const *environment;
  const struct run_descriptors *open_before; /* what this process has inherited */
  const struct run_descriptors *descriptors; /* what the program is to have */
  const struct run_inherited_state *inherited;
  int lock_fd;     /* this process's descriptor of the tree's lock */
  int lock_number; /* what the program has it on */
};

/* min(soft limit of descriptors, 1024) - 1, or the next lower one that is free. */
int run_spawn_lock_number(const struct run_limits *limits, const struct run_descriptors *descriptors);

/* Starts the program: ASLR off, killed when this thread dies. Returns when it runs (or its exec has
 * failed: *ret_status is 126, 127 or 125). */
int run_spawn(const struct run_spawn *spawn, pid_t *ret_pid, int *ret_status, struct failure *failure);

#endif
