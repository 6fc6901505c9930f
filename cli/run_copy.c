/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_copy.h"

#include "supervisor/archive.h"
#include "supervisor/run.h"
#include "supervisor/store_look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct run_place copied;
static struct run_lock lock = {.owner_fd = -1, .tree_fd = -1};

static void remove_copy(void)
{
  char path[PATH_MAX + 8];
  struct failure ignored;

  run_lock_release(&lock);
  run_remove(&copied, &ignored);
  rmdir(copied.cache);
  snprintf(path, sizeof path, "%s/runs", copied.base);
  rmdir(path);
  rmdir(copied.base);
}

static int make_base(const char *id, struct failure *failure)
{
  const char *temporary = getenv("TMPDIR");
  char base[PATH_MAX];
  int error;

  snprintf(base, sizeof base, "%.3000s/perdure-copy-XXXXXX", temporary != NULL && *temporary ? temporary : "/tmp");
  if (mkdtemp(base) == NULL)
    return failure_set(failure, -errno, "cannot make a directory %s: %s; set TMPDIR to one that may be written", base, strerror(errno));
  error = run_place_find(base, id, &copied, failure);
  if (error < 0)
    rmdir(base);
  else
    atexit(remove_copy);
  return error;
}

static int finish(int error, struct run_place *ret_place, struct failure *failure)
{
  return error < 0 ? error : run_place_existing(copied.base, copied.id, ret_place, failure);
}

int run_copy_of_archive(const char *file, const char *id, struct run_place *ret_place, struct failure *failure)
{
  int error = make_base(id, failure);

  return finish(error < 0 ? error : archive_unpack(file, copied.base, id, failure), ret_place, failure);
}

int run_copy_of_store(const char *url, const char *id, struct run_place *ret_place, struct failure *failure)
{
  int error = make_base(id, failure);

  return finish(error < 0 ? error : store_look_fetch(url, copied.base, id, &lock, failure), ret_place, failure);
}

bool run_copy_is(const struct run_place *place)
{
  return strcmp(place->base, copied.base) == 0;
}
