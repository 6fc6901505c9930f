/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that send signals. In replay none is set: what they had sent is no business of the next attempt. */
#ifndef PERDURE_SHIM_TIMERS_H
#define PERDURE_SHIM_TIMERS_H

/* The end of replay: sets those that had not gone off, for what is left of them, and those that go off again
 * and again. Signals may come from then on. */
void timers_go_live(void);

/* A process that has just been made has none of its parent's. */
void timers_of_child(void);

#endif
