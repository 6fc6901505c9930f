/* SPDX-License-Identifier: Apache-2.0 */
/* run_cut.h says what it does. Draining and the folders change nothing that counts; the rest is one transaction. */
#include "supervisor/run_cut.h"

#include "supervisor/analysis.h"
#include "supervisor/region_undo.h"
#include "supervisor/run_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SUGGESTIONS_MAX 64 /* each is a walk over the journal */

/* ---- the place ---- */

/* What is under way behind entry `seq`; *ret_before: the last entry before it began, 0: nothing is. */
static int look_at(struct store *store, uint64_t seq, uint64_t *ret_before, const char **ret_what, struct failure *failure)
{
  uint64_t before = UINT64_MAX, region, region_seq = 0;
  struct analysis *analysis;
  const char *what = "";
  int error = run_analyse_until(store, seq, &analysis, failure);

  if (error < 0)
    return error;
  for (size_t i = 0; i < analysis->open_count; i++)
    if (analysis->open[i]->seq <= before) {
      before = analysis->open[i]->seq - 1;
      what = change_of(analysis->open[i]->entry->call)->kind == CHANGE_EXCHANGE ? "an exchange with a server" : "a call";
    }
  if (analysis_open_region(analysis, &region)) {
    char line[1];
    error = run_report_entry(store, region, &region_seq, line, sizeof line);
    if (error == 0 && region_seq <= before) {
      before = region_seq - 1;
      what = "an atomic region";
    }
  }
  analysis_free(analysis);
  if (error < 0)
    return failure_set(failure, error, "cannot read the journal; try `perdure verify`");
  *ret_before = before == UINT64_MAX ? 0 : before;
  *ret_what = what;
  return 0;
}

static int refuse(const struct run_cut *cut, uint64_t before, const char *what, struct failure *failure)
{
  uint64_t begun = before + 1, next = before;
  const char *ignored;

  for (int i = 0; i < SUGGESTIONS_MAX && next > 0; i++) {
    uint64_t earlier;
    int error = look_at(cut->store, next, &earlier, &ignored, failure);
    if (error < 0)
      return error;
    if (earlier == 0)
      return failure_set(failure, -EINVAL, "entry %" PRIu64 " of run %s lies in %s, which entry %" PRIu64 " begins: nothing can "
                         "go on behind it; give --to %" PRIu64 ", or a place behind its end", cut->seq, cut->place.id, what,
                         begun, next);
    next = earlier;
  }
  return failure_set(failure, -EINVAL, "entry %" PRIu64 " of run %s lies in %s, which entry %" PRIu64 " begins: nothing can go on "
                     "behind it; give a place before that one, or behind its end", cut->seq, cut->place.id, what, begun);
}

static int find_entry(struct run_cut *cut, struct failure *failure)
{
  const struct journal_entry *entry;
  struct run_rewound rewound;
  struct store_cursor *cursor;
  uint64_t seq;
  int error = store_end(cut->store, &cut->end, &cut->count, failure);

  if (error < 0)
    return error;
  if (cut->seq == 0)
    cut->seq = cut->count;
  if (cut->seq == 0 || cut->seq > cut->count)
    return failure_set(failure, -EINVAL, "run %s has no entry %" PRIu64 ": it has %" PRIu64 "; `perdure log %s` prints them",
                       cut->place.id, cut->seq, cut->count, cut->place.id);
  error = store_cursor_open(cut->store, cut->seq, &cursor, failure);
  if (error < 0)
    return error;
  error = store_cursor_next(cursor, &entry, &seq, failure);
  if (error == 0 && entry != NULL)
    cut->position = entry->position;
  store_cursor_close(cursor);
  if (error == 0)
    error = run_rewound_load(cut->store, &rewound, failure);
  if (error < 0)
    return error;
  bool taken_back = run_rewound_has(&rewound, cut->position);
  run_rewound_release(&rewound);
  return taken_back ? failure_set(failure, -EINVAL, "entry %" PRIu64 " of run %s was taken back: the run does not go through "
                                  "it any more; give one that `perdure log %s` does not mark with ~", cut->seq,
                                  cut->place.id, cut->place.id)
                    : 0;
}

/* A run whose journal another machine may take over: what is taken back here alone would come again there. */
static int refuse_replicated(const struct run_cut *cut, struct failure *failure)
{
  struct failure missing;
  char *url;
  int error = store_meta_text(cut->store, "store", &url, &missing);

  if (error == -ENOENT)
    return 0;
  if (error < 0)
    return failure_set(failure, error, "%s", missing.text);
  free(url);
  return failure_set(failure, -ENOTSUP, "run %s has its journal in another store too: another machine may go on with it, and "
                     "cannot be told of this; let it end, and begin it anew", cut->place.id);
}

static int open_store(struct run_cut *cut, struct failure *failure)
{
  struct tail_file tail = {.fd = -1};
  char path[PATH_MAX];
  unsigned ended;

  run_place_path(&cut->place, "run.db", path);
  int error = store_open(path, false, &cut->store, failure);
  if (error == 0)
    error = run_get_state(cut->store, &cut->state, failure);
  if (error == 0)
    error = refuse_replicated(cut, failure);
  /* A finished run's daemons live on, rightly. */
  if (error == 0 && cut->state != RUN_STATE_FINISHED)
    error = run_lock_tree(&cut->place, &cut->lock, &ended, failure);
  if (error == 0)
    error = run_drain_left(&cut->place, cut->store, cut->state, &tail, failure);
  tail_file_close(&tail);
  return error;
}

int run_cut_open(const struct run_place *place, uint64_t seq, struct run_cut *ret_cut, struct failure *failure)
{
  struct run_cut cut = {.place = *place, .lock = {.owner_fd = -1, .tree_fd = -1}, .seq = seq};
  const char *what;
  uint64_t before;
  int error = run_lock_own(place, &cut.lock, failure);

  if (error == 0)
    error = open_store(&cut, failure);
  if (error == 0)
    error = find_entry(&cut, failure);
  if (error == 0)
    error = look_at(cut.store, cut.seq, &before, &what, failure);
  if (error == 0 && *what != '\0')
    error = refuse(&cut, before, what, failure);
  if (error < 0) {
    run_advise_for(failure, error);
    run_cut_close(&cut);
    return error;
  }
  *ret_cut = cut;
  return 0;
}

void run_cut_close(struct run_cut *cut)
{
  store_close(cut->store);
  run_lock_release(&cut->lock);
}

/* ---- taking back ---- */

static int write_cut(const struct run_cut *cut, struct store *store, struct failure *failure)
{
  const struct run_range after = {.begin = cut->position, .end = cut->end, .forgotten = true};
  const struct run_range region = {.begin = cut->undone_begin, .end = cut->end};
  int error = cut->undone ? run_rewound_add(store, &region, failure) : 0;

  if (error == 0 && cut->seq < cut->count)
    error = run_rewound_add(store, &after, failure);
  /* Its supervisor did not live to say how it ended. */
  if (error == 0 && cut->state == RUN_STATE_RUNNING)
    error = store_attempts_lost(store, failure);
  if (error == 0 && (cut->seq < cut->count || cut->state == RUN_STATE_RUNNING))
    error = run_set_state(store, RUN_STATE_UNFINISHED, failure);
  return error;
}

int run_cut_mark(const struct run_cut *cut, struct store *store,
                 int (*also)(struct store *store, void *context, struct failure *failure), void *context,
                 struct failure *failure)
{
  int error = store_begin(store, failure);

  if (error < 0)
    return error;
  error = write_cut(cut, store, failure);
  if (error == 0 && also != NULL)
    error = also(store, context, failure);
  if (error < 0) {
    store_rollback(store);
    return error;
  }
  error = store_commit(store, failure);
  return error == 0 ? store_sync(store, failure) : error;
}

static bool is_effect(const struct journal_entry *entry)
{
  if (entry->kind != JOURNAL_INTENT || journal_has_channel(entry))
    return false;
  enum change_kind kind = change_of(entry->call)->kind;
  return kind != CHANGE_SLEEP && kind != CHANGE_FORK && kind != CHANGE_SYNC;
}

int run_cut_effects(const struct run_cut *cut,
                    void (*visit)(const struct journal_entry *entry, uint64_t seq, void *context), void *context,
                    struct failure *failure)
{
  const struct journal_entry *entry;
  struct run_rewound rewound;
  struct store_cursor *cursor;
  uint64_t seq;
  int error = run_rewound_load(cut->store, &rewound, failure);

  if (error < 0)
    return error;
  error = store_cursor_open(cut->store, cut->seq + 1, &cursor, failure);
  if (error < 0) {
    run_rewound_release(&rewound);
    return error;
  }
  while ((error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry != NULL)
    if (is_effect(entry) && !run_rewound_has(&rewound, entry->position))
      visit(entry, seq, context);
  store_cursor_close(cursor);
  run_rewound_release(&rewound);
  return error;
}

/* ---- revert ---- */

/* What is half done in a region behind the place goes back first: later nobody would know of it. Killed in between, the
 * region is unfinished, and taking it back again changes nothing. */
static int undo_region(struct run_cut *cut, struct failure *failure)
{
  struct analysis *analysis;
  uint64_t changes;
  char kept[PATH_MAX];
  int error = run_analyse(cut->store, &analysis, failure);

  if (error < 0)
    return error;
  run_place_path(&cut->place, "kept", kept);
  cut->undone = cut->state != RUN_STATE_FINISHED && analysis_open_region(analysis, &cut->undone_begin);
  if (cut->undone)
    error = region_undo(cut->store, analysis, cut->undone_begin, kept, &changes, failure);
  analysis_free(analysis);
  return error;
}

int run_revert(const struct run_place *place, uint64_t seq,
               void (*visit)(const struct journal_entry *entry, uint64_t seq, void *context), void *context,
               uint64_t *ret_taken_back, struct failure *failure)
{
  struct run_cut cut;
  int error = run_cut_open(place, seq, &cut, failure);

  if (error < 0)
    return error;
  if (cut.seq == cut.count)
    error = failure_set(failure, -EINVAL, "entry %" PRIu64 " is the last one of run %s: there is nothing behind it to take back; "
                        "give an earlier one", cut.seq, place->id);
  if (error == 0)
    error = undo_region(&cut, failure);
  /* What a finished run has tidied away is needed again. */
  if (error == 0)
    error = run_place_untidy(place, failure);
  if (error == 0)
    error = run_cut_effects(&cut, visit, context, failure);
  if (error == 0)
    error = run_cut_mark(&cut, cut.store, NULL, NULL, failure);
  if (error == 0)
    *ret_taken_back = cut.count - cut.seq;
  run_cut_close(&cut);
  return error;
}
