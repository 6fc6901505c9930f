/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping what the run has read by reference, before the run itself changes it. */
#ifndef PERDURE_SHIM_KEEP_H
#define PERDURE_SHIM_KEEP_H

#include "shim/descriptors.h"

/* Remembers, for every process of the run, that bytes of this file are referenced by the journal. */
void keep_mark_referenced(struct descriptor *descriptor);
bool keep_referenced(uint64_t device, uint64_t inode);

/* Before `length` bytes at `offset` of the descriptor's file are overwritten: journals the old ones, as far
 * as the file has any there. Nothing for a file that is not referenced. */
void keep_range(int fd, const struct descriptor *descriptor, uint64_t offset, uint64_t length);
/* Before a file is cut or punched: keeps a copy of it whole. path: opened anew, relative to dirfd. */
void keep_copy(int dirfd, const char *path, const struct journal_file *file);
/* Before a name is taken from a file that is needed further (referenced, or open): keeps it under
 * another name, or a copy where no link can be made. */
void keep_link(int dirfd, const char *path, const struct journal_file *file);

#endif
