/* SPDX-License-Identifier: Apache-2.0 */
/* Going on with a run: what is left of the last attempt ends, its tail goes into the store, and the
 * journal says what the new attempt replays.
 *
 * A crash at any line is harmless: draining skips what the store has, looking changes nothing but an
 * append's surplus, feed and tail are replaced by rename, and the state moves in one transaction. */
#include "supervisor/failed_effect.h"
#include "supervisor/run_replication.h"

#include "journal/call_table.h"
#include "supervisor/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int run_drain_left(const struct run_place *place, struct store *store, enum run_state state, struct tail_file *ret_tail,
                   struct failure *failure)
{
  struct failure tail_failure;
  struct tail_file tail;
  char path[PATH_MAX];
  int error;

  run_place_path(place, "tail", path);
  error = tail_file_open(path, &tail, &tail_failure);
  /* An attempt whose end was written down had its tail drained before. */
  if (error < 0 && state != RUN_STATE_RUNNING)
    return 0;
  if (error == -ENOENT)
    return failure_set(failure, error, "the newest part of the journal is missing (%s): going on "
                       "without it could do things twice; restore it, or begin anew after "
                       "`perdure rm %s`", path, place->id);
  if (error < 0)
    return failure_set(failure, error, "%s", tail_failure.text);
  error = drain_once(&tail, store, true, NULL, failure);
  /* A new tail will take its place. */
  if (error == 0)
    error = store_sync(store, failure);
  if (error == 0)
    *ret_tail = tail;
  else
    tail_file_close(&tail);
  return error;
}

static int drain_old_tail(struct run_attempt *attempt, enum run_state state,
                          struct run_beginning *beginning, struct run_outer_before *before,
                          struct failure *failure)
{
  struct tail_file tail = {.fd = -1};
  int error = run_drain_left(&attempt->place, attempt->store, state, &tail, failure);

  if (error < 0 || tail.header == NULL)
    return error;
  attempt->noted_before = beginning->noted = atomic_load(&tail.header->noted);
  before->live = tail.header->mode == TAIL_MODE_LIVE || atomic_load(&tail.header->live) != 0;
  tail_file_close(&tail);
  return 0;
}

static void say_resuming(const struct run_attempt *attempt, const struct analysis_summary *summary)
{
  struct failure ignored;
  int64_t created_ns = 0;
  char when[64] = "";
  struct tm broken;
  time_t seconds;

  if (store_meta_number(attempt->store, "created_ns", &created_ns, &ignored) == 0) {
    seconds = created_ns / 1000000000;
    if (localtime_r(&seconds, &broken) != NULL)
      strftime(when, sizeof when, ", begun %F %T", &broken);
  }
  run_say(attempt, SAY_NOTICE, "resuming %s: %" PRIu64 " entries are done (attempt %u%s)",
          attempt->place.id, summary->entry_count, attempt->number, when);
}

/* May a change of unknown outcome be made again? The program's word stands above the command line's. */
static bool may_repeat(const struct run_attempt *attempt, const struct verdict *verdict)
{
  return verdict->idempotence == IDEMPOTENCE_UNSAID ? attempt->idempotent
                                                    : verdict->idempotence == IDEMPOTENCE_ON;
}

static void say_unknown(struct run_attempt *attempt, const struct verdict *verdict)
{
  const struct call_row *row = call_table_find(verdict->call);
  const char *id = attempt->place.id;
  bool request = verdict->call == CALL_ID_EXCHANGE;
  char line[1024] = "", response[256] = "";
  uint64_t seq = 0;

  if (run_report_entry(attempt->store, verdict->position, &seq, line, sizeof line) < 0)
    snprintf(line, sizeof line, "%s", row != NULL ? row->name : "?");
  if (request)
    snprintf(response, sizeof response, "`perdure resolve %s %" PRIu64 " --response FILE`, ", id, seq);
  run_say(attempt, SAY_ERROR, "run %s: nobody can tell whether entry %" PRIu64 " happened: it had begun "
          "and not ended: %s; look at the other side, then say what became of it: `perdure resolve %s %" PRIu64
          " --retry`, %sor `perdure resolve %s %" PRIu64 " --failed %s`", id, seq, line, id, seq, response, id,
          seq, request ? "CURLE_RECV_ERROR" : "ECONNRESET");
}

/* Remote changes that nobody can tell about: the run stays as it is. */
static int stop_unknown(struct run_attempt *attempt, const struct verdict *verdicts, size_t count, int *ret_status,
                        struct failure *failure)
{
  int error = run_set_state(attempt->store, RUN_STATE_UNKNOWN, failure);

  if (error < 0)
    return error;
  for (size_t i = 0; i < count; i++)
    if (verdicts[i].kind == VERDICT_UNKNOWN)
      say_unknown(attempt, &verdicts[i]);
  *ret_status = RUN_EXIT_UNKNOWN;
  return 0;
}

int run_feed_cursor(const char *path, uint64_t *ret_cursor, struct failure *failure)
{
  struct feed_header header;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : pread(fd, &header, sizeof header, 0);

  if (fd >= 0)
    close(fd);
  if (length != (ssize_t)sizeof header)
    return failure_set(failure, -EIO, "cannot read back %s: %s; look at that disk", path,
                       length < 0 ? strerror(errno) : "it is too short");
  *ret_cursor = header.entries_offset;
  return 0;
}

static int publish(struct run_attempt *attempt, struct analysis *analysis,
                   struct run_beginning *beginning, struct failure *failure)
{
  char feed[PATH_MAX], kept[PATH_MAX];
  int64_t began_ns = clock_ns(CLOCK_MONOTONIC);
  int error;

  run_place_path(&attempt->place, "feed", feed);
  run_place_path(&attempt->place, "kept", kept);
  error = recover_publish(analysis, attempt->store, beginning->verdicts, beginning->verdict_count, kept,
                          feed, &beginning->feed_size, failure);
  run_say(attempt, SAY_DETAIL, "run %s: the replay feed was written in %.1f ms", attempt->place.id,
          (double)(clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e6);
  return error < 0 ? error : run_feed_cursor(feed, &beginning->feed_cursor, failure);
}

/* Children that are over are not made again; what they have printed can only come again from them. */
static int skip_finished(const struct run_attempt *attempt, struct analysis *analysis,
                         const struct analysis_summary *summary, const struct run_outer_before *before,
                         struct failure *failure)
{
  struct tail_header *decided = calloc(1, sizeof *decided);
  bool again = false;
  int error;

  if (decided == NULL)
    return failure_set(failure, -ENOMEM, "cannot go on: out of memory; free some");
  error = run_outer_decide(decided, &attempt->descriptors, attempt->output, summary, before, failure);
  for (uint32_t i = 0; i < decided->outer_count; i++)
    again = again || decided->outer[i].output == TAIL_OUTPUT_AGAIN;
  free(decided);
  if (error == 0)
    analysis_skip_finished(analysis, again);
  return error;
}

static int write_store(struct run_attempt *attempt, struct failure *failure)
{
  enum run_state state;
  int error = store_begin(attempt->store, failure);

  if (error < 0)
    return error;
  error = run_get_state(attempt->store, &state, failure);
  /* Its supervisor did not live to say how it ended. */
  if (error == 0 && state == RUN_STATE_RUNNING)
    error = store_attempt_end(attempt->store, attempt->number - 1, "lost", 0, failure);
  if (error == 0)
    error = run_outer_remember(attempt->store, &attempt->descriptors, attempt->tail.header, failure);
  if (error == 0)
    error = store_meta_set_text(attempt->store, "output", run_output_name(attempt->output), failure);
  if (error == 0)
    error = store_attempt_begin(attempt->store, attempt->number, attempt->first_seq, failure);
  if (error == 0)
    error = run_regions_remember(attempt, failure);
  if (error == 0)
    error = run_replication_remember(attempt, failure);
  if (error == 0)
    error = run_set_state(attempt->store, RUN_STATE_RUNNING, failure);
  if (error == 0)
    return store_commit(attempt->store, failure);
  store_rollback(attempt->store);
  return error;
}

/* The verdicts are in: what the new attempt needs is made. */
static int begin_again(struct run_attempt *attempt, struct analysis *analysis,
                       const struct analysis_summary *summary, struct run_beginning *beginning,
                       const struct run_outer_before *before, struct failure *failure)
{
  uint64_t entry_count;
  int error = store_end(attempt->store, &beginning->base, &entry_count, failure);

  if (error < 0)
    return error;
  beginning->base = journal_padded(beginning->base);
  beginning->summary = summary;
  beginning->before = before;
  beginning->pid_seen = summary->pid_seen;
  beginning->stream_next = summary->stream_next > 0 ? summary->stream_next : 1;
  /* Killed before the program's image had begun: there is nothing to replay. */
  beginning->mode = summary->pid_seen == 0 ? TAIL_MODE_LIVE : TAIL_MODE_REPLAY;
  attempt->number = summary->attempt_count + 1;
  attempt->first_seq = entry_count + 1;
  attempt->exited_before = summary->exited;
  attempt->descriptors = attempt->open_before;
  if (beginning->mode == TAIL_MODE_REPLAY) {
    error = run_outer_align(&attempt->descriptors, before, failure);
    if (error == 0)
      error = skip_finished(attempt, analysis, summary, before, failure);
    if (error == 0)
      error = publish(attempt, analysis, beginning, failure);
    if (error == 0)
      error = run_outer_skip_input(&attempt->descriptors, summary, before, failure);
    if (error < 0)
      return error;
  }
  attempt->lock_number = run_spawn_lock_number(&attempt->recipe.limits, &attempt->descriptors);
  error = run_tail_make(attempt, beginning, failure);
  if (error == 0 && beginning->mode == TAIL_MODE_REPLAY)
    run_outer_place_output(&attempt->descriptors, attempt->tail.header, summary);
  if (error == 0)
    error = write_store(attempt, failure);
  if (error == 0)
    say_resuming(attempt, summary);
  if (error == 0)
    run_skipped_say(attempt, analysis);
  return error;
}

static int go_back_to_program(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  int error;

  if (chdir(attempt->recipe.cwd) < 0)
    return failure_set(failure, -errno, "cannot go to the run's working directory %s: %s; put it back",
                       attempt->recipe.cwd, strerror(errno));
  error = run_check_program(attempt, ret_status, failure);
  if (error == 0 && !run_recipe_program_same(&attempt->recipe, attempt->store))
    run_say(attempt, SAY_NOTICE, "%s has changed since run %s began; going on as long as it does the "
            "same", attempt->recipe.program, attempt->place.id);
  return error;
}

/* Has the run exited with a failure that is to be tried again? */
static int reconsider(struct run_attempt *attempt, const struct analysis *analysis,
                      const struct analysis_summary *summary, struct failed_effect *ret_failed, struct failure *failure)
{
  bool by_hand = attempt->options->from_failure, over = summary->exited && !summary->running_count;
  struct analysis *left = NULL;
  int error = 0;

  *ret_failed = (struct failed_effect){.why = "it has not ended"};
  if (over && (by_hand || run_retry_wants_exit(attempt, summary->exit_status)))
    error = run_failure_find(attempt, analysis, by_hand, ret_failed, &left, failure);
  analysis_free(left);
  if (error < 0 || !by_hand || ret_failed->kind != FAILED_NOTHING)
    return error;
  return failure_set(failure, -EINVAL, "there is nothing in run %s to go back to: %s; %s `perdure %s %s`", attempt->place.id,
                     ret_failed->why, over ? "look at" : "go on with it by", over ? "log" : "resume", attempt->place.id);
}

/* Nobody of an earlier attempt lives, and the whole journal is in the store. */
static int recover(struct run_attempt *attempt, struct run_beginning *beginning,
                   const struct run_outer_before *before, bool *ret_over, int *ret_status,
                   struct failure *failure)
{
  struct analysis_summary summary;
  struct verdict *verdicts = NULL;
  struct failed_effect failed;
  struct analysis *analysis;
  size_t count = 0;
  int64_t began_ns = clock_ns(CLOCK_MONOTONIC);
  int error = run_analyse(attempt->store, &analysis, failure);

  if (error < 0)
    return error;
  analysis_summary(analysis, &summary);
  run_say(attempt, SAY_DETAIL, "run %s: %" PRIu64 " entries were verified and analysed in %.1f ms", attempt->place.id,
          summary.entry_count, (double)(clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e6);
  if (summary.beginning_lost) {
    analysis_free(analysis);
    return failure_set(failure, -EBADMSG, "the journal of run %s is damaged: the entry with which its program "
                       "began is missing; restore it from a copy, or give the run up with `perdure rm`",
                       attempt->place.id);
  }
  error = reconsider(attempt, analysis, &summary, &failed, failure);
  if (error < 0) {
    analysis_free(analysis);
    return error;
  }
  if (failed.kind == FAILED_NOTHING && summary.exited && !summary.running_count &&
      !run_outer_output_missing(&attempt->open_before, attempt->output, &summary, before)) {
    *ret_over = true;
    *ret_status = summary.exit_status;
    error = run_finish(attempt, summary.exit_status, failure);
    if (error == 0)
      run_say(attempt, SAY_NOTICE, "run %s had finished with status %d when it was killed; nothing is "
              "left to do", attempt->place.id, summary.exit_status);
    analysis_free(analysis);
    return error;
  }
  error = go_back_to_program(attempt, ret_status, failure);
  if (error == 0)
    error = run_regions_undo(attempt, &analysis, failure);
  if (error == 0 && failed.kind != FAILED_NOTHING)
    error = run_failure_forget(attempt, &failed, &analysis, failure);
  if (error < 0 && analysis == NULL)
    return error;
  analysis_summary(analysis, &summary);
  if (error == 0)
    error = recover_look(analysis, &world_real, &verdicts, &count, failure);
  for (size_t i = 0; error == 0 && i < count; i++)
    if (verdicts[i].kind == VERDICT_UNKNOWN && may_repeat(attempt, &verdicts[i]))
      verdicts[i].kind = VERDICT_REPEAT;
    else if (verdicts[i].kind == VERDICT_UNKNOWN)
      *ret_over = true;
  if (*ret_over)
    error = stop_unknown(attempt, verdicts, count, ret_status, failure);
  beginning->verdicts = verdicts;
  beginning->verdict_count = count;
  if (error == 0 && !*ret_over)
    error = begin_again(attempt, analysis, &summary, beginning, before, failure);
  free(verdicts);
  analysis_free(analysis);
  return error;
}

/* *ret_text: NULL where nothing is recorded; else for the caller to free. */
static int load_recorded(struct store *store, const char *key, char **ret_text, struct failure *failure)
{
  struct failure missing;
  int error = store_meta_text(store, key, ret_text, &missing);

  if (error < 0)
    *ret_text = NULL;
  return error < 0 && error != -ENOENT ? failure_set(failure, error, "%s", missing.text) : 0;
}

/* Given with this command, or recorded when the run began. */
static int load_retry(struct run_attempt *attempt, struct failure *failure)
{
  const struct run_options *options = attempt->options;
  char *policy = NULL, *rules = NULL;
  int error = load_recorded(attempt->store, "retry", &policy, failure);

  if (error == 0)
    error = load_recorded(attempt->store, "retry_policy", &rules, failure);
  if (error == 0)
    error = run_retry_load(attempt, options->retry != NULL ? options->retry : policy,
                           options->retry_rules != NULL ? options->retry_rules : rules, failure);
  free(policy);
  free(rules);
  return error;
}

static int load_settings(struct run_attempt *attempt, struct failure *failure)
{
  const struct run_options *options = attempt->options;
  char *output = NULL;
  int64_t sync;
  int error = store_meta_number(attempt->store, "sync", &sync, failure);

  if (error == 0)
    error = store_meta_text(attempt->store, "output", &output, failure);
  if (error < 0)
    return error;
  attempt->sync = options->sync >= 0 ? (unsigned)options->sync : (unsigned)sync;
  error = store_set_sync(attempt->store, attempt->sync, failure);
  if (error < 0) {
    free(output);
    return error;
  }
  attempt->output = options->output >= 0             ? (enum run_output)options->output
                    : run_output_named(output) >= 0 ? (enum run_output)run_output_named(output)
                                                     : RUN_OUTPUT_AUTO;
  free(output);
  int64_t idempotent = 1;
  error = store_meta_number(attempt->store, "idempotent", &idempotent, failure);
  attempt->idempotent = idempotent && !options->not_idempotent;
  int64_t keyless = 0, retry_exit = 0, detach = 0;
  if (error == 0 || error == -ENOENT)
    error = store_meta_number(attempt->store, "keyless", &keyless, failure);
  attempt->keyless = keyless;
  if (error == 0 || error == -ENOENT)
    error = store_meta_number(attempt->store, "retry_exit", &retry_exit, failure);
  attempt->retry_exit = retry_exit || options->retry_exit;
  if (error == 0 || error == -ENOENT)
    error = store_meta_number(attempt->store, "detach", &detach, failure);
  attempt->detach = detach || options->detach;
  return error == 0 || error == -ENOENT ? load_retry(attempt, failure) : error;
}

static int load_recipe(struct run_attempt *attempt, struct failure *failure)
{
  int error = run_recipe_load(attempt->store, &attempt->recipe, failure);

  if (error < 0)
    return error;
  if (access(attempt->recipe.shim, R_OK) < 0 && access(attempt->options->shim, R_OK) == 0) {
    char *shim = strdup(attempt->options->shim);

    run_say(attempt, SAY_NOTICE, "perdure's shim is no longer in %s; going on with %s",
            attempt->recipe.shim, attempt->options->shim);
    if (shim != NULL) {
      free(attempt->recipe.shim);
      attempt->recipe.shim = shim;
    }
  }
  return load_settings(attempt, failure);
}

int run_resume(struct run_attempt *attempt, bool *ret_over, int *ret_status, struct failure *failure)
{
  struct run_beginning beginning = {0};
  struct run_outer_before before = {0};
  enum run_state state;
  unsigned ended;
  int error = run_get_state(attempt->store, &state, failure);

  *ret_over = false;
  *ret_status = RUN_EXIT_FAILED;
  if (error == 0)
    error = load_recipe(attempt, failure);
  if (error == 0)
    error = run_lock_tree(&attempt->place, &attempt->lock, &ended, failure);
  if (error < 0)
    return error;
  if (ended > 0)
    run_say(attempt, SAY_NOTICE, "ended %u process%s that an earlier attempt of run %s had left", ended,
            ended == 1 ? "" : "es", attempt->place.id);
  error = run_outer_recall(attempt->store, &before, failure);
  if (error == 0)
    error = drain_old_tail(attempt, state, &beginning, &before, failure);
  if (error == 0)
    error = run_replication_reconcile(attempt, failure);
  if (error < 0)
    return error;
  return recover(attempt, &beginning, &before, ret_over, ret_status, failure);
}
