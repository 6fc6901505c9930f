/* SPDX-License-Identifier: Apache-2.0 */
/* Never two attempts at once.
 *
 *   owner  locked by the living supervisor alone; holds its pid for the message to a second one
 *   lock   locked by the supervisor on a descriptor that the whole process tree inherits: free only
 *          when nothing of an attempt lives any more
 *
 * A crash at any line releases what the kernel held for the dead; the files themselves say nothing.
 */
#ifndef PERDURE_SUPERVISOR_RUN_LOCK_H
#define PERDURE_SUPERVISOR_RUN_LOCK_H

#include "supervisor/run_place.h"

#include <sys/types.h>

struct run_lock {
  int owner_fd; /* -1: not held */
  int tree_fd;  /* -1: not held */
};

/* Becomes the run's supervisor; makes the run's directory if need be. -EBUSY: somebody is. */
int run_lock_own(const struct run_place *place, struct run_lock *ret_lock, struct failure *failure);
/* Takes the tree's lock. Processes that still hold it, of an attempt whose supervisor is dead, are
 * killed and waited for; -EBUSY when they do not go within 10 s. *ret_ended: how many there were. */
int run_lock_tree(const struct run_place *place, struct run_lock *lock, unsigned *ret_ended,
                  struct failure *failure);
/* Kills and waits for all that hold the tree's lock but this process, which holds it too. */
int run_lock_end_tree(const struct run_place *place, const struct run_lock *lock,
                      struct failure *failure);
void run_lock_release(struct run_lock *lock);

/* The living supervisor's pid; 0: there is none; -1: there is one, its pid is not known yet. Takes
 * no lock, so that looking never makes a starting run fail. */
pid_t run_lock_owner(const struct run_place *place);
/* A pidfd of the living supervisor, for the caller to close: of the process that has the owner's file open, not of one that
 * has got its number since. -ESRCH: there is none; -EAGAIN: there is one, and it cannot be told which. */
int run_lock_owner_open(const struct run_place *place, pid_t *ret_pid);

#endif
