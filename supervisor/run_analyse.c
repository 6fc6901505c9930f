/* SPDX-License-Identifier: Apache-2.0 */
/* The analysis of a store's entries, all or some of them. Writes nothing. */
#include "supervisor/run_attempt.h"
#include "supervisor/run_read.h"

#include <errno.h>
#include <string.h>

/* Up to last_seq, without what lies in the ranges. */
static int analyse(struct store *store, const struct run_range *ranges, size_t count, uint64_t last_seq,
                   struct analysis **ret_analysis, struct failure *failure)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  struct analysis *analysis;
  uint64_t seq;
  int error = analysis_create(&analysis);

  if (error < 0)
    return failure_set(failure, error, "cannot read the journal: %s; free some memory",
                       strerror(-error));
  error = run_regions_skip(store, analysis, failure);
  if (error == 0)
    error = run_ranges_skip(analysis, ranges, count, failure);
  if (error < 0) {
    analysis_free(analysis);
    return error;
  }
  error = store_cursor_open(store, 1, &cursor, failure);
  if (error < 0) {
    analysis_free(analysis);
    return error;
  }
  while (error == 0 && (error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry != NULL && seq <= last_seq)
    error = analysis_add(analysis, entry, seq, failure);
  store_cursor_close(cursor);
  if (error == 0)
    error = analysis_end(analysis, failure);
  if (error < 0) {
    analysis_free(analysis);
    return error;
  }
  *ret_analysis = analysis;
  return 0;
}

int run_analyse(struct store *store, struct analysis **ret_analysis, struct failure *failure)
{
  return run_analyse_without(store, NULL, 0, ret_analysis, failure);
}

int run_summarize(struct store *store, struct analysis_summary *ret_summary, struct failure *failure)
{
  struct analysis *analysis;
  int error = run_analyse(store, &analysis, failure);

  if (error < 0)
    return error;
  analysis_summary(analysis, ret_summary);
  analysis_free(analysis);
  return 0;
}

int run_analyse_without(struct store *store, const struct run_range *ranges, size_t count, struct analysis **ret_analysis,
                        struct failure *failure)
{
  return analyse(store, ranges, count, UINT64_MAX, ret_analysis, failure);
}

int run_analyse_until(struct store *store, uint64_t last_seq, struct analysis **ret_analysis, struct failure *failure)
{
  return analyse(store, NULL, 0, last_seq, ret_analysis, failure);
}
