/* SPDX-License-Identifier: Apache-2.0 */
/* The program's process: what it gets from us, and what from whoever started us. */
#ifndef PERDURE_SUPERVISOR_RUN_SPAWN_H
#define PERDURE_SUPERVISOR_RUN_SPAWN_H

#include "supervisor/run_outer.h"
#include "supervisor/run_recipe.h"

#include <signal.h>
#include <sys/types.h>

/* What this process was started with, and the program gets back, although perdure needs it otherwise. */
struct run_inherited_state {
  sigset_t mask;
  struct sigaction actions[NSIG];
  struct run_limits limits;
  unsigned umask;
};

/* Notes it, and takes what perdure needs: files for the owner alone, the soft limits of descriptors and
 * file size raised, and no end by SIGPIPE or SIGXFSZ. */
void run_inherit(struct run_inherited_state *ret_state);
/* Blocks the signals that run_wait() handles; becomes the subreaper. */
void run_supervise(void);

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
