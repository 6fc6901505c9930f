/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name that are open all the same. After a crash nobody has their bytes: replay builds
 * them again from the writes that made them, in a store of the run's own, and going live makes a
 * nameless file of it, in the directory where the first one was. */
#ifndef PERDURE_SHIM_GHOSTS_H
#define PERDURE_SHIM_GHOSTS_H

#include "shim/descriptors.h"

/* Is replay to apply the writes to this file? A primary row of the feed, or NULL. */
bool ghost_file(const struct feed_file *file);

/* Replay: a file loses its last name here. What a copy kept of it is where its writes go on from. */
void ghost_begin(const struct journal_file *file);

/* Where replay finds the bytes of a file (a primary row) now: under its name, in kept/, in the store. "":
 * nowhere. The result lies in the feed or in `room`, PATH_ROOM + 128 bytes. */
const char *ghost_or_file_path(const struct feed_file *file, char *room);

/* Going live: a new description of the file, and a hold on it until ghosts_release(). file: as it was when it
 * was opened; directory: where it was, or NULL. Returns a descriptor or -errno. */
int64_t ghost_open(const struct journal_file *file, const char *directory, uint64_t flags);
void ghosts_release(void);

#endif
