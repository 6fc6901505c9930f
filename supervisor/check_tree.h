/* SPDX-License-Identifier: Apache-2.0 */
/* Directory trees of the crash sweep: copying one, listing one, removing one. */
#ifndef PERDURE_SUPERVISOR_CHECK_TREE_H
#define PERDURE_SUPERVISOR_CHECK_TREE_H

#include "supervisor/store.h"

#include <limits.h>
#include <sys/stat.h>

/* More is not copied: a sweep makes thousands of copies. */
#define CHECK_TREE_ENTRIES_MAX 200000u
#define CHECK_TREE_BYTES_MAX (4ull << 30) /* allocated on disk */

/* Copies the directory `from` to `to`, which must not exist: contents (shared blocks where the
 * filesystem can, holes kept), modes, times, symlinks, hard links among them, special files,
 * extended attributes; owners as far as the caller may. `leave_out`, or NULL, is a directory that
 * is not descended into, for a copy that lies inside of what is copied. A failure leaves a part of
 * the copy. */
int check_tree_copy(const char *from, const char *to, const struct stat *leave_out,
                    struct failure *failure);

/* Removes `path` and all below it, whatever modes it has. It need not exist. */
int check_tree_remove(const char *path, struct failure *failure);

struct check_entry {
  char *path;         /* relative to the tree's root; "." is the root itself */
  mode_t mode;        /* type and permissions */
  uint64_t size;      /* of regular files */
  uint64_t device_id; /* of device files */
  char *target;       /* of symlinks, else NULL */
  char *attributes;   /* extended ones: "NAME=HEX NAME=HEX", by name; NULL when there are none */
  uint64_t device, inode;
  size_t first_link;  /* index of the tree's first entry that is the same file; often itself */
};

/* A tree's names and what lies behind them but for the contents. */
struct check_tree {
  char *root; /* path */
  struct check_entry *entries; /* by check_path_order() */
  size_t count;
};

/* Lists the tree at `root`, which must not be changed meanwhile. What its owner may not read is
 * made readable to him on the way: the list has the modes as they were. */
int check_tree_list(const char *root, struct check_tree *ret_tree, struct failure *failure);
void check_tree_release(struct check_tree *tree);

/* The order of entries: a directory comes right before what is in it, "." before all. Negative, 0,
 * positive like strcmp. */
int check_path_order(const char *a, const char *b);
/* Does `path` lie in directory `directory`, at any depth? Everything but "." lies in ".". */
bool check_path_within(const char *path, const char *directory);

#endif
