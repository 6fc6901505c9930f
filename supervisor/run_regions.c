/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery's part of atomic regions: undo, and what is left out ever after.
 *
 * meta.rewound holds "BEGIN:END ..." in positions: what lies between them was taken back. The files go back first,
 * then the range is written with the attempt that follows. meta.forgotten holds the same of what failed and is tried
 * again (run_failure.c), or was reverted (run_cut.c): what it did stands. */
#include "supervisor/run_attempt.h"

#include "supervisor/region_undo.h"
#include "supervisor/run_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const keys[] = {"rewound", "forgotten"}; /* by struct run_range's forgotten */

static int load_ranges(struct store *store, bool forgotten, struct run_rewound *rewound, struct failure *failure)
{
  struct run_range range = {.forgotten = forgotten}, *grown;
  struct failure missing;
  char *text, *at;
  int length, error = store_meta_text(store, keys[forgotten], &text, &missing);

  if (error == -ENOENT)
    return 0;
  if (error < 0)
    return failure_set(failure, error, "%s", missing.text);
  for (at = text; sscanf(at, "%" SCNu64 ":%" SCNu64 "%n", &range.begin, &range.end, &length) == 2; at += length) {
    grown = realloc(rewound->list, (rewound->count + 1) * sizeof *grown);
    if (grown == NULL) {
      free(text);
      return failure_set(failure, -ENOMEM, "out of memory; free some");
    }
    rewound->list = grown;
    rewound->list[rewound->count++] = range;
  }
  free(text);
  return 0;
}

int run_rewound_load(struct store *store, struct run_rewound *ret_rewound, struct failure *failure)
{
  struct run_rewound rewound = {0};
  int error = load_ranges(store, false, &rewound, failure);

  if (error == 0)
    error = load_ranges(store, true, &rewound, failure);
  if (error < 0) {
    run_rewound_release(&rewound);
    return error;
  }
  *ret_rewound = rewound;
  return 0;
}

void run_rewound_release(struct run_rewound *rewound)
{
  free(rewound->list);
  *rewound = (struct run_rewound){0};
}

bool run_rewound_has(const struct run_rewound *rewound, uint64_t position)
{
  for (size_t i = 0; i < rewound->count; i++)
    if (position > rewound->list[i].begin && position < rewound->list[i].end)
      return true;
  return false;
}

int run_ranges_skip(struct analysis *analysis, const struct run_range *ranges, size_t count, struct failure *failure)
{
  int error = 0;

  for (size_t i = 0; error == 0 && i < count; i++)
    error = ranges[i].forgotten ? analysis_forget(analysis, ranges[i].begin, ranges[i].end)
                                : analysis_skip(analysis, ranges[i].begin, ranges[i].end);
  return error < 0 ? failure_set(failure, error, "cannot read the journal: %s; free some memory", strerror(-error)) : 0;
}

int run_regions_skip(struct store *store, struct analysis *analysis, struct failure *failure)
{
  struct run_rewound rewound;
  int error = run_rewound_load(store, &rewound, failure);

  if (error < 0)
    return error;
  error = run_ranges_skip(analysis, rewound.list, rewound.count, failure);
  run_rewound_release(&rewound);
  return error;
}

int run_regions_undo(struct run_attempt *attempt, struct analysis **analysis, struct failure *failure)
{
  uint64_t begin, end, changes, entry_count;
  char kept[PATH_MAX];
  int error;

  attempt->left_out_count = 0;
  if (!analysis_open_region(*analysis, &begin))
    return 0;
  run_place_path(&attempt->place, "kept", kept);
  error = store_end(attempt->store, &end, &entry_count, failure);
  if (error == 0)
    error = region_undo(attempt->store, *analysis, begin, kept, &changes, failure);
  if (error < 0)
    return error;
  attempt->left_out[attempt->left_out_count++] = (struct run_range){.begin = begin, .end = end};
  run_say(attempt, SAY_DETAIL, "run %s: an atomic region was unfinished; %" PRIu64 " changes in it are taken back",
          attempt->place.id, changes);
  analysis_free(*analysis);
  *analysis = NULL;
  return run_analyse_without(attempt->store, attempt->left_out, attempt->left_out_count, analysis, failure);
}

int run_rewound_add(struct store *store, const struct run_range *range, struct failure *failure)
{
  struct run_rewound rewound;
  char *made = NULL;
  size_t size;
  FILE *stream;
  int error = run_rewound_load(store, &rewound, failure);

  if (error < 0)
    return error;
  stream = open_memstream(&made, &size);
  /* Those that lie in the new one say nothing more. */
  for (size_t i = 0; stream != NULL && i < rewound.count; i++)
    if (rewound.list[i].forgotten == range->forgotten && rewound.list[i].begin < range->begin)
      fprintf(stream, "%" PRIu64 ":%" PRIu64 " ", rewound.list[i].begin, rewound.list[i].end);
  run_rewound_release(&rewound);
  if (stream != NULL)
    fprintf(stream, "%" PRIu64 ":%" PRIu64 " ", range->begin, range->end);
  error = stream != NULL && fclose(stream) == 0
            ? store_meta_set_text(store, keys[range->forgotten], made, failure)
            : failure_set(failure, -ENOMEM, "out of memory; free some");
  free(made);
  return error;
}

int run_regions_remember(struct run_attempt *attempt, struct failure *failure)
{
  int error = 0;

  for (size_t i = 0; error == 0 && i < attempt->left_out_count; i++)
    error = run_rewound_add(attempt->store, &attempt->left_out[i], failure);
  return error;
}
