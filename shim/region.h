/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic regions, in the program: while one is open, every change of a file is preceded by a KEEP that says how it
 * is taken back. Who takes it back is supervisor/region_undo.c, after a crash. */
#ifndef PERDURE_SHIM_REGION_H
#define PERDURE_SHIM_REGION_H

#include "shim/descriptors.h"

/* The last region that began, where all that were begun have their entries, and from which on each INTENT is behind it; 0: not so, or
 * there was none. A process that was killed at a region's beginning leaves it 0: more is kept than needed, until the attempt's end. */
static inline uint32_t region_settled(void)
{
  uint32_t placed = atomic_load(&engine.tail.header->regions_placed);
  return atomic_load(&engine.tail.header->regions_begun) == placed ? placed : 0;
}

static inline bool region_open(void)
{
  return __builtin_expect(atomic_load_explicit(&engine.tail.header->regions_open, memory_order_relaxed) != 0, 0);
}
/* Around the entry that a region begins with; what the first returns is for the second. */
bool region_begins(void);
void region_has_begun(bool outer);
/* Behind the entry that it ends with. */
void region_ended(void);

/* While a region is open, calls `keep`, which calls some of those below, before the change that `call` is about to make; and
 * record_intent() calls it once more, behind the INTENT, where a region of another process has begun meanwhile. The context
 * is the caller's, until then. */
static inline void region_keep(struct call *call, void (*keep)(const struct call *call, void *context), void *context)
{
  call->keep = keep;
  call->keep_context = context;
  call->keep_settled = region_settled();
  if (region_open())
    keep(call, context);
}

/* All below: as region_keep() calls them. full: absolute path, as the INTENT has it. */

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
