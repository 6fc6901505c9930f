/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic regions, in the program: while one is open, every change of a file is preceded by a KEEP that says how it
 * is taken back. Who takes it back is supervisor/region_undo.c, after a crash. */
#ifndef PERDURE_SHIM_REGION_H
#define PERDURE_SHIM_REGION_H

#include "shim/descriptors.h"

static inline bool region_open(void)
{
  return __builtin_expect(atomic_load_explicit(&engine.tail.header->regions_open, memory_order_relaxed) != 0, 0);
}
void region_began(void);
void region_ended(void);

/* All below: only while region_open(), before the INTENT. full: absolute path, as the INTENT has it. */

/* Bytes [offset, offset + length) of the regular file are about to change; UINT64_MAX: to its end. */
void region_content(int dirfd, const char *path, const char *full, uint64_t offset, uint64_t length);
/* The same by descriptor. */
void region_content_of(int fd, uint64_t offset, uint64_t length);
/* The name is free, and is about to be made. */
void region_made(const char *full);
/* The same by an open, which follows a symlink that leads nowhere. */
void region_created(const char *full);
/* The name is about to be taken away from what it names, which may be a directory. */
void region_taken(int dirfd, const char *path, const char *full);
/* from is about to become to; or the two change places. */
void region_renamed(const char *from, const char *to, const struct journal_file *file, bool exchanged);
/* Mode, owner or times are about to change. */
void region_state(int dirfd, const char *path, const char *full, unsigned flags);

/* The extended attribute `name` is about to change; flags as for region_state(). */
void region_attribute(int dirfd, const char *path, const char *full, unsigned flags, const char *name);

#endif
