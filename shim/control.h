/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that control-api/perdure.h finds when the shim is there: ordinary functions, called on the
 * program's stack, each with one entry in the journal. What they mean is said in that header. */
#ifndef PERDURE_SHIM_CONTROL_H
#define PERDURE_SHIM_CONTROL_H

#include "shim/engine.h"

#define CONTROL_FUNCTION __attribute__((visibility("default")))

/* 1: those values hold for this thread; 0: none has been said; -ENOSYS. */
CONTROL_FUNCTION int perdure_shim_scope_get(unsigned kind, uint64_t *ret_values);
/* What holds for this thread, as engine_thread.persistence has it. */
uint32_t control_persistence(void);
/* The place in the journal where this thread's latest scope of that kind began; 0: there is none. */
uint64_t control_journaled_up_to(void);

/* How many keys this thread has asked for in that scope, before this one. */
uint64_t control_next_unjournaled_key(void);

/* -ENOSYS from all functions where this is false: nothing is journaled there. */
bool control_present(void);

extern const struct call_shape control_shape;

/* Replay: what was recorded; NULL: the call is to be made. argument_count of call->args are signed. */
const struct journal_entry *control_replay(struct call *call, unsigned argument_count);
/* Moves past it and gives the recorded result. */
int control_replayed(const struct journal_entry *entry);
/* Live: appends the entry; text may be NULL. Returns its position. */
uint64_t control_record(const struct call *call, unsigned argument_count, const char *text, int64_t result);

#endif
