/* SPDX-License-Identifier: Apache-2.0 */
/* A crash at any line leaves at most a part of a copy that nobody knows. */
#include "supervisor/store_look.h"

#include "supervisor/redis_run.h"
#include "supervisor/run_info.h"
#include "supervisor/run_replication.h"
#include "supervisor/store_head.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A run that begins anew all the time cannot be read at all. */
#define TRIES_MAX 3

/* ---- what is known of one ---- */

static int missing(const struct redis_address *address, const char *id, struct failure *failure)
{
  const char *where = redis_address_text(address);
  return failure_set(failure, -ENOENT, "there is no run %s in %s; `perdure ls --store %s` lists the runs there", id, where, where);
}

static int info_of(struct redis_run *run, const struct redis_address *address, const char *id, bool secrets, struct run_info *ret_info,
                   struct failure *failure)
{
  struct redis_look look;
  struct store *store;
  struct run_info info = {0};
  const char *where = redis_address_text(address);
  int error = redis_run_look(run, &look, failure);
  if (error != 0)
    return error == -ENOENT ? missing(address, id, failure) : error;
  error = store_head_open(&look.head, where, &store, failure);
  free(look.head.bytes);
  if (error != 0)
    return error;
  error = run_info_of_store(store, secrets, &info, failure);
  store_close(store);
  info.entry_count = look.next_seq - 1;
  info.epoch = look.epoch;
  info.store = strdup(where);
  info.owner = strdup(look.owner);
  info.live = look.lease_left_ms > 0;
  info.supervisor_pid = 0;
  if (info.state == RUN_STATE_RUNNING && !info.live)
    info.state = RUN_STATE_UNFINISHED;
  if (error == 0 && (!info.store || !info.owner))
    error = failure_set(failure, -ENOMEM, "cannot read the store: out of memory");
  if (error == 0)
    *ret_info = info;
  else
    run_info_release(&info);
  return error;
}

static int open_one(const char *url, const char *id, struct redis_address *ret_address, struct redis_run **ret_run, struct failure *failure)
{
  struct run_place place; /* for the check of the id alone */
  int error = redis_address_parse(url, ret_address, failure);
  if (error == 0)
    error = run_place_find("/", id, &place, failure);
  return error == 0 ? redis_run_open_to_look(ret_address, id, ret_run, failure) : error;
}

int store_look_info(const char *url, const char *id, bool secrets, struct run_info *ret_info, struct failure *failure)
{
  struct redis_address address;
  struct redis_run *run;
  int error = open_one(url, id, &address, &run, failure);
  if (error != 0)
    return error;
  error = info_of(run, &address, id, secrets, ret_info, failure);
  redis_run_close(run);
  return error;
}

/* ---- all ---- */

struct looking {
  const struct redis_address *address;
  bool secrets;
  int (*each)(const char *id, struct run_info *info, const struct failure *why, void *context);
  void *context;
};

static int look_at(struct redis_run *run, const char *id, void *context)
{
  const struct looking *looking = context;
  struct run_info info;
  struct failure why, named;
  int error = info_of(run, looking->address, id, looking->secrets, &info, &why);
  if (error == -ENOENT) /* removed meanwhile, or claimed and not yet begun */
    return 0;
  if (error == 0)
    return looking->each(id, &info, NULL, looking->context);
  failure_set(&named, error, "run %s: %.900s", id, why.text);
  return looking->each(id, NULL, &named, looking->context);
}

int store_look_all(const char *url, bool secrets,
                   int (*each)(const char *id, struct run_info *info, const struct failure *why, void *context), void *context,
                   struct failure *failure)
{
  struct redis_address address;
  struct looking looking = {&address, secrets, each, context};
  int error = redis_address_parse(url, &address, failure);
  return error == 0 ? redis_runs(&address, NULL, look_at, &looking, failure) : error;
}

/* ---- a copy ---- */

static int make_place(const char *base, const char *id, struct run_place *ret_place, struct failure *failure)
{
  int error = run_place_find(base, id, ret_place, failure);
  if (error == 0)
    error = run_place_make(ret_place, failure);
  return error == 0 ? run_place_folders(ret_place, failure) : error;
}

static int copy(struct redis_run *run, const struct run_place *place, struct failure *failure)
{
  struct store *store;
  char path[PATH_MAX];
  run_place_path(place, "run.db", path);
  int error = store_create(path, TAIL_SYNC_NONE, &store, failure);
  if (error != 0)
    return error;
  error = store_fill(redis_run_any(run), store_any(store), failure);
  store_close(store);
  return error;
}

/* A run that begins anew while it is read is read again: its parts are of two then. */
static int copy_one_epoch(struct redis_run *run, const struct run_place *place, struct redis_look *ret_look, struct failure *failure)
{
  struct redis_look after;
  int error = redis_run_look(run, ret_look, failure);
  for (int tries = 1; error == 0; tries++) {
    free(ret_look->head.bytes);
    int copied = copy(run, place, failure);
    error = redis_run_look(run, &after, copied == 0 ? failure : &(struct failure){""});
    if (error != 0)
      return copied != 0 ? copied : error;
    bool same = after.epoch == ret_look->epoch;
    *ret_look = after;
    if (same || tries == TRIES_MAX) {
      free(after.head.bytes);
      return copied;
    }
    error = run_place_clear(place, failure);
    if (error == 0)
      error = run_place_folders(place, failure);
  }
  return error;
}

int store_look_fetch(const char *url, const char *base, const char *id, struct run_lock *ret_lock, struct failure *failure)
{
  struct redis_address address;
  struct redis_look look;
  struct redis_run *run;
  struct run_place place;
  struct run_lock lock = {.owner_fd = -1, .tree_fd = -1};
  int error = open_one(url, id, &address, &run, failure);
  if (error != 0)
    return error;
  error = make_place(base, id, &place, failure);
  if (error == 0) {
    error = copy_one_epoch(run, &place, &look, failure);
    if (error == -ENOENT)
      missing(&address, id, failure);
  }
  redis_run_close(run);
  if (error == 0 && look.lease_left_ms > 0)
    error = run_lock_own(&place, &lock, failure);
  if (error == 0)
    *ret_lock = lock;
  return error;
}
