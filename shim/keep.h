/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping what the run has read by reference, before the run itself changes it. */
#ifndef PERDURE_SHIM_KEEP_H
#define PERDURE_SHIM_KEEP_H

#include "shim/descriptors.h"

/* Remembers, for every process of the run, that bytes of this file are referenced by the journal. */
void keep_mark_referenced(struct descriptor *descriptor);
/* The same by identity: replay comes to what an earlier attempt referenced. */
void keep_mark_file(uint64_t device, uint64_t inode, uint64_t birth_ns);
bool keep_referenced(uint64_t device, uint64_t inode);

/* Before `length` bytes at `offset` of the descriptor's file are overwritten: journals the old ones, as far
 * as the file has any there. Nothing for a file that is not referenced. */
void keep_range(int fd, const struct descriptor *descriptor, uint64_t offset, uint64_t length);
/* Before a file is cut or punched, or stored to through a mapping: keeps a copy of it whole. path: opened
 * anew, relative to dirfd. */
void keep_copy(int dirfd, const char *path, const struct journal_file *file);
/* Before a name is taken from a file that is needed further (referenced, or open): keeps it under
 * another name, or a copy where no link can be made. */
void keep_link(int dirfd, const char *path, const struct journal_file *file);
/* A name in kept/ that no other thread has (96 bytes), and its path (PATH_ROOM + 128). */
void keep_new_name(char *ret_name, char *ret_path, uint64_t inode);
/* A whole copy of a file under such a name; 0 or -errno. */
int64_t keep_copy_as_new(int dirfd, const char *path, uint64_t inode, char *ret_name);
/* All bytes of one descriptor's file to another's; 0 or -errno. */
int64_t keep_copy_bytes(int64_t from, int64_t to);

/* The file has a name in kept/ more than the program knows. */
void keep_hide_link(uint64_t device, uint64_t inode);
/* How many such names it has. */
uint64_t keep_hidden_links(uint64_t device, uint64_t inode);
/* Going live: those that earlier attempts have kept, whether or not they came to need them. */
void keep_hide_known_links(void);
/* Takes such names out of the link count that a call of stat's kind has filled in. */
void keep_hide_links(const struct call *call);

#endif
