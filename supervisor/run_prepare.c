/* SPDX-License-Identifier: Apache-2.0 */
/* A new run, up to where its program can be spawned.
 *
 * One transaction writes the recipe, the state and the first attempt, after the tail is there. A
 * crash before its end leaves a store without a state: a run that never began, and is made anew. */
#include "supervisor/run_attempt.h"

#include "supervisor/boundary.h"
#include "supervisor/run_replication.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int run_check_program(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  enum program_kind kind = boundary_check_program(attempt->recipe.program, failure);

  if (kind != PROGRAM_OK) {
    run_advise(failure, attempt->store != NULL        ? "put it back, and run the same command again"
                        : kind == PROGRAM_NOT_FOUND ? "look at its name, and at PATH"
                                                    : "run it without perdure, or run another program");
    *ret_status = kind == PROGRAM_NOT_FOUND        ? RUN_EXIT_NOT_FOUND
                  : kind == PROGRAM_NOT_EXECUTABLE ? RUN_EXIT_NOT_EXECUTABLE
                                                   : RUN_EXIT_FAILED;
    return -ENOEXEC;
  }
  *ret_status = RUN_EXIT_FAILED;
  if (access(attempt->recipe.shim, R_OK) < 0)
    return failure_set(failure, -errno, "cannot find perdure's shim %s: %s; reinstall perdure, or say "
                       "where it is with PERDURE_SHIM", attempt->recipe.shim, strerror(errno));
  return boundary_prepare(attempt->place.cache, failure);
}

static int write_store(struct run_attempt *attempt, struct failure *failure)
{
  struct store *store = attempt->store;
  int error = store_begin(store, failure);

  if (error < 0)
    return error;
  error = run_recipe_store(&attempt->recipe, store, failure);
  if (error == 0)
    error = store_meta_set_text(store, "id", attempt->place.id, failure);
  if (error == 0)
    error = store_meta_set_text(store, "output", run_output_name(attempt->output), failure);
  if (error == 0)
    error = store_meta_set_number(store, "idempotent", attempt->idempotent, failure);
  if (error == 0)
    error = store_meta_set_number(store, "keyless", attempt->keyless, failure);
  if (error == 0 && attempt->options->retry != NULL)
    error = store_meta_set_text(store, "retry", attempt->options->retry, failure);
  if (error == 0 && attempt->options->retry_rules != NULL)
    error = store_meta_set_text(store, "retry_policy", attempt->options->retry_rules, failure);
  if (error == 0 && attempt->retry_exit)
    error = store_meta_set_number(store, "retry_exit", 1, failure);
  if (error == 0 && attempt->detach)
    error = store_meta_set_number(store, "detach", 1, failure);
  if (error == 0)
    error = store_meta_set_number(store, "replayable", attempt->options->replayable, failure);
  if (error == 0)
    error = run_outer_remember(store, &attempt->descriptors, attempt->tail.header, failure);
  if (error == 0)
    error = store_attempt_begin(store, attempt->number, attempt->first_seq, failure);
  if (error == 0)
    error = run_replication_remember(attempt, failure);
  if (error == 0)
    error = run_set_state(store, RUN_STATE_RUNNING, failure);
  if (error == 0)
    return store_commit(store, failure);
  store_rollback(store);
  return error;
}

static int make_files(struct run_attempt *attempt, struct failure *failure)
{
  struct run_beginning beginning = {.mode = TAIL_MODE_LIVE, .stream_next = 1};
  char path[PATH_MAX];
  unsigned ended;
  int error = run_lock_tree(&attempt->place, &attempt->lock, &ended, failure);

  if (error < 0)
    return error;
  run_place_path(&attempt->place, "run.db", path);
  error = store_create(path, attempt->sync, &attempt->store, failure);
  if (error < 0) {
    run_advise(failure, "free some space, or give another directory with --dir or PERDURE_DIR");
    return error;
  }
  error = run_place_folders(&attempt->place, failure);
  if (error < 0)
    return error;
  attempt->lock_number = run_spawn_lock_number(&attempt->recipe.limits, &attempt->descriptors);
  error = run_tail_make(attempt, &beginning, failure);
  if (error < 0)
    return error;
  return write_store(attempt, failure);
}

int run_prepare(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  const struct run_options *options = attempt->options;
  int error = run_recipe_take(options->argv, options->shim, &attempt->inherited.limits,
                              attempt->inherited.umask, &attempt->recipe, ret_status, failure);

  if (error < 0)
    return error;
  attempt->number = 1;
  attempt->first_seq = 1;
  attempt->sync = options->sync >= 0 ? (unsigned)options->sync : TAIL_SYNC_REMOTE;
  attempt->output = options->output >= 0 ? (enum run_output)options->output : RUN_OUTPUT_AUTO;
  attempt->idempotent = !options->not_idempotent;
  attempt->keyless = options->keyless;
  attempt->retry_exit = options->retry_exit;
  attempt->detach = options->detach;
  error = run_retry_load(attempt, options->retry, options->retry_rules, failure);
  if (error < 0)
    return error;
  attempt->descriptors = attempt->open_before;
  error = run_check_program(attempt, ret_status, failure);
  if (error < 0)
    return error;
  /* What is elsewhere first: it may be all that is left of a run, and then nothing begins. */
  error = run_replication_reset(attempt, failure);
  if (error < 0)
    return error;
  /* Not what is left of a finished run, and not the lock that its daemons still hold. */
  error = run_place_clear(&attempt->place, failure);
  if (error == 0)
    error = make_files(attempt, failure);
  if (error < 0) {
    struct failure ignored;

    store_close(attempt->store);
    attempt->store = NULL;
    run_place_clear(&attempt->place, &ignored);
    return error;
  }
  run_say(attempt, SAY_DETAIL, "run %s begins; its journal is in %s", attempt->place.id,
          attempt->place.directory);
  return 0;
}
