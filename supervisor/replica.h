/* SPDX-License-Identifier: Apache-2.0 */
/* A second store of a run in another directory of perdure's (--replica), best on another disk: DIRECTORY/runs/ID/run.db, an SQLite
 * store as the run's own, which a thread writes, puts on disk, and acknowledges.
 *
 * It has the chunks of the journal in order, checked to follow on each other, and the head as it was when the attempt
 * began, with that attempt as lost and the run as unfinished; at the end, as it is. So that `perdure resume ID --dir DIRECTORY` goes
 * on from there when the run's own store is gone.
 *
 * A crash at any line: the replica has what it had committed; what it lacks it is sent by the next attempt.
 */
#ifndef PERDURE_SUPERVISOR_REPLICA_H
#define PERDURE_SUPERVISOR_REPLICA_H

#include "supervisor/acknowledgements.h"
#include "supervisor/run.h"
#include "supervisor/run_place.h"

struct replica;

struct replica_options {
  const char *directory; /* absolute */
  const char *run_id;
  unsigned number;       /* its place in struct acknowledgements */
  struct acknowledgements *acknowledgements;
  /* One line for a person; also called from the thread. */
  void (*say)(enum run_loudness loudness, const char *line, void *context);
  void *context;
};

/* The path of a --replica as it is remembered; it has to be a directory. malloc'ed. */
int replica_directory(const char *text, char **ret_path, struct failure *failure);
/* Forgets a run of that name that is there: one begins anew. Nothing where none is. */
int replica_reset(const char *directory, const char *run_id, struct failure *failure);
/* The thread begins. What is wrong with the directory it says, and it tries again until it is ended. store_path: of the run's own
 * store. */
int replica_start(const struct replica_options *options, const char *store_path, struct tail_header *header,
                  struct replica **ret_replica, struct failure *failure);
/* After the last drain: copies the rest, ends the thread. NULL is fine. */
void replica_halt(struct replica *replica);
/* After replica_halt(): copies the head as `store` has it at the attempt's end, and frees the replica. What fails is said. */
void replica_finish(struct replica *replica, struct store *store);

#endif
