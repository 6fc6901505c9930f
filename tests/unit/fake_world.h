/* SPDX-License-Identifier: Apache-2.0 */
/* A world of a few files in memory, for looking at open intents. */
#ifndef PERDURE_TESTS_UNIT_FAKE_WORLD_H
#define PERDURE_TESTS_UNIT_FAKE_WORLD_H

#include "supervisor/recover.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "journal/hash.h"

#define FAKE_FILE_MAX 16

struct fake_file {
  char path[64];
  struct journal_file file;
  char bytes[128];  /* file.size of them; of a symlink its target */
  char attribute[32]; /* the name of its only extended attribute, or "" */
};

struct fake_world {
  struct fake_file files[FAKE_FILE_MAX];
  unsigned count;
  unsigned cuts, removals;
  int look_error; /* given instead of an answer */
};

static inline struct fake_file *fake_find(struct fake_world *fake, const char *path)
{
  for (unsigned i = 0; i < fake->count; i++)
    if (strcmp(fake->files[i].path, path) == 0)
      return &fake->files[i];
  return NULL;
}

static inline struct fake_file *fake_add(struct fake_world *fake, const char *path,
                                         struct journal_file file, const char *bytes)
{
  assert(fake->count < FAKE_FILE_MAX);
  struct fake_file *added = &fake->files[fake->count++];
  *added = (struct fake_file){.file = file};
  snprintf(added->path, sizeof added->path, "%s", path);
  snprintf(added->bytes, sizeof added->bytes, "%s", bytes);
  added->file.size = strlen(bytes);
  return added;
}

static inline int fake_look(void *context, const char *path, struct journal_file *ret_file)
{
  struct fake_world *fake = context;
  struct fake_file *found = fake_find(fake, path);
  if (fake->look_error)
    return fake->look_error;
  if (!found)
    return -ENOENT;
  *ret_file = found->file;
  return 0;
}

static inline int fake_look_link(void *context, const char *path, char *ret_target, size_t size)
{
  struct fake_file *found = fake_find(context, path);
  if (!found || !S_ISLNK(found->file.mode))
    return found ? -EINVAL : -ENOENT;
  snprintf(ret_target, size, "%s", found->bytes);
  return 0;
}

static inline int fake_hash(void *context, const char *path, uint64_t offset, uint64_t length,
                            uint64_t *ret_hash)
{
  struct fake_file *found = fake_find(context, path);
  if (!found)
    return -ENOENT;
  if (offset + length > found->file.size)
    return -ENODATA;
  *ret_hash = journal_hash(found->bytes + offset, length);
  return 0;
}

static inline int fake_look_attribute(void *context, const char *path, const char *name, bool follow)
{
  struct fake_file *found = fake_find(context, path);
  if (!found)
    return -ENOENT;
  if (follow && S_ISLNK(found->file.mode))
    return fake_look_attribute(context, found->bytes, name, true);
  return strcmp(found->attribute, name) == 0;
}

static inline int fake_cut(void *context, const char *path, uint64_t size)
{
  struct fake_world *fake = context;
  struct fake_file *found = fake_find(fake, path);
  if (!found)
    return -ENOENT;
  found->file.size = size;
  fake->cuts++;
  return 0;
}

static inline int fake_remove(void *context, const char *path)
{
  struct fake_world *fake = context;
  struct fake_file *found = fake_find(fake, path);
  if (!found)
    return -ENOENT;
  *found = fake->files[--fake->count];
  fake->removals++;
  return 0;
}

static inline struct world fake_world_of(struct fake_world *fake)
{
  return (struct world){fake_look, fake_look_link, fake_hash, fake_look_attribute, fake_cut, fake_remove, fake};
}

#endif
