/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of files: by reference when recorded, made again in replay. */
#ifndef PERDURE_SHIM_MAPPINGS_H
#define PERDURE_SHIM_MAPPINGS_H

#include "shim/engine.h"

/* Replay: does the file have a mapping here that has to follow what the program does to the file? */
bool file_is_mapped(uint64_t device, uint64_t inode, uint64_t birth_ns);
/* Live: is the file mapped so that stores change it, past all calls? Then reads of it are recorded. */
bool file_is_stored_to(uint64_t device, uint64_t inode);
void file_mark_stored_to(uint64_t device, uint64_t inode);

/* Replay: makes the mapping of an entry again, with the bytes of then. Returns the address or -errno. */
int64_t mapping_make(const struct call *call, const struct journal_entry *entry);
/* Replay: memory is about to be unmapped or moved. */
void mapping_leaves(uint64_t address, uint64_t length);
/* Replay: are there mappings that going live has to move? */
bool mappings_of_changed_files(void);

/* Going live: shared mappings become the file's again. What the program stored in replay goes into
 * the file. */
void mappings_go_live(void);
/* The path where the file of an extent is now; path: of the reference's own file. */
const char *feed_extent_path(const struct feed_extent *extent, const char *path);

#endif
