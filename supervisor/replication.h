/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's way to another store, while the run's own store is written as always.
 *
 * In order: replication_open() makes this machine the run's owner there; replication_fetch() fills the run's own store, or
 * replication_send_head() sends what that one has; replication_start() sends what the drain puts there, and keeps
 * the lease; replication_halt() sends the rest; replication_finish() says how it ended.
 *
 * What each level survives: what the store's primary has acknowledged, the death of this machine; what n replicas
 * have, that of the primary and n - 1 of them as well, when one of those that have it takes its place.
 * A crash at any line: the run's own store has all, and the next owner goes on where the other one ends.
 */
#ifndef PERDURE_SUPERVISOR_REPLICATION_H
#define PERDURE_SUPERVISOR_REPLICATION_H

#include "supervisor/acknowledgements.h"
#include "supervisor/drain.h"
#include "supervisor/redis_run.h"
#include "supervisor/run.h"

#define REPLICATION_LEASE_MS_DEFAULT 10000u

struct replication_options {
  const char *url;      /* redis_address.h */
  const char *identity; /* of perdure's directory: who owns */
  const char *name;     /* the same for people */
  unsigned lease_ms;
  bool stop_on_loss;      /* the run ends when the store is lost for longer than the lease, rather than wait */
  /* One line for a person; also called from the thread. */
  void (*say)(enum run_loudness loudness, const char *line, void *context);
  void *context;
};

struct replication;

/* Connects, and claims the run. epoch: the one that the run's own store remembers, 0: none. Waits for another
 * owner's lease to end, once as long as it says. -EBUSY: that one lives. */
int replication_open(const struct replication_options *options, const char *run_id, uint64_t epoch,
                     struct replication **ret_replication, struct failure *failure);
/* NULL is fine. */
void replication_close(struct replication *replication);

/* The run's own epoch from now on. */
uint64_t replication_epoch(const struct replication *replication);
/* The epoch of the owner whose own store has all that is there; 0: nothing is. A run's own store that remembers a lower one is
 * old. The owner writes its epoch into its own store, on disk, before it sends the head: so its own store is never
 * taken for old. */
uint64_t replication_head_epoch(const struct replication *replication);
/* Forgets what is there: the run begins anew. */
int replication_reset(struct replication *replication, struct failure *failure);
/* What is there and what the run's own store has, in which the tail's rest is, agree again: after the machine's death either may
 * have more. What is there more comes here; where they differ (an entry was lost here that nobody was promised), what reaches further
 * counts. 0, or the store's errors, and nothing has changed. */
int replication_reconcile(struct replication *replication, struct store *store, struct failure *failure);
/* Fills a store that has just been made. In one transaction. -EBADMSG: what is there is damaged. */
int replication_fetch(struct replication *replication, struct store *store, struct failure *failure);

/* Sends the head of `store`, and all that it has of the journal. */
int replication_send_head(struct replication *replication, struct store *store, struct failure *failure);
/* After replication_send_head(). From here on a thread sends what is drained, and what somebody waits for as soon as it is in the tail.
 * `tail` and `acknowledgements` have to outlive replication_halt(). store_path: of the run's own store. */
int replication_start(struct replication *replication, const char *store_path, struct tail_file *tail,
                      struct acknowledgements *acknowledgements, struct failure *failure);
/* This process is ended, and its tree cannot go on, when another owner comes. */
void replication_watch(struct replication *replication, pid_t pid);
/* After the last drain: sends the rest, ends the thread. 0, or why the run is not this machine's any more: -ESTALE, another owner has
 * it; others: the store was lost for too long. Does nothing where no thread runs. */
int replication_halt(struct replication *replication, struct failure *failure);
/* After replication_halt() has returned 0: sends the head as it is at the end, and gives the run free. On an error the rest is in the
 * run's own store alone. */
int replication_finish(struct replication *replication, struct store *store, struct failure *failure);

#endif
