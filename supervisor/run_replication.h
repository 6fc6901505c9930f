/* SPDX-License-Identifier: Apache-2.0 */
/* A run and its other store (replication.h), through the life of an attempt. All do nothing where the run has none. */
#ifndef PERDURE_SUPERVISOR_RUN_REPLICATION_H
#define PERDURE_SUPERVISOR_RUN_REPLICATION_H

#include "supervisor/run_attempt.h"

/* In a store that was brought from elsewhere: an attempt that runs, or ran, has no end that is known here, and no tail; the run is
 * unfinished. */
int run_state_of_lost(struct store *store, struct failure *failure);

/* Before the run's directory is looked at: claims the run, and where another machine has it newer, or alone, fetches it. The
 * other store is the command's, else the one that the run remembers. */
int run_replication_begin(struct run_attempt *attempt, struct failure *failure);
/* An attempt begins, and the old one's tail is in the run's own store: replication_reconcile(). */
int run_replication_reconcile(struct run_attempt *attempt, struct failure *failure);
/* A run begins anew: what is left of an older one of that name goes. */
int run_replication_reset(struct run_attempt *attempt, struct failure *failure);
/* In the transaction in which the attempt begins. */
int run_replication_remember(struct run_attempt *attempt, struct failure *failure);
/* The attempt's tail and store are there, and its program is not. */
int run_replication_start(struct run_attempt *attempt, struct failure *failure);
/* The drain has stopped. -ESTALE: it is another machine's run now. */
int run_replication_halt(struct run_attempt *attempt, struct failure *failure);
/* The attempt is over, and its end is in the run's own store. What fails is said, and no more. */
void run_replication_finish(struct run_attempt *attempt);

#endif
