/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, socket pairs, event counters and the like that live and die with the run: replay makes them again
 * and puts into them and takes out of them what was put and taken, so that they hold what they held. */
#ifndef PERDURE_SHIM_CHANNELS_H
#define PERDURE_SHIM_CHANNELS_H

#include "shim/engine.h"

/* Adds to a draft which channel the descriptor is, if it is one. room: until the draft is appended. */
struct journal_source;
void channel_describe(struct draft *draft, int fd, struct journal_source *room);

/* These two are a new socket pair. */
void channel_paired(const int ends[2]);
/* Replay: a read took `length` bytes. */
void channel_take(int fd, int64_t length);
/* Replay: a write put in the first `length` bytes of its pieces. */
void channel_put(const struct call *call, const struct io_vector *pieces, uint64_t count, uint64_t length);
/* Live: how many bytes of the next write into a pipe or a stream pair have been read already: by a thread that went on
 * while the write, which the crash cut off, was under way. They count as written. */
uint64_t channel_ahead(int fd, uint64_t length);
/* Makes the write of these pieces without its first `done` bytes, in one call. Returns all that is written then, those included. */
int64_t channel_write_rest(struct call *call, const struct io_vector *pieces, uint64_t count, uint64_t done);
/* Replay: that pipe is another one from here on; what was read of it ahead of its writer came from elsewhere. */
void channel_forget_ahead(uint64_t inode);
/* Puts the bytes in a pipe that does not wait, which is made larger where it has to be. */
void channel_fill(int fd, const uint8_t *bytes, uint64_t length);
/* Replay: more is to lie in that pipe for a moment than ever did. Ends the process where the system does not allow it. */
void channel_make_room(int fd);
/* Live: a part of what its writer writes has been read already, and the rest is on its way again. */
bool channel_is_awaited(int fd);

#endif
