/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that a process of the run makes. */
#ifndef PERDURE_SHIM_CHILDREN_H
#define PERDURE_SHIM_CHILDREN_H

#include "shim/engine.h"

/* A call that makes a process, and no thread. */
int64_t child_make(struct call *call);

/* In a child that was to share its parent's memory and is about to exit without an exec: what it has written
 * for its parent gets there. */
void relay_from_child(void);

/* Going live: signals that were sent to this process, and that it has not had, are sent again. */
void kills_go_live(void);

/* Replay, before a child is made: files that parent and child will share are put in their placeholders'
 * places now, while one opening can serve both. */
void placeholders_share(void);
/* Replay, before calls that no replay answers: all files but those that are made only at its end. */
void placeholders_put_back(void);

#endif
