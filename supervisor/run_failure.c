/* SPDX-License-Identifier: Apache-2.0 */
/* A run that has exited with a status other than 0 is tried again from what failed: that, and what followed it in all
 * streams, is forgotten: left out of every later attempt, and kept in the journal. What it did to files stays, as it does when a
 * person runs a command again.
 *
 * Writes nothing itself: the range goes into the store with the attempt that follows (run_regions.c), so that a crash before
 * leaves a run that has exited. */
#include "supervisor/failed_effect.h"
#include "supervisor/run_attempt.h"
#include "supervisor/secrets.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

bool run_failure_was_ended(int status)
{
  return status > 128 && !run_retry_is_failure(status - 128);
}

/* ---- finding it ---- */

typedef void search_step(struct failed_search *search, const struct journal_entry *entry);

static int walk(struct store *store, const struct analysis *analysis, struct failed_search *search, search_step *visit,
                struct failure *failure)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  uint64_t seq;
  int error = store_cursor_open(store, 1, &cursor, failure);

  if (error < 0)
    return error;
  store_cursor_trust(cursor); /* the analysis has read them all */
  while ((error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry != NULL)
    if (!analysis_skips(analysis, entry->position))
      visit(search, entry);
  store_cursor_close(cursor);
  return error;
}

static int search(struct store *store, const struct analysis *analysis, struct failed_effect *ret_failed,
                  struct failure *failure)
{
  struct failed_search *search;
  const struct failed_effect *failed;
  int error = failed_search_create(analysis, &search);

  if (error < 0)
    return failure_set(failure, error, "cannot look for what failed: out of memory; free some");
  error = walk(store, analysis, search, failed_search_add, failure);
  failed = failed_search_end(search);
  if (error == 0 && failed->kind != FAILED_NOTHING)
    error = walk(store, analysis, search, failed_search_weigh, failure);
  if (error == 0)
    *ret_failed = *failed;
  failed_search_free(search);
  return error;
}

static struct run_range range_of(const struct failed_effect *failed, uint64_t end)
{
  return (struct run_range){.begin = failed->position - 1, .end = end, .forgotten = true};
}

/* A region that has ended stays ended; one that is open at the end is taken back, and runs again itself. */
static bool cuts_region(const struct analysis *analysis, const struct analysis *left)
{
  uint64_t now, then;

  return analysis_open_region(left, &then) && (!analysis_open_region(analysis, &now) || now != then);
}

/* Why it is not done unasked; NULL: it is. */
static const char *objection(const struct run_attempt *attempt, const struct failed_effect *failed,
                             const struct analysis *left)
{
  bool again = attempt->idempotent;

  if (failed->other_changes > 0)
    return "others have made remote changes since, which would be made twice";
  again = analysis_repeats(left, failed->stream, again);
  if (!again && failed->own_changes > 0)
    return "it had begun remote changes, and is not to repeat any";
  return NULL;
}

int run_failure_find(struct run_attempt *attempt, const struct analysis *analysis, bool by_hand,
                     struct failed_effect *ret_failed, struct analysis **ret_left, struct failure *failure)
{
  struct failed_effect failed = {0};
  struct analysis *left = NULL;
  struct run_range range;
  uint64_t end, count;
  int error = search(attempt->store, analysis, &failed, failure);

  if (error == 0)
    error = store_end(attempt->store, &end, &count, failure);
  if (error < 0)
    return error;
  if (failed.kind != FAILED_NOTHING) {
    range = range_of(&failed, end);
    error = run_analyse_without(attempt->store, &range, 1, &left, failure);
    if (error < 0)
      return error;
    failed.why = cuts_region(analysis, left) ? "what failed lies in an atomic region that has ended, and stays done"
                 : by_hand                   ? NULL
                                             : objection(attempt, &failed, left);
    if (failed.why != NULL) {
      failed.kind = FAILED_NOTHING;
      analysis_free(left);
      left = NULL;
    }
  }
  *ret_failed = failed;
  *ret_left = left;
  return 0;
}

/* ---- saying it ---- */

void run_failure_text(struct run_attempt *attempt, const struct failed_effect *failed, char ret_text[RUN_FAILURE_TEXT_SIZE])
{
  char line[512] = "", words[sizeof failed->words];
  uint64_t seq;

  if (failed->kind == FAILED_COMMAND) {
    strcpy(words, failed->words);
    secrets_hide(words, strlen(words));
    snprintf(ret_text, RUN_FAILURE_TEXT_SIZE, "%s%s (status %" PRId64 ")", words[0] != '\0' ? "the command " : "a subshell",
             words, failed->status);
    return;
  }
  if (run_report_entry(attempt->store, failed->position, &seq, line, sizeof line) < 0)
    strcpy(line, "?");
  line[strcspn(line, "[")] = '\0'; /* what log says of an intent */
  while (line[0] != '\0' && line[strlen(line) - 1] == ' ')
    line[strlen(line) - 1] = '\0';
  if (failed->kind == FAILED_EXCHANGE && failed->answered)
    snprintf(ret_text, RUN_FAILURE_TEXT_SIZE, "the request %s (answered with %" PRId64 ")", line, failed->status);
  else if (failed->kind == FAILED_EXCHANGE)
    snprintf(ret_text, RUN_FAILURE_TEXT_SIZE, "the request %s (libcurl's code %" PRId64 ")", line, failed->status);
  else
    snprintf(ret_text, RUN_FAILURE_TEXT_SIZE, "the connection %s (%s)", line, strerror((int)failed->status));
}

static void say_forgotten(struct run_attempt *attempt, const struct failed_effect *failed)
{
  char text[RUN_FAILURE_TEXT_SIZE], line[16], commands[64] = "", changes[64] = "";
  uint64_t seq = 0;

  run_failure_text(attempt, failed, text);
  (void)run_report_entry(attempt->store, failed->position, &seq, line, sizeof line);
  if (failed->commands_after > 0)
    snprintf(commands, sizeof commands, ", and after it what %" PRIu64 " more command%s did", failed->commands_after,
             failed->commands_after == 1 ? "" : "s");
  if (failed->other_changes > 0)
    snprintf(changes, sizeof changes, ", with %" PRIu64 " remote changes of others", failed->other_changes);
  run_say(attempt, SAY_NOTICE, "run %s: runs again from entry %" PRIu64 ": %s%s%s", attempt->place.id, seq, text, commands,
          changes);
}

/* ---- doing it ---- */

int run_failure_forget(struct run_attempt *attempt, const struct failed_effect *failed, struct analysis **analysis,
                       struct failure *failure)
{
  uint64_t end, count;
  int error = store_end(attempt->store, &end, &count, failure);

  if (error == 0)
    error = run_place_untidy(&attempt->place, failure);
  if (error < 0)
    return error;
  say_forgotten(attempt, failed);
  if (attempt->left_out_count > 0 && attempt->left_out[0].begin < failed->position)
    return 0; /* the region that it lies in runs again */
  attempt->left_out[attempt->left_out_count++] = range_of(failed, end);
  analysis_free(*analysis);
  *analysis = NULL;
  return run_analyse_without(attempt->store, attempt->left_out, attempt->left_out_count, analysis, failure);
}
