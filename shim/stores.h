/* SPDX-License-Identifier: Apache-2.0 */
/* Files of replay's own, in kept/, that hold what files of the program held at that point: those that have
 * no name any more, and those that are mapped while they change. */
#ifndef PERDURE_SHIM_STORES_H
#define PERDURE_SHIM_STORES_H

#include "shim/engine.h"

enum store_kind {
  STORE_GHOST,  /* all of a file without a name */
  STORE_MAPPED, /* the mapped parts of a file */
  STORE_PIPE,   /* no file: what stands for a named pipe */
  STORE_OWED,   /* what was written into that before anybody could read from it */
};

/* Which file of the program it is for: the feed's first identity of it. */
struct store_id {
  uint64_t device, inode, birth_ns;
};

/* A name that no other attempt uses, PATH_ROOM + 128 bytes. */
void store_path(enum store_kind kind, const struct store_id *id, char *ret_path);
/* What all paths of stores begin with. */
size_t store_prefix(enum store_kind kind, char *ret_path);
bool store_exists(enum store_kind kind, const struct store_id *id);
/* A descriptor for reading and writing; made when it is not there. Ends the process where it cannot be. */
int64_t store_open(enum store_kind kind, const struct store_id *id);
/* STORE_PIPE: makes it, unless it is there. Ends the process where it cannot be. */
void store_make_pipe(const struct store_id *id);
void store_remove(enum store_kind kind, const struct store_id *id);

/* What the program did to its file. */
void store_write(enum store_kind kind, const struct store_id *id, uint64_t offset, const void *bytes,
                 uint64_t length);
void store_truncate(enum store_kind kind, const struct store_id *id, uint64_t size);
void store_allocate(enum store_kind kind, const struct store_id *id, const struct call *call);

/* The same for a placeholder, in the stores that its file has. */
struct descriptor;
void stores_write(const struct descriptor *placeholder, uint64_t offset, const void *bytes, uint64_t length);
void stores_truncate(const struct descriptor *placeholder, uint64_t size);
void stores_allocate(const struct descriptor *placeholder, const struct call *call);

#endif
