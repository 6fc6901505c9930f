/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of signals run where a call is, and the journal says which call: a process with one thread finds the
 * same memory at the same call in every attempt. */
#ifndef PERDURE_SHIM_SIGNALS_H
#define PERDURE_SHIM_SIGNALS_H

#include "shim/engine.h"

/* Runs the call as the program made it. What comes meanwhile, and what has come before, is handled here. */
int64_t signals_run(const struct call *call);
/* Replay: the SIGNAL entry is the stream's next; runs its handler. Advances. */
void signals_again(const struct journal_entry *entry);
/* A signal to oneself has been journaled, and is about to be sent; and it has been. */
void signals_expect(int number);
void signals_expect_none(void);
/* Has the program a handler for it, that runs at calls? */
bool signals_handled(int number);
/* This process has come past its replay. */
void signals_go_live(void);
/* This process is new: what had come to its parent is not for it. */
void signals_of_child(void);

#endif
