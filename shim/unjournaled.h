/* SPDX-License-Identifier: Apache-2.0 */
/* Persistence levels of the control API: calls that have no place in the journal, and are made for real in every
 * attempt.
 *
 * Under JOURNAL_PERSIST_NOTHING that is every call but the end of the program and an exec; under
 * JOURNAL_PERSIST_REMOTE what concerns files, clocks and random bytes. Handlers run for them as they do live, in
 * replay too, and what they would append goes nowhere; hot calls do not even come to their handlers. Three kinds of
 * entries are written all the same, none of which is replayed as a call: old bytes that the journal refers to, notes,
 * and signals.
 *
 * Processes and threads that are made under NOTHING are a part of it to their ends: nothing of them is journaled.
 *
 * Killed in it anywhere, the next attempt finds its beginning in the journal, or not, and runs it again.
 */
#ifndef PERDURE_SHIM_UNJOURNALED_H
#define PERDURE_SHIM_UNJOURNALED_H

#include "shim/engine.h"

/* Makes the call in `frame`, made while engine_thread.persistence, and true; as engine_enter(). False: it is
 * journaled all the same. */
bool unjournaled_enter(struct engine_frame *frame, const struct call_shape *shape, call_handler *handler,
                       int64_t *ret_result);

/* Is an entry of that kind written although the call that it comes from has none? */
static inline bool unjournaled_keeps(unsigned kind)
{
  return kind == JOURNAL_KEEP || kind == JOURNAL_NOTE || kind == JOURNAL_SIGNAL;
}

/* The level that holds for this thread from here on; 0: all is journaled. In replay, what calls are about to be made on is
 * put in the placeholders' places. */
void unjournaled_level(uint32_t level);
/* A scope that this thread had begun has been ended by another one. */
void unjournaled_ended_elsewhere(void);
/* Before a level ends: what this process has opened under it, and keeps, is noted, so that later changes of it can be
 * looked at. */
void unjournaled_note_opened(void);
/* Does what this process has opened under a level come with what has been done to it since? Replay, after a write of
 * `length` bytes at `offset`, which the journal says was made: makes it again, in place. */
void unjournaled_write_again(int fd, uint64_t offset, const uint8_t *bytes, uint64_t length);

/* Is nothing that this thread does journaled? */
static inline bool unjournaled_all(void)
{
  return engine_thread.persistence == JOURNAL_PERSIST_NOTHING;
}

#endif
