/* SPDX-License-Identifier: Apache-2.0 */
/* A run's replicas in directories, through the life of an attempt; run_replication.c calls these. All do nothing where there
 * are none. */
#ifndef PERDURE_SUPERVISOR_RUN_REPLICAS_H
#define PERDURE_SUPERVISOR_RUN_REPLICAS_H

#include "supervisor/run_attempt.h"

/* The command's, else those that the run remembers. local: the run's own store, or NULL where there is none. */
int run_replicas_find(struct run_attempt *attempt, struct store *local, struct failure *failure);
int run_replicas_reset(struct run_attempt *attempt, struct failure *failure);
/* In the transaction in which the attempt begins. */
int run_replicas_remember(struct run_attempt *attempt, struct failure *failure);
int run_replicas_start(struct run_attempt *attempt, const char *store_path, struct failure *failure);
void run_replicas_halt(struct run_attempt *attempt);
void run_replicas_finish(struct run_attempt *attempt);
/* The attempt is over in every way. */
void run_replicas_forget(struct run_attempt *attempt);

#endif
