/* SPDX-License-Identifier: Apache-2.0 */
/* Named pipes that the run has open. In replay a pipe of perdure's own stands for each, which the kernel treats as it did the
 * other: it fills, empties, ends and is inherited. When a process goes live, it opens the pipe itself in its place; whoever is
 * the first puts there what was left unread.
 *
 * A named pipe lives as long as somebody has it open. Until all of the run's processes that had it open have it again, each of
 * them holds both of its ends: nobody sees an end of it, or a broken pipe, that was not there. Where another process, outside
 * the run, has kept it open, it holds what it held, and nothing is put there. */
#ifndef PERDURE_SHIM_NAMED_PIPES_H
#define PERDURE_SHIM_NAMED_PIPES_H

#include "shim/engine.h"

struct descriptor;

/* ---- replay ---- */

/* Has the call that came out so opened a named pipe, by its name? */
bool named_pipe_opened(const struct journal_entry *outcome, uint64_t flags);
/* Opens what stands for it, without waiting. A number, or -errno. */
int64_t named_pipe_open_again(const struct journal_entry *outcome, uint64_t flags);
/* Is that pipe, by device and inode, one that stands for another? Then says so in it. */
bool named_pipe_tell(struct descriptor *descriptor);
/* Has a process of the run had it open for writing since nobody had it open? Else what is read comes from outside. */
bool named_pipe_has_writer(int fd);
/* A write of `length` bytes, behind the first `skip`, that nobody could read from yet: whose reader's open comes later in
 * the journal than the kernel had made it. Nothing where there has been a reader, who is gone. */
void named_pipe_owe(int fd, const struct io_vector *pieces, uint64_t count, uint64_t skip, uint64_t length);

/* ---- going live ---- */

/* All that this process has open. */
void named_pipes_go_live(void);
/* Waits, at most some seconds, until the others have theirs. */
void named_pipes_let_go(void);

/* Both ends of a pipe, held by this process. */
struct named_pipe_hold {
  int64_t fd; /* -1: none */
  struct tail_named_pipe *pipe;
  unsigned side; /* 0: it is to read from it, 1: to write */
};
/* An open that the attempt before did not journal, and that had found its other side: it does not wait for it again. */
void named_pipe_before_open(int dirfd, const char *path, uint64_t flags, struct named_pipe_hold *ret_hold);
void named_pipe_after_open(struct named_pipe_hold *hold);

#endif
