/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor numbers are given out in the journal's order: with several threads, a call that makes or
 * closes one runs and is appended under one lock. A process with one thread pays nothing.
 *
 * Signals wait meanwhile: a handler would find the lock taken by its own thread, and a cancelled
 * thread would leave it taken. The calls concerned do not block. */
#ifndef PERDURE_SHIM_NUMBER_LOCK_H
#define PERDURE_SHIM_NUMBER_LOCK_H

#include "shim/engine.h"

struct number_lock {
  uint64_t mask; /* signals that were blocked before */
  bool taken;
};

void number_lock_take(struct number_lock *lock);
void number_lock_release(struct number_lock *lock);
/* This process is new: whoever had the lock is not in it. */
void number_lock_of_child(void);

#endif
