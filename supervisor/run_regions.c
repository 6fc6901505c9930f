/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery's part of atomic regions: undo, and what is left out ever after.
 *
 * meta.rewound holds "BEGIN:END ..." in positions: what lies between them was taken back. The files go back first,
 * then the range is written with the attempt that follows. */
#include "supervisor/run_attempt.h"

#include "supervisor/region_undo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REWOUND_KEY "rewound"

/* Empty where there is none; malloc'ed. */
static int load_rewound(struct store *store, char **ret_text, struct failure *failure)
{
  struct failure missing;
  int error = store_meta_text(store, REWOUND_KEY, ret_text, &missing);

  if (error == -ENOENT) {
    *ret_text = strdup("");
    return *ret_text != NULL ? 0 : failure_set(failure, -ENOMEM, "out of memory; free some");
  }
  return error < 0 ? failure_set(failure, error, "%s", missing.text) : 0;
}

int run_regions_skip(struct store *store, struct analysis *analysis, struct failure *failure)
{
  uint64_t begin, end;
  char *text, *at;
  int length, error = load_rewound(store, &text, failure);

  if (error < 0)
    return error;
  for (at = text; error == 0 && sscanf(at, "%" SCNu64 ":%" SCNu64 "%n", &begin, &end, &length) == 2; at += length)
    error = analysis_skip(analysis, begin, end);
  free(text);
  return error < 0 ? failure_set(failure, error, "cannot read the journal: %s; free some memory", strerror(-error)) : 0;
}

int run_regions_undo(struct run_attempt *attempt, struct analysis **analysis, struct failure *failure)
{
  uint64_t begin, changes, entry_count;
  char kept[PATH_MAX];
  int error;

  attempt->undone = false;
  if (!analysis_open_region(*analysis, &begin))
    return 0;
  run_place_path(&attempt->place, "kept", kept);
  error = store_end(attempt->store, &attempt->undone_end, &entry_count, failure);
  if (error == 0)
    error = region_undo(attempt->store, *analysis, begin, kept, &changes, failure);
  if (error < 0)
    return error;
  attempt->undone = true;
  attempt->undone_begin = begin;
  run_say(attempt, SAY_DETAIL, "run %s: an atomic region was unfinished; %" PRIu64 " changes in it are taken back",
          attempt->place.id, changes);
  analysis_free(*analysis);
  *analysis = NULL;
  return run_analyse_without(attempt->store, begin, attempt->undone_end, analysis, failure);
}

int run_regions_remember(struct run_attempt *attempt, struct failure *failure)
{
  uint64_t begin, end;
  char *text, *at, *made;
  size_t size;
  FILE *stream;
  int length, error;

  if (!attempt->undone)
    return 0;
  error = load_rewound(attempt->store, &text, failure);
  if (error < 0)
    return error;
  made = NULL;
  stream = open_memstream(&made, &size);
  if (stream == NULL) {
    free(text);
    return failure_set(failure, -ENOMEM, "out of memory; free some");
  }
  /* Those that lie in the new one say nothing more. */
  for (at = text; sscanf(at, "%" SCNu64 ":%" SCNu64 "%n", &begin, &end, &length) == 2; at += length)
    if (begin < attempt->undone_begin)
      fprintf(stream, "%" PRIu64 ":%" PRIu64 " ", begin, end);
  fprintf(stream, "%" PRIu64 ":%" PRIu64 " ", attempt->undone_begin, attempt->undone_end);
  free(text);
  error = fclose(stream) == 0 ? store_meta_set_text(attempt->store, REWOUND_KEY, made, failure)
                              : failure_set(failure, -ENOMEM, "out of memory; free some");
  free(made);
  return error;
}
