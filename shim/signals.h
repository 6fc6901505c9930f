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
/* The feed has ended behind such an entry, where the call's own would be. */
void signals_replayed(const struct call *call);
/* A signal to oneself has been journaled, and is about to be sent; and it has been. */
void signals_expect(int number);
void signals_expect_none(void);
/* Is the call over when a handler with those flags (SA_*) has run in it, and it had nothing yet? */
bool signals_break(const struct call *call, uint64_t flags);
/* Is it a call that waits until something happens on some of several descriptors? */
bool call_waits_for_readiness(uint64_t id);
/* Has the program a handler for any, that runs at calls? For this one? */
bool signals_any_handled(void);
bool signals_handled(int number);
/* Is it one whose handlers run at calls? */
bool signals_journaled(uint64_t number);
/* Does this thread block it now? */
bool signals_blocked(int number);
/* The end of replay: does it, or handle it, or has it since its last entry? */
bool signals_kept_off(int number);
/* Does the entry say that the signal came: to a handler, to a wait for it, or by a signalfd? */
bool signals_told(const struct journal_entry *entry, int number);
/* In replay: is this thread's next entry that call's, or the SIGNAL of a handler that ran in it? at_end: where it has no more. */
bool signals_tell_next(uint64_t id, bool at_end);
/* This process has come past its replay. */
void signals_go_live(void);
/* Nothing comes any more, until signals_let_come() with what signals_hold() has returned. */
uint64_t signals_hold(void);
void signals_let_come(uint64_t mask);
/* This process is new: what had come to its parent is not for it. Nothing may have come to it yet. */
void signals_of_child(void);
/* Handlers of what waits run now, live: in a call, before its own entry. */
void signals_deliver(void);
/* This thread ends: what waits in it goes to another one. */
void signals_thread_ends(void);
/* In replay: a SIGNAL of this thread is the next entry of all; runs its handler. False: it is not. */
bool signals_due(void);
/* The program is about to be replaced: what comes from now on, and what waits, is for the new one, or comes when the old
 * one goes on. */
void signals_exec(void);
/* It has been; or it goes on. */
void signals_exec_over(void);

/* rt_sigaction for a signal of libc's own (32, 33). */
int64_t signals_action_of_libc(struct call *call);

#endif
