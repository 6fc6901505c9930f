/* SPDX-License-Identifier: Apache-2.0 */
/* A second store of a run in another directory of perdure's (--replica), best on another disk: DIRECTORY/runs/ID/run.db, an SQLite
 * store as the run's own, which a thread writes, puts on disk, and acknowledges.
 *
 * It has the chunks of the journal in order, checked to follow on each other, and the head as it was when the attempt
 * began, with that attempt as lost and the run as unfinished; at the end, as it is. So that `perdure resume ID --dir DIRECTORY` goes
 * on from there when the run's own store is gone.
 *
 * Who supervises the run holds the lock `owner` there too, while the directory can be reached: nobody resumes it there meanwhile. What is
 * acknowledged is on disk under its name: a directory that was moved away, or a disk that is not mounted, acknowledges nothing.
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
/* Forgets the replica of the run that was made at born_ns (0: none), which begins anew. Nothing where none is. -EEXIST: another run of
 * that name is there, or the one whose own store is lost: it is left alone. */
int replica_reset(const char *directory, const char *run_id, int64_t born_ns, struct failure *failure);
/* Opens it, and the thread begins. A directory that is down is said, and tried again until the replica is ended. -EBUSY, -EEXIST: what lies
 * there is under way, another run's, or not the beginning of what `store`, the run's own, at store_path, has. */
int replica_start(const struct replica_options *options, struct store *store, const char *store_path,
                  struct tail_header *header, struct replica **ret_replica, struct failure *failure);
/* After the last drain: copies the rest, ends the thread. NULL is fine. */
void replica_halt(struct replica *replica);
/* After replica_halt(): copies the head as `store` has it at the attempt's end, and frees the replica. What fails is said. */
void replica_finish(struct replica *replica, struct store *store);

#endif
