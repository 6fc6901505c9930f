/* SPDX-License-Identifier: Apache-2.0 */
/* Removing a run. A crash inside leaves a directory without a store: no run, and the next one of that
 * name clears it. */
#include "supervisor/run.h"
#include "supervisor/run_attempt.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* A store that cannot be read may be anything's: then its processes count as an attempt's. */
static bool has_finished(const struct run_place *place)
{
  struct failure ignored;
  struct store *store;
  enum run_state state = RUN_STATE_RUNNING;
  char path[PATH_MAX];

  run_place_path(place, "run.db", path);
  if (store_open(path, true, &store, &ignored) < 0)
    return false;
  if (run_get_state(store, &state, &ignored) < 0)
    state = RUN_STATE_RUNNING;
  store_close(store);
  return state == RUN_STATE_FINISHED;
}

int run_remove(const struct run_place *place, struct failure *failure)
{
  struct run_lock lock;
  unsigned ended;
  int error = run_lock_own(place, &lock, failure);

  if (error < 0)
    return error;
  if (!has_finished(place))
    error = run_lock_tree(place, &lock, &ended, failure);
  if (error == 0)
    error = run_place_clear(place, failure);
  if (error == 0)
    run_place_forget_empty(place);
  run_lock_release(&lock);
  return error;
}
