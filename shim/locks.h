/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of files: fcntl's of both kinds, and flock's. In replay they lie on the placeholders, where nobody
 * contends; going live takes over what is held. */
#ifndef PERDURE_SHIM_LOCKS_H
#define PERDURE_SHIM_LOCKS_H

#include "shim/engine.h"

/* fcntl with F_SETLK, F_SETLKW, F_GETLK and F_OFD_*. */
int64_t lock_by_fcntl(struct call *call);

/* Replay: `fd` is about to be closed, or replaced. A process loses its locks on a file with the first of the
 * file's descriptors that it closes. */
void locks_before_close(int fd);

/* Going live: the description `real` takes the place of the placeholder's; `number` will be one of its
 * numbers. room: for text, LOCKS_ROOM bytes. */
#define LOCKS_ROOM (64u << 10)
void locks_take_over(int placeholder, int real, int number, char *room);
/* Going live: nothing is closed any more; the process's own locks are taken. */
void locks_take_own(void);

#endif
