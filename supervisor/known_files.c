/* SPDX-License-Identifier: Apache-2.0 */
/* Files by identity. Their names are in known_names.c. */
#include "supervisor/known_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_COUNT_FIRST 64u

static uint64_t id_hash(const struct file_id *id)
{
  uint64_t hash = id->inode * 0x9e3779b97f4a7c15u;
  hash ^= (id->device + (id->birth_ns << 1)) * 0xc2b2ae3d27d4eb4fu;
  return hash ^ hash >> 29;
}

int known_files_init(struct known_files *files)
{
  struct known_files made = {
      .file_buckets = malloc(BUCKET_COUNT_FIRST * sizeof *made.file_buckets),
      .file_bucket_count = BUCKET_COUNT_FIRST,
      .node_buckets = calloc(BUCKET_COUNT_FIRST, sizeof *made.node_buckets),
      .node_bucket_count = BUCKET_COUNT_FIRST,
      .nodes = calloc(1, sizeof *made.nodes),
      .node_count = 1,
      .node_room = 1,
  };
  if (!made.file_buckets || !made.node_buckets || !made.nodes) {
    free(made.file_buckets);
    free(made.node_buckets);
    free(made.nodes);
    return -ENOMEM;
  }
  memset(made.file_buckets, 0xff, BUCKET_COUNT_FIRST * sizeof *made.file_buckets);
  made.nodes[0].file = KNOWN_FILE_NONE;
  *files = made;
  return 0;
}

void known_files_release(struct known_files *files)
{
  for (uint32_t i = 0; i < files->node_count; i++)
    free(files->nodes[i].component);
  free(files->nodes);
  free(files->node_buckets);
  free(files->files);
  free(files->file_buckets);
  memset(files, 0, sizeof *files);
}

uint32_t known_files_find(const struct known_files *files, const struct file_id *id)
{
  uint32_t i = files->file_buckets[id_hash(id) & (files->file_bucket_count - 1)];
  while (i != KNOWN_FILE_NONE && !file_id_same(&files->files[i].id, id))
    i = files->files[i].next_in_bucket;
  return i != KNOWN_FILE_NONE && files->files[i].same_as != KNOWN_FILE_NONE ? files->files[i].same_as : i;
}

static int grow_buckets(struct known_files *files)
{
  uint32_t count = files->file_bucket_count * 2;
  uint32_t *buckets = malloc(count * sizeof *buckets);
  if (!buckets)
    return -ENOMEM;
  memset(buckets, 0xff, count * sizeof *buckets);
  for (uint32_t i = 0; i < files->file_count; i++) {
    uint32_t *bucket = &buckets[id_hash(&files->files[i].id) & (count - 1)];
    files->files[i].next_in_bucket = *bucket;
    *bucket = i;
  }
  free(files->file_buckets);
  files->file_buckets = buckets;
  files->file_bucket_count = count;
  return 0;
}

int known_files_add(struct known_files *files, const struct file_id *id, uint32_t *ret_file)
{
  uint32_t found = known_files_find(files, id);
  if (found != KNOWN_FILE_NONE) {
    *ret_file = found;
    return 0;
  }
  if (files->file_count == KNOWN_FILE_NONE - 1)
    return -ENOMEM;
  if (files->file_count >= files->file_bucket_count) {
    int error = grow_buckets(files);
    if (error)
      return error;
  }
  if (files->file_count == files->file_room) {
    uint32_t room = files->file_room ? files->file_room * 2 : 16;
    struct known_file *grown = realloc(files->files, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    files->files = grown;
    files->file_room = room;
  }
  uint32_t *bucket = &files->file_buckets[id_hash(id) & (files->file_bucket_count - 1)];
  files->files[files->file_count] =
      (struct known_file){.id = *id, .next_in_bucket = *bucket, .same_as = KNOWN_FILE_NONE};
  *bucket = files->file_count;
  *ret_file = files->file_count++;
  return 0;
}

int known_files_same(struct known_files *files, uint32_t file, const struct file_id *id)
{
  uint32_t count = files->file_count, added;
  int error = known_files_add(files, id, &added);
  if (error)
    return error;
  if (added == file)
    return 0;
  if (added != count)
    return -EBADMSG;
  files->files[added].same_as = file;
  files->files[file].reborn = true;
  return 0;
}
