/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are stopped and continued, in replay and past it. One that has gone on since it stopped itself does not stop
 * again. One that has not is stopped in replay, where it stopped; and one that another had stopped, when it comes past its
 * replay. Whoever continues one that is yet to stop waits until it has: else nothing would continue it any more.
 *
 * Killed at any line: the next attempt finds the same entries, and does the same. */
#ifndef PERDURE_SHIM_STOPS_H
#define PERDURE_SHIM_STOPS_H

#include "shim/engine.h"

/* One that stops a process, unless it handles, ignores or blocks it. */
bool stop_is_one(int number);
/* Replay: the entry of a signal to this process itself, before replay goes on. True: it has stopped it, and something has
 * continued it since. Else the signal is sent, and stop_is_over() follows. */
bool stop_was_left(int number, const struct journal_entry *entry);
void stop_is_over(void);
/* Replay: this process has sent `signal` to `number`, as kill() has it. */
void stops_sent_again(int32_t number, int signal);
/* Live, before this process sends SIGCONT there: who is yet to stop has stopped. */
void stops_await(int32_t number);
/* Replay: the program is told that its child `seen` has stopped. The kernel tells of it no more. */
void stop_was_told(int32_t seen);

#endif
