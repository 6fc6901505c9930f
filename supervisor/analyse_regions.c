/* SPDX-License-Identifier: Apache-2.0 */
/* What is left out: atomic regions that were taken back, which are as if they had not been but for the bytes that they
 * kept; and what failed and is tried again, whose files are where it has put them. */
#include "supervisor/analysis.h"

#include <errno.h>
#include <stdlib.h>

static int add_range(struct analysis *analysis, struct skipped range)
{
  struct skipped *grown = realloc(analysis->skipped, (analysis->skipped_count + 1) * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  analysis->skipped = grown;
  analysis->skipped[analysis->skipped_count++] = range;
  return 0;
}

int analysis_skip(struct analysis *analysis, uint64_t begin, uint64_t end)
{
  return add_range(analysis, (struct skipped){.begin = begin, .end = end});
}

int analysis_forget(struct analysis *analysis, uint64_t begin, uint64_t end)
{
  return add_range(analysis, (struct skipped){.begin = begin, .end = end, .stands = true});
}

static bool lies_in(const struct skipped *range, uint64_t position)
{
  return position > range->begin && position < range->end;
}

bool analysis_skips(const struct analysis *analysis, uint64_t position)
{
  for (size_t i = 0; i < analysis->skipped_count; i++)
    if (lies_in(&analysis->skipped[i], position))
      return true;
  return false;
}

static bool was_taken_back(const struct analysis *analysis, uint64_t position)
{
  for (size_t i = 0; i < analysis->skipped_count; i++)
    if (!analysis->skipped[i].stands && lies_in(&analysis->skipped[i], position))
      return true;
  return false;
}

/* ---- what stands ---- */

static int add_forgotten_intent(struct analysis *analysis, const struct journal_entry *entry)
{
  struct open_intent *intent = open_intent_make(entry);
  if (!intent)
    return -ENOMEM;
  intent->below = analysis->forgotten;
  analysis->forgotten = intent;
  return 0;
}

/* The result of what began before is not that of any: recovery looks for itself. */
static int add_forgotten_result(struct analysis *analysis, const struct journal_entry *entry)
{
  struct open_intent **link = &analysis->forgotten, *intent;
  while (*link && ((*link)->entry->stream != entry->stream || (*link)->entry->call != entry->call))
    link = &(*link)->below;
  intent = *link;
  if (!intent)
    return 0;
  int error = entry->result >= 0 ? analysis_files_changed(analysis, intent->entry, entry) : 0;
  *link = intent->below;
  open_intent_free(intent);
  return error;
}

void analysis_skipped_release(struct analysis *analysis)
{
  for (struct open_intent *intent = analysis->forgotten, *below; intent; intent = below) {
    below = intent->below;
    open_intent_free(intent);
  }
  free(analysis->skipped);
}

int analysis_add_skipped(struct analysis *analysis, const struct journal_entry *entry)
{
  /* What it kept is needed by reads before it; what it changed has other times now. */
  if (entry->kind == JOURNAL_KEEP)
    return analysis_files_keep(analysis, entry);
  bool stands = !was_taken_back(analysis, entry->position);
  if (entry->kind == JOURNAL_RESULT && stands)
    return add_forgotten_result(analysis, entry);
  if (entry->kind != JOURNAL_INTENT)
    return 0;
  int error = analysis_files_intent(analysis, entry);
  return error || !stands ? error : add_forgotten_intent(analysis, entry);
}

bool analysis_open_region(const struct analysis *analysis, uint64_t *ret_begin)
{
  bool open = false;
  for (size_t i = 0; i < analysis->scope_count; i++) {
    const struct scope *scope = &analysis->scopes[i];
    if (scope->kind != JOURNAL_SCOPE_REGION || (open && scope->token > *ret_begin))
      continue;
    *ret_begin = scope->token;
    open = true;
  }
  return open;
}
