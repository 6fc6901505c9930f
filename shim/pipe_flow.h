/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes through which much goes. What a reader got is recorded with it, up to TAIL_FLOW_RECORDED_SIZE bytes of a pipe. From there on
 * the pipe flows: its writers journal an INTENT before each write and a RESULT after it, and its readers only how much they got.
 * In replay the writers write again, from the INTENT on and beside whoever's turn it is, and the readers read from the pipe.
 *
 * So that each reader gets the bytes that it had, writes into a flowing pipe come one after another, and a read without its bytes is
 * one beside which there was no other. What cannot be told so is recorded as ever: reads of several processes at a time, pipes
 * that a program has that is one step, pipes of the run's that there is no room to follow.
 *
 * Killed between INTENT and RESULT: the next attempt writes all of it, as far as it had not ended by itself, and goes on in that
 * call: the readers have had a part of it, or not. */
#ifndef PERDURE_SHIM_PIPE_FLOW_H
#define PERDURE_SHIM_PIPE_FLOW_H

#include "shim/engine.h"

struct journal_source;

/* A pipe is new. Both live and in replay. */
void pipe_flow_made(int fd);
/* A program that cannot be followed gets all that is open here. */
void pipe_flow_never(void);

/* ---- live ---- */

/* Before a write: does the pipe flow, so that pipe_flow_write() makes it? Else pipe_flow_wrote() follows, when its entry is
 * appended. */
bool pipe_flow_writes(int fd);
void pipe_flow_wrote(int fd, int64_t result);
/* Makes and journals the write of these pieces, `done` of which have been written in replay; intended: its INTENT is in the
 * journal. */
int64_t pipe_flow_write(struct call *call, const struct io_vector *pieces, uint64_t count, uint64_t done, bool intended);

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

/* The write of an INTENT, which it is the turn of: the pieces go into the pipe. Returns how many bytes went in. */
uint64_t pipe_flow_write_again(int fd, const struct journal_entry *intent, const struct io_vector *pieces, uint64_t count);
/* A read of `length` bytes: they come from the pipe, to the pieces; or nowhere, where there are none. Waits for them. */
void pipe_flow_read_again(int fd, const struct io_vector *pieces, uint64_t count, uint64_t length);
/* A read, or a write, of a pipe that does not flow. Does it flow meanwhile, so that its bytes are waited for? */
bool pipe_flow_took(int fd, uint64_t length);
void pipe_flow_put(int fd, uint64_t length);

#endif
