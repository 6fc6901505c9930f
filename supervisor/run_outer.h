/* SPDX-License-Identifier: Apache-2.0 */
/* What the run was started with: the descriptors that this process has inherited, and what the
 * program of a resumed run gets in their place. */
#ifndef PERDURE_SUPERVISOR_RUN_OUTER_H
#define PERDURE_SUPERVISOR_RUN_OUTER_H

#include "supervisor/drain.h"
#include "supervisor/recover.h"
#include "supervisor/run.h"

#define RUN_INHERITED_MAX 256u

struct run_descriptor {
  int fd;        /* the number that the program has it on */
  int source_fd; /* this process's descriptor for it: the same, or a stand-in */
  uint64_t device, inode, size;
  uint32_t mode; /* st_mode */
  int access;    /* O_RDONLY, O_WRONLY, O_RDWR */
  int64_t offset; /* of a regular file, bytes */
};

/* The program's descriptors at its start; all others are closed there. */
struct run_descriptors {
  uint32_t count;
  struct run_descriptor list[RUN_INHERITED_MAX];
};

/* What is open in this process without FD_CLOEXEC. Call it first of all. */
int run_outer_inherited(struct run_descriptors *ret_descriptors, struct failure *failure);

/* What each object was in the attempt before, as run_outer_remember() wrote it. */
struct run_outer_before {
  uint32_t count;
  bool live; /* that attempt came past its replay */
  struct run_outer_known {
    int fd;
    uint64_t device, inode;
    uint32_t output; /* enum tail_output */
    int access;
  } list[RUN_INHERITED_MAX];
};
/* Into meta, in the transaction in which the attempt begins. */
int run_outer_remember(struct store *store, const struct run_descriptors *descriptors,
                       const struct tail_header *header, struct failure *failure);
/* An empty list when nothing was written. `live` is for the caller to set. */
int run_outer_recall(struct store *store, struct run_outer_before *ret_before, struct failure *failure);

/* Makes them the same set of numbers as in the attempt before, and so as in the first: others are left out; for a missing
 * one, /dev/null if it was that, else a stand-in whose other side is gone (end of file, EPIPE). */
int run_outer_align(struct run_descriptors *descriptors, const struct run_outer_before *before,
                    struct failure *failure);

/* Fills header->outer: each object once, with what replay does with writes to it. before and summary
 * are NULL for a new run. More than TAIL_OUTER_MAX objects are refused. */
int run_outer_decide(struct tail_header *header, const struct run_descriptors *descriptors,
                     enum run_output policy, const struct analysis_summary *summary,
                     const struct run_outer_before *before, struct failure *failure);

/* Is there output of the run that a descriptor of this attempt is to get again and has not? Then a run
 * whose program had already ended is replayed for it. */
bool run_outer_output_missing(const struct run_descriptors *descriptors, enum run_output policy,
                              const struct analysis_summary *summary,
                              const struct run_outer_before *before);

/* Regular files that keep their output: moves a descriptor that stands before its end there, never
 * back. After run_outer_decide(). */
void run_outer_place_output(const struct run_descriptors *descriptors, const struct tail_header *header,
                            const struct analysis_summary *summary);

/* Standard input that is another pipe than before: reads what the run has consumed already, and
 * compares. Differing input is refused. It blocks as long as the input's writer does. */
int run_outer_skip_input(const struct run_descriptors *descriptors,
                         const struct analysis_summary *summary, const struct run_outer_before *before,
                         struct failure *failure);

#endif
