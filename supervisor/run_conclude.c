/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attempt: what it says about the run, written down in one transaction.
 *
 * A crash before the transaction leaves a run whose last attempt was killed; the next one finds its
 * EXIT, if there is one, in the journal. After it, what is left lying in the run's directory is
 * removed the next time. */
#include "supervisor/failed_effect.h"
#include "supervisor/run_attempt.h"
#include "supervisor/run_interrupt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many of the newest entries are looked at for the program's EXIT: after it only other threads'
 * last words can come. */
#define EXIT_WITHIN 4096

int run_set_state(struct store *store, enum run_state state, struct failure *failure)
{
  return store_meta_set_text(store, "state", run_state_name(state), failure);
}

int run_get_state(struct store *store, enum run_state *ret_state, struct failure *failure)
{
  char *name;
  int state, error = store_meta_text(store, "state", &name, failure);

  if (error < 0)
    return error;
  state = run_state_named(name);
  if (state < 0)
    error = failure_set(failure, -EBADMSG, "the store says that the run is '%.40s', which this perdure "
                        "does not know; use the perdure that wrote it", name);
  free(name);
  if (error < 0)
    return error;
  *ret_state = (enum run_state)state;
  return 0;
}

/* Kill points that the attempt has passed. */
static uint64_t crash_points(struct tail_header *header)
{
  uint64_t points = atomic_load(&header->crash_points);
  for (uint32_t i = 0; i < TAIL_PROCESS_MAX && i < atomic_load(&header->process_end); i++)
    points += atomic_load(&header->processes[i].crash_points);
  return points;
}

static int write_end(struct run_attempt *attempt, enum run_state state, const char *ended, int status,
                     struct failure *failure)
{
  struct store *store = attempt->store;
  int error = store_begin(store, failure);

  if (error < 0)
    return error;
  error = run_set_state(store, state, failure);
  if (error == 0 && state == RUN_STATE_FINISHED)
    error = store_meta_set_number(store, "exit_status", status, failure);
  if (error == 0 && attempt->number > 0)
    error = store_attempt_end(store, attempt->number, ended, status, failure);
  /* `perdure check` asks an undisturbed run where it could have been killed. */
  if (error == 0 && attempt->tail.header != NULL)
    error = store_meta_set_number(store, "crash_points",
                                  (int64_t)crash_points(attempt->tail.header), failure);
  if (error == 0) {
    error = store_commit(store, failure);
    return error == 0 ? store_sync(store, failure) : error;
  }
  store_rollback(store);
  return error;
}

int run_get_replayable(struct store *store, bool *ret_replayable, struct failure *failure)
{
  int64_t replayable = 0;
  int error = store_meta_number(store, "replayable", &replayable, failure);

  if (error < 0 && error != -ENOENT)
    return error;
  *ret_replayable = replayable != 0;
  return 0;
}

/* What failed may be tried again (run_failure.c), and needs the same. */
static int get_repeatable(struct store *store, bool *ret_repeatable, struct failure *failure)
{
  int64_t status = 0;
  int error = store_meta_number(store, "exit_status", &status, failure);

  if (error < 0 && error != -ENOENT)
    return error;
  *ret_repeatable = status != 0;
  return 0;
}

int run_tidy(struct run_attempt *attempt, struct failure *failure)
{
  bool replayable = false, repeatable = false;
  int error = run_get_replayable(attempt->store, &replayable, failure);

  if (error == 0)
    error = get_repeatable(attempt->store, &repeatable, failure);
  return error < 0 ? error : run_place_tidy(&attempt->place, replayable || repeatable, failure);
}

int run_finish(struct run_attempt *attempt, int exit_status, struct failure *failure)
{
  int error = write_end(attempt, RUN_STATE_FINISHED, "exited", exit_status, failure);

  if (error < 0)
    return error;
  if (attempt->tail.header != NULL) {
    tail_file_close(&attempt->tail);
    attempt->tail = (struct tail_file){.fd = -1};
  }
  return run_tidy(attempt, failure);
}

#define ANY_STREAM UINT32_MAX

/* Is there an EXIT of `stream` among this attempt's last entries? */
static int find_exit(struct run_attempt *attempt, uint32_t stream, bool *ret_found, int *ret_status,
                     struct failure *failure)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  uint64_t position, count, seq;
  int error = store_end(attempt->store, &position, &count, failure);

  *ret_found = false;
  if (error < 0 || count < attempt->first_seq)
    return error;
  seq = count > EXIT_WITHIN ? count - EXIT_WITHIN + 1 : 1;
  if (seq < attempt->first_seq)
    seq = attempt->first_seq;
  error = store_cursor_open(attempt->store, seq, &cursor, failure);
  if (error < 0)
    return error;
  while ((error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry != NULL)
    if (entry->kind == JOURNAL_EXIT && (stream == ANY_STREAM || entry->stream == stream)) {
      *ret_found = true;
      *ret_status = (int)entry->result & 0xff;
    }
  store_cursor_close(cursor);
  return error;
}

/* The stream of the program's first thread: its START is the first of all. */
static int first_stream(struct run_attempt *attempt, uint32_t *ret_stream, struct failure *failure)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  uint64_t seq;
  int error = store_cursor_open(attempt->store, 1, &cursor, failure);

  if (error < 0)
    return error;
  while ((error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry != NULL)
    if (entry->kind == JOURNAL_START)
      break;
  if (error == 0)
    *ret_stream = entry != NULL ? entry->stream : 0;
  store_cursor_close(cursor);
  return error;
}

static void say_notes(const struct run_attempt *attempt, uint32_t noted)
{
  static const struct { uint32_t bit; const char *text; } notes[] = {
    {TAIL_NOTED_SPINNING, "a signal came while the program made no calls: a resumed run handles it at the next one"},
    {TAIL_NOTED_SHARED_MAPPING, "a file is mapped shared and writable: what other processes change "
                                "in it is not journaled"},
    {TAIL_NOTED_ANSWER, "a request that was sent again was answered otherwise than before: the program "
                        "has seen a broken connection"},
  };

  for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
    if ((noted & notes[i].bit) != 0)
      run_say(attempt, SAY_NOTICE, "run %s: %s", attempt->place.id, notes[i].text);
}

static int conclude_report(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  const struct tail_report *report = &attempt->tail.header->report;
  int status = run_report_say(attempt, report), error;
  enum run_state state = status == RUN_EXIT_DIVERGED  ? RUN_STATE_DIVERGED
                         : status == RUN_EXIT_UNKNOWN ? RUN_STATE_UNKNOWN
                                                      : RUN_STATE_FAILED;

  *ret_status = status;
  error = run_lock_end_tree(&attempt->place, &attempt->lock, failure);
  if (error < 0)
    return error;
  return write_end(attempt, state, run_state_name(state), status, failure);
}

/* Why there is no further attempt, as the end of a clause. */
static const char *end_of_retries(const struct run_retry *retry, char *text, size_t size)
{
  char spent[RETRY_DURATION_SIZE], total[RETRY_DURATION_SIZE];

  retry_duration_text(retry->spent_ns, spent);
  retry_duration_text(retry->total_ns, total);
  if (retry->name != NULL)
    snprintf(text, size, ", the %u. time at this place: policy %s ends there", retry->failures, retry->name);
  else if (retry->failures > 0 && retry->failures < retry->max_attempts)
    snprintf(text, size, ", %s after it first did so at this place: the next attempt would begin after %s", spent, total);
  else if (retry->failures > 1)
    snprintf(text, size, ", the %u. time at this place", retry->failures);
  else
    text[0] = '\0';
  return text;
}

/* begin: how the attempt has ended; advice: what a person may do where no other follows. */
static void say_decision(const struct run_attempt *attempt, const char *begin, const char *advice)
{
  const struct run_retry *retry = &attempt->retry;
  char delay[RETRY_DURATION_SIZE], why[160];

  retry_duration_text(retry->delay_ns, delay);
  if (!retry->again)
    run_say(attempt, SAY_NOTICE, "%s%s; %s", begin, end_of_retries(retry, why, sizeof why), advice);
  else if (retry->name != NULL)
    run_say(attempt, SAY_NOTICE, "%s; attempt %u at this place, by policy %s, begins in %s", begin, retry->failures + 1,
            retry->name, delay);
  else
    run_say(attempt, SAY_NOTICE, "%s; attempt %u of %u at this place begins in %s", begin, retry->failures + 1,
            retry->max_attempts, delay);
}

/* A program that was killed is tried again from where it was. */
static int decide_killed(struct run_attempt *attempt, int signal, struct failure *failure)
{
  struct analysis *analysis;
  int error = run_retry_is_failure(signal) ? run_analyse(attempt->store, &analysis, failure) : 1;

  attempt->retry.again = false;
  if (error != 0) {
    attempt->retry.failures = 0; /* it is none */
    attempt->retry.name = NULL;
    return error < 0 ? error : 0;
  }
  error = run_retry_decide(attempt, analysis, signal, 0, failure);
  analysis_free(analysis);
  return error;
}

static int conclude_killed(struct run_attempt *attempt, int signal, int *ret_status,
                           struct failure *failure)
{
  char begin[256];
  uint64_t position, count;
  uint32_t stream;
  bool found;
  int status, error = first_stream(attempt, &stream, failure);

  if (error == 0)
    error = find_exit(attempt, stream, &found, &status, failure);
  if (error == 0 && found) {
    /* It was on its way out: all that it does has been done. */
    *ret_status = status;
    return run_finish(attempt, status, failure);
  }
  if (error == 0)
    error = store_end(attempt->store, &position, &count, failure);
  if (error == 0)
    error = write_end(attempt, RUN_STATE_UNFINISHED, "killed", signal, failure);
  if (error < 0)
    return error;
  *ret_status = 128 + signal;
  error = decide_killed(attempt, signal, failure);
  if (error < 0)
    return error;
  snprintf(begin, sizeof begin, "run %s was killed by signal %d (%s) after %" PRIu64 " entries", attempt->place.id,
           signal, strsignal(signal), count);
  say_decision(attempt, begin, "the same command goes on with it");
  return 0;
}

/* Somebody asked for it. A program that had ended, with all that it started, has finished all the same. */
static int conclude_interrupted(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  struct analysis_summary summary;
  int error = run_summarize(attempt->store, &summary, failure);

  if (error < 0)
    return error;
  if (summary.exited && summary.running_count == 0) {
    *ret_status = summary.exit_status;
    return run_finish(attempt, summary.exit_status, failure);
  }
  error = write_end(attempt, RUN_STATE_UNFINISHED, RUN_INTERRUPTED, 0, failure);
  if (error < 0)
    return error;
  *ret_status = RUN_INTERRUPTED_STATUS;
  run_say(attempt, SAY_NOTICE, "run %s was interrupted after %" PRIu64 " entries; the same command goes on with it",
          attempt->place.id, summary.entry_count);
  return 0;
}

/* The loader did not get as far as the program: a library is missing, or cannot be used. Nothing has been done,
 * and nothing is finished. */
static int conclude_not_begun(struct run_attempt *attempt, int status, int *ret_status, struct failure *failure)
{
  int error = write_end(attempt, RUN_STATE_UNFINISHED, "exited", status, failure);

  if (error < 0)
    return error;
  *ret_status = status;
  run_say(attempt, SAY_ERROR, "run %s: the program's loader ended it with status %d before it began; nothing was "
          "done; put right what the loader says, and run the same command again", attempt->place.id, status);
  return 0;
}

/* With --retry-exit: is what failed to be tried again? */
static int decide_exited(struct run_attempt *attempt, int status, struct failure *failure)
{
  struct analysis *analysis, *left = NULL;
  char begin[RUN_FAILURE_TEXT_SIZE + 256], text[RUN_FAILURE_TEXT_SIZE], advice[RUN_ID_SIZE + 64];
  struct failed_effect failed;
  int error = run_analyse(attempt->store, &analysis, failure);

  if (error < 0)
    return error;
  error = run_failure_find(attempt, analysis, false, &failed, &left, failure);
  if (error == 0 && left != NULL)
    error = run_retry_decide(attempt, left, 0, status, failure);
  analysis_free(analysis);
  analysis_free(left);
  if (error < 0)
    return error;
  snprintf(begin, sizeof begin, "run %s ended with status %d", attempt->place.id, status);
  if (failed.kind == FAILED_NOTHING) {
    run_say(attempt, SAY_NOTICE, "%s, and is not tried again: %s", begin, failed.why);
    return 0;
  }
  run_failure_text(attempt, &failed, text);
  snprintf(begin + strlen(begin), sizeof begin - strlen(begin), ": %s failed", text);
  snprintf(advice, sizeof advice, "`perdure resume --from-failure %s` tries it again", attempt->place.id);
  say_decision(attempt, begin, advice);
  return 0;
}

/* How much of their journal there is is chance: nobody replays it any more. */
static int remember_left(struct run_attempt *attempt, struct failure *failure)
{
  int error = store_meta_set_number(attempt->store, "left", 1, failure);

  if (error == 0)
    run_say(attempt, SAY_NOTICE, "run %s has ended, and processes that it has started live on by themselves", attempt->place.id);
  return error;
}

static int conclude_exited(struct run_attempt *attempt, int status, int *ret_status,
                           struct failure *failure)
{
  bool found;
  int recorded, error = find_exit(attempt, ANY_STREAM, &found, &recorded, failure);

  if (error < 0)
    return error;
  *ret_status = status;
  if (!found && !attempt->exited_before)
    run_say(attempt, SAY_ERROR, "run %s ended where perdure could not see it: the program was replaced "
            "by one that cannot be preloaded; what that did is not journaled; run that one by itself",
            attempt->place.id);
  attempt->retry.again = false;
  if (run_retry_wants_exit(attempt, status))
    error = decide_exited(attempt, status, failure);
  if (error < 0)
    return error;
  return attempt->retry.again ? write_end(attempt, RUN_STATE_UNFINISHED, "exited", status, failure)
                              : run_finish(attempt, status, failure);
}

int run_fail_unstored(const struct run_attempt *attempt, int error, const struct failure *why, int *ret_status,
                      struct failure *failure)
{
  *ret_status = RUN_EXIT_FAILED;
  return failure_set(failure, error, "run %s has ended, and the newest part of its journal cannot be stored: %.800s; it is kept; "
                     "put that right, and run the same command again", attempt->place.id, why->text);
}

int run_conclude(struct run_attempt *attempt, const struct run_end *end, int *ret_status,
                 struct failure *failure)
{
  struct tail_header *header = attempt->tail.header;

  say_notes(attempt, atomic_load(&header->noted) & ~attempt->noted_before);
  if (atomic_load(&header->report.code) != TAIL_REPORT_NONE)
    return conclude_report(attempt, ret_status, failure);
  if (end->interrupted)
    return conclude_interrupted(attempt, ret_status, failure);
  if (end->killed)
    return conclude_killed(attempt, end->status, ret_status, failure);
  if (!header->started)
    return conclude_not_begun(attempt, end->status, ret_status, failure);
  if (end->left) {
    int error = remember_left(attempt, failure);
    if (error < 0)
      return error;
  }
  int error = conclude_exited(attempt, end->status, ret_status, failure);
  if (error < 0) {
    struct failure why = *failure;

    return run_fail_unstored(attempt, error, &why, ret_status, failure);
  }
  return 0;
}
