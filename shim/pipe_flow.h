/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes of the run: their writers come one after another, each with an INTENT before it and a RESULT after it, so that the journal's
 * order is that of the bytes, and what was being written when the run was killed is one process's.
 *
 * And those through which much goes. What a reader got is recorded with it, up to TAIL_FLOW_RECORDED_SIZE bytes of a pipe. From there on
 * the pipe flows: its readers journal only how much they got.
 * In replay the writers write again, from the INTENT on and beside whoever's turn it is, and the readers read from the pipe.
 *
 * So that each reader gets the bytes that it had, a read without its bytes is one beside which there was no other. What cannot be
 * told so is recorded as ever: reads of several processes at a time, pipes that a program has that is one step, pipes of the run's
 * that there is no room to follow.
 *
 * Killed between INTENT and RESULT: the next attempt goes on in that call. The readers have had a part of it, or not: where the pipe flows,
 * all of it is written; else what they have not had, and until it is nobody else writes. */
#ifndef PERDURE_SHIM_PIPE_FLOW_H
#define PERDURE_SHIM_PIPE_FLOW_H

#include "shim/engine.h"

struct journal_source;

/* A pipe is new. Both live and in replay. */
void pipe_flow_made(int fd);
/* A program that cannot be followed gets all that is open here. */
void pipe_flow_never(void);

/* ---- live ---- */

/* Before a write: does pipe_flow_write() make it? */
bool pipe_flow_follows(int fd);
/* Makes and journals the write of these pieces. intent: NULL, or where it is in the journal; then `done` bytes have been written
 * in replay. */
int64_t pipe_flow_write(struct call *call, const struct io_vector *pieces, uint64_t count,
                        const struct journal_entry *intent, uint64_t done);

/* One read, from before it to behind its entry. */
struct pipe_flow_read {
  struct tail_flow *flow; /* NULL: it is none of a pipe that is followed */
  uint64_t before;
  uint32_t number;
  bool alone;
};
void pipe_flow_read_begin(int fd, struct pipe_flow_read *ret_read);
/* Before its entry: may that be without the bytes? */
bool pipe_flow_read_ended(struct pipe_flow_read *read, int64_t result);
void pipe_flow_read_journaled(const struct pipe_flow_read *read);

/* ---- replay ---- */

/* A write of these pieces whose INTENT is next. Where it had not ended, it goes on when the process is live. Returns its result. */
int64_t pipe_flow_write_again(struct call *call, const struct io_vector *pieces, uint64_t count);
/* A read of `length` bytes: they come from the pipe, to the pieces; or nowhere, where there are none. Waits for them. */
void pipe_flow_read_again(int fd, const struct io_vector *pieces, uint64_t count, uint64_t length);
/* A read, or a write, of a pipe that does not flow. Does it flow meanwhile, so that its bytes are waited for? */
bool pipe_flow_took(int fd, uint64_t length);
void pipe_flow_put(int fd, uint64_t length);

#endif
