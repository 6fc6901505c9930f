/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: watches are made again, with their numbers. What happened while nobody watched, and what lay
 * unread when the run was killed, is told as inotify tells of lost events: IN_Q_OVERFLOW, on which a
 * program looks for itself. */
#ifndef PERDURE_SHIM_WATCHES_H
#define PERDURE_SHIM_WATCHES_H

#include "shim/engine.h"

/* Going live: each inotify descriptor that has a watch gets one event, readable as any. */
void watches_go_live(void);
/* Live: that event, if it is among those that a read gave, becomes IN_Q_OVERFLOW. */
void watches_translate(uint8_t *events, int64_t size);

#endif
