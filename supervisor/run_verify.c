/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a finished run, and only replays it: every call of the program must come again as it is in
 * the journal, and none runs for real.
 *
 * The program needs the same environment as then, so tail and feed lie where they lay; they are
 * removed at the end. A crash leaves them, and the run is finished all the same: nobody reads the
 * tail of a finished run, and the next command that touches it removes them. */
#include "supervisor/run_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_finished(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  enum run_state state;
  char path[PATH_MAX];
  int64_t status, left;
  struct failure missing;
  int error;

  run_place_path(&attempt->place, "run.db", path);
  error = store_open(path, true, &attempt->store, failure);
  if (error == 0)
    error = run_get_state(attempt->store, &state, failure);
  if (error < 0)
    return error;
  if (state != RUN_STATE_FINISHED)
    return failure_set(failure, -EINVAL, "run %s is %s: only a finished run can be replayed whole; "
                       "`perdure resume %s` goes on with it", attempt->place.id,
                       run_state_name(state), attempt->place.id);
  error = store_meta_number(attempt->store, "left", &left, &missing);
  if (error == 0 && left)
    return failure_set(failure, -EINVAL, "run %s has left processes that live on (--detach): its journal ends in the middle of "
                       "what they do, and cannot be replayed whole; `perdure verify %s` checks it", attempt->place.id,
                       attempt->place.id);
  error = store_meta_number(attempt->store, "exit_status", &status, failure);
  if (error == 0)
    error = run_recipe_load(attempt->store, &attempt->recipe, failure);
  if (error < 0)
    return error;
  *ret_status = (int)status;
  if (chdir(attempt->recipe.cwd) < 0)
    return failure_set(failure, -errno, "cannot go to the run's working directory %s: %s; put it back",
                       attempt->recipe.cwd, strerror(errno));
  return 0;
}

static int make_feed(struct run_attempt *attempt, struct run_beginning *beginning,
                     struct analysis_summary *ret_summary, struct failure *failure)
{
  char feed[PATH_MAX], kept[PATH_MAX];
  struct analysis *analysis;
  int error = run_analyse(attempt->store, &analysis, failure);

  if (error < 0)
    return error;
  analysis_summary(analysis, ret_summary);
  run_place_path(&attempt->place, "feed", feed);
  run_place_path(&attempt->place, RUN_KEPT_WHOLE, kept);
  if (access(kept, F_OK) < 0)
    run_place_path(&attempt->place, "kept", kept);
  error = recover_publish(analysis, attempt->store, NULL, 0, kept, feed, &beginning->feed_size, failure);
  if (error == 0)
    error = run_feed_cursor(feed, &beginning->feed_cursor, failure);
  analysis_free(analysis);
  return error;
}

static int prepare(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  struct run_outer_before before;
  struct run_beginning beginning = {.mode = TAIL_MODE_VERIFY, .before = &before};
  struct analysis_summary summary;
  uint64_t entry_count;
  int error = make_feed(attempt, &beginning, &summary, failure);

  if (error == 0)
    error = store_end(attempt->store, &beginning.base, &entry_count, failure);
  if (error == 0)
    error = run_outer_recall(attempt->store, &before, failure);
  if (error == 0)
    error = run_check_program(attempt, ret_status, failure);
  if (error < 0)
    return error;
  beginning.base = journal_padded(beginning.base);
  beginning.summary = &summary;
  beginning.stream_next = summary.stream_next;
  beginning.pid_seen = summary.pid_seen;
  attempt->number = summary.attempt_count;
  attempt->sync = TAIL_SYNC_NONE;
  attempt->output = RUN_OUTPUT_ONCE;
  attempt->descriptors = attempt->open_before;
  error = run_outer_align(&attempt->descriptors, &before, failure);
  if (error < 0)
    return error;
  attempt->lock_number = run_spawn_lock_number(&attempt->recipe.limits, &attempt->descriptors);
  /* A lock of its own: the run's may be held by daemons that it started, rightly. */
  attempt->lock.tree_fd = memfd_create("perdure-verify", MFD_CLOEXEC);
  if (attempt->lock.tree_fd < 0)
    return failure_set(failure, -errno, "cannot make a memfd: %s; `perdure doctor` says what this "
                       "machine allows", strerror(errno));
  return run_tail_make(attempt, &beginning, failure);
}

/* What was kept of files that the run changed is gone with its end, unless it was asked for. */
static void say_kept(struct run_attempt *attempt)
{
  uint32_t code = atomic_load(&attempt->tail.header->report.code);
  struct failure ignored;
  bool replayable;

  if ((code == TAIL_REPORT_INPUT || code == TAIL_REPORT_FAILED) &&
      run_get_replayable(attempt->store, &replayable, &ignored) == 0 && !replayable)
    run_say(attempt, SAY_ERROR, "run %s: what it had read and then changed was kept until its end only; `perdure "
            "run --replayable` keeps it longer", attempt->place.id);
}

static bool judge(struct run_attempt *attempt, const struct run_end *end, int status)
{
  struct tail_header *header = attempt->tail.header;

  if (atomic_load(&header->report.code) != TAIL_REPORT_NONE) {
    run_report_say(attempt, &header->report);
    say_kept(attempt);
    return false;
  }
  if (end->killed || end->status != status) {
    run_say(attempt, SAY_ERROR, "run %s: recorded is exit status %d, and the replay %s %d",
            attempt->place.id, status, end->killed ? "was killed by signal" : "ended with",
            end->status);
    return false;
  }
  if (atomic_load(&header->head) != header->base) {
    run_say(attempt, SAY_ERROR, "run %s: the replay made entries of its own", attempt->place.id);
    return false;
  }
  return true;
}

int run_verify_replay(const struct run_options *options, bool *ret_same, struct failure *failure)
{
  struct run_attempt *attempt = malloc(sizeof *attempt);
  struct failure tidy_failure;
  struct run_end end;
  int status = 0, ignored_status, error;

  if (attempt == NULL)
    return failure_set(failure, -ENOMEM, "cannot start: out of memory; free some");
  error = run_attempt_open(attempt, options, failure);
  if (error == 0)
    error = open_finished(attempt, &status, failure);
  if (error == 0) {
    error = prepare(attempt, &ignored_status, failure);
    if (error == 0)
      error = run_attempt_run(attempt, false, &end, &ignored_status, failure);
    if (error == 0)
      *ret_same = judge(attempt, &end, status);
    run_tidy(attempt, &tidy_failure);
  }
  run_attempt_release(attempt);
  free(attempt);
  return error;
}
