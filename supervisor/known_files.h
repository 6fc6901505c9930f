/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a run has had to do with, and the names that each has now.
 *
 * A file is its identity (device, inode, birth time). Names are a tree of path components, so that
 * renaming a directory moves all that is below it in one step, however much that is.
 *
 * Memory: one struct known_file a file, one node for each component of a name that still names
 * something. Nothing here looks at a filesystem.
 */
#ifndef PERDURE_SUPERVISOR_KNOWN_FILES_H
#define PERDURE_SUPERVISOR_KNOWN_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KNOWN_FILE_NONE UINT32_MAX
#define KNOWN_PATH_SIZE_MAX 4096u

struct file_id {
  uint64_t device, inode, birth_ns;
};

struct known_file {
  struct file_id id;
  uint32_t first_name; /* the latest of its names, 0: it has none */
  uint32_t next_in_bucket;
  bool changed; /* the run has changed it, its times and size prove nothing */
  bool reborn;   /* a ghost that goes on as another file: its identity is not the first one any more */
  uint32_t same_as; /* the file that this is another identity of, or KNOWN_FILE_NONE */
  bool nameable; /* it has had a name, or is an O_TMPFILE: without one now, it is a ghost */
};

struct name_node {
  uint32_t parent;
  uint32_t first_child, next_sibling, previous_sibling; /* 0: none */
  uint32_t next_in_bucket;
  uint32_t hash;
  uint32_t file;      /* KNOWN_FILE_NONE: nothing known */
  uint32_t next_name; /* of the same file, 0: none */
  uint32_t length;
  char *component; /* not terminated; NULL: a free node (next_sibling: the next free one) */
};

struct known_files {
  struct known_file *files;
  uint32_t file_count, file_room;
  uint32_t *file_buckets;
  uint32_t file_bucket_count; /* a power of two */
  struct name_node *nodes;    /* [0] is the root */
  uint32_t node_count, node_room, node_free, node_used;
  uint32_t *node_buckets;
  uint32_t node_bucket_count; /* a power of two */
};

static inline bool file_id_same(const struct file_id *a, const struct file_id *b)
{
  return a->device == b->device && a->inode == b->inode && a->birth_ns == b->birth_ns;
}

/* -ENOMEM. */
int known_files_init(struct known_files *files);
void known_files_release(struct known_files *files);

/* The file's number, or KNOWN_FILE_NONE. Numbers stay; all identities of a file have the one of its first. */
uint32_t known_files_find(const struct known_files *files, const struct file_id *id);
/* The same, and a file that is not there is added. -ENOMEM. */
int known_files_add(struct known_files *files, const struct file_id *id, uint32_t *ret_file);
/* From now on `id` is another identity of `file`. -ENOMEM; -EBADMSG: it is some other file's already. */
int known_files_same(struct known_files *files, uint32_t file, const struct file_id *id);

/* Paths are absolute, `length` bytes without NUL, below KNOWN_PATH_SIZE_MAX; the callers check it. */

/* From now on `path` names `file`, and no other. -ENOMEM. */
int known_files_name(struct known_files *files, uint32_t file, const char *path, size_t length);
/* `path` and all below it name nothing any more. */
void known_files_unname(struct known_files *files, const char *path, size_t length);
/* The file has no name any more. */
void known_files_unname_all(struct known_files *files, uint32_t file);
/* What `from` names, and all below it, is at `to` now, and what was there has lost that name. -ENOMEM;
 * -EBADMSG: one lies below the other, which no kernel does. */
int known_files_rename(struct known_files *files, const char *from, size_t from_length,
                       const char *to, size_t to_length);
/* Both names swap what they name. -ENOMEM, -EBADMSG as above. */
int known_files_exchange(struct known_files *files, const char *one, size_t one_length,
                         const char *other, size_t other_length);

/* The file that `path` names, or KNOWN_FILE_NONE. */
uint32_t known_files_at(const struct known_files *files, const char *path, size_t length);
/* Writes one name of the file, NUL-terminated. `name` is a node: 0 begins with the latest, and
 * *ret_next (may be NULL) is the node of the name after it, 0 after the last. -ENOENT: it has none;
 * -ENAMETOOLONG: its directories have been moved too deep. */
int known_files_path(const struct known_files *files, uint32_t file, uint32_t name,
                     char ret_path[KNOWN_PATH_SIZE_MAX], uint32_t *ret_next);

static inline bool known_file_ghost(const struct known_file *file)
{
  return file->nameable && file->first_name == 0;
}

#endif
