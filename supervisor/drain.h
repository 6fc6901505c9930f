/* SPDX-License-Identifier: Apache-2.0 */
/* The drain: moves entries from the tail to the store.
 *
 * A crash anywhere: either the commit holds the entries, and a second drain skips them by position,
 * or they are still in the tail, whose `drained` moves only after the commit.
 */
#ifndef PERDURE_SUPERVISOR_DRAIN_H
#define PERDURE_SUPERVISOR_DRAIN_H

#include "journal/tail.h"
#include "supervisor/store.h"

/* A tail file as the supervisor holds it: header mapped, ring read with pread, so that the ring's
 * pages do not count as the supervisor's memory. */
struct tail_file {
  int fd;
  struct tail_header *header;
};

/* Creates (replaces) the tail file at `path`, mode 0600, preallocated, ring_size a power of two,
 * with head = drained = synced = base. All other header fields are zero for the caller to fill. */
int tail_file_create(const char *path, uint64_t ring_size, uint64_t base, struct tail_file *ret_file,
                     struct failure *failure);
/* Opens and checks an existing tail (tail.h says when it is accepted). */
int tail_file_open(const char *path, struct tail_file *ret_file, struct failure *failure);
void tail_file_close(struct tail_file *file);
/* Appends one entry as the supervisor (attempt, resolved results, notes), before the program starts
 * or while it runs. */
uint64_t tail_file_append(struct tail_file *file, const struct tail_draft *draft);

/* Maps the ring as a writer does. 0 or -errno. */
int tail_file_map(const struct tail_file *file, struct tail *ret_tail);
void tail_file_unmap(struct tail *tail);
/* Copies `size` bytes (at most a ring) from `position` on out of the ring, whatever they are. 0 or -errno. */
int tail_file_read(const struct tail_file *file, uint64_t position, void *buffer, size_t size);

/* Moves what is published to the store, in one or more commits. finished: nobody writes any more, so
 * what is not valid is a gap and is skipped. *ret_entry_count (may be NULL): how many were moved.
 * A full disk: -ENOSPC, nothing lost, call again later. */
int drain_once(struct tail_file *file, struct store *store, bool finished, uint64_t *ret_entry_count,
               struct failure *failure);

struct drain;
/* A thread that drains when the header's drain_futex changes or at least every 100 ms. On a failure
 * (full disk) it keeps trying every 100 ms, and calls `report` once per kind of failure and once more
 * when it works again (failure NULL). */
int drain_start(struct tail_file *file, struct store *store,
                void (*report)(const struct failure *failure, void *context), void *context,
                struct drain **ret_drain, struct failure *failure);
/* Stops the thread, drains the rest (finished), frees. */
int drain_stop(struct drain *drain, struct failure *failure);

/* Checks a run's journal whole: every entry valid, positions growing, every RESULT with an INTENT,
 * store against tail (entries in both are the same bytes; none is missing between them). Calls
 * `say` for each defect; returns their number, or -errno. tail_path may be missing. */
int64_t verify_journal(struct store *store, const char *tail_path,
                       void (*say)(const char *line, void *context), void *context,
                       struct failure *failure);

#endif
