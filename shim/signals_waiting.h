/* SPDX-License-Identifier: Apache-2.0 */
/* A signal that has come to a thread between two calls: what it says, until the next call, and how long that may take. */
#ifndef PERDURE_SHIM_SIGNALS_WAITING_H
#define PERDURE_SHIM_SIGNALS_WAITING_H

#include "shim/engine.h"

#include <signal.h>

#define SIGNAL_MAX 65
#define PATIENCE_NS 50000000

/* Of this thread's signal `number`, to keep or to read. The same place for as long as the thread lives. */
siginfo_t *waiting_info(int number);
/* Sends the signal again when the patience ends, unless that is under way. */
void patience_begin(int number);
void patience_end(void);
/* Is that what this signal is? */
bool patience_has_ended(const siginfo_t *info);
/* This process is new, and has none of its parent's timers. */
void patience_of_child(void);

#endif
