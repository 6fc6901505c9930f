/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own, and the paths in it. Removed at the end, with all its files. */
#ifndef PERDURE_TESTS_UNIT_SCRATCH_H
#define PERDURE_TESTS_UNIT_SCRATCH_H

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char scratch_directory[256];

static inline void scratch_create(void)
{
  const char *parent = getenv("TMPDIR");
  snprintf(scratch_directory, sizeof scratch_directory, "%s/perdure-test-XXXXXX",
           parent != NULL ? parent : "/tmp");
  char *made = mkdtemp(scratch_directory);
  assert(made != NULL);
}

/* The path of `name` in it; one of four buffers, used in turn. */
static inline const char *scratch_path(const char *name)
{
  static char paths[4][512];
  static unsigned next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
  return path;
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int type,
                                     struct FTW *where)
{
  return remove(path);
}

static inline void scratch_remove(void)
{
  nftw(scratch_directory, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#endif
