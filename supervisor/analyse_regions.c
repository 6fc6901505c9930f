/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in atomic regions that were taken back: it is as if it had not been, but for the bytes that it kept. */
#include "supervisor/analysis.h"

#include <errno.h>
#include <stdlib.h>

int analysis_skip(struct analysis *analysis, uint64_t begin, uint64_t end)
{
  struct skipped *grown = realloc(analysis->skipped, (analysis->skipped_count + 1) * sizeof *grown);
  if (!grown)
    return -ENOMEM;
  analysis->skipped = grown;
  analysis->skipped[analysis->skipped_count++] = (struct skipped){begin, end};
  return 0;
}

bool analysis_skips(const struct analysis *analysis, uint64_t position)
{
  for (size_t i = 0; i < analysis->skipped_count; i++)
    if (position > analysis->skipped[i].begin && position < analysis->skipped[i].end)
      return true;
  return false;
}

int analysis_add_skipped(struct analysis *analysis, const struct journal_entry *entry)
{
  /* What it kept is needed by reads before it; what it changed has other times now. */
  if (entry->kind == JOURNAL_KEEP)
    return analysis_files_keep(analysis, entry);
  return entry->kind == JOURNAL_INTENT ? analysis_files_intent(analysis, entry) : 0;
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
