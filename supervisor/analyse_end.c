/* SPDX-License-Identifier: Apache-2.0 */
/* What the walk has left: open intents and what is left out, in an order to find them by. */
#include "supervisor/analysis.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static int compare_omitted(const void *left, const void *right)
{
  const struct omitted *a = left, *b = right;
  if (a->stream != b->stream)
    return a->stream < b->stream ? -1 : 1;
  return a->first < b->first ? -1 : a->first > b->first;
}

static int compare_open(const void *left, const void *right)
{
  const struct open_intent *const *a = left, *const *b = right;
  uint64_t first = (*a)->entry->position, second = (*b)->entry->position;
  return first < second ? -1 : first > second;
}

static int collect_open(struct analysis *analysis)
{
  size_t count = 0;
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    count += analysis->streams[i].open_count;
  if (!count)
    return 0;
  analysis->open = calloc(count, sizeof *analysis->open);
  if (!analysis->open)
    return -ENOMEM;
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    for (struct open_intent *intent = analysis->streams[i].open; intent; intent = intent->below)
      analysis->open[analysis->open_count++] = intent;
  qsort(analysis->open, analysis->open_count, sizeof *analysis->open, compare_open);
  return 0;
}

int analysis_index(struct analysis *analysis)
{
  if (analysis->omitted_count)
    qsort(analysis->omitted, analysis->omitted_count, sizeof *analysis->omitted, compare_omitted);
  return collect_open(analysis);
}

bool analysis_omits(const struct analysis *analysis, uint32_t stream, uint64_t position)
{
  /* The last one that begins at or before the position. */
  size_t low = 0, high = analysis->omitted_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct omitted *omitted = &analysis->omitted[middle];
    if (omitted->stream < stream || (omitted->stream == stream && omitted->first <= position))
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0)
    return false;
  const struct omitted *omitted = &analysis->omitted[low - 1];
  return omitted->stream == stream && position <= omitted->last;
}

const struct open_intent *analysis_open_intent(const struct analysis *analysis, uint64_t position)
{
  size_t low = 0, high = analysis->open_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    uint64_t at = analysis->open[middle]->entry->position;
    if (at == position)
      return analysis->open[middle];
    if (at < position)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

const struct journal_resolution *open_intent_resolution(const struct open_intent *intent)
{
  const struct journal_segment *segment =
      intent->resolution ? journal_find_segment(intent->resolution, SEGMENT_RESOLUTION, -1) : NULL;
  return segment ? (const struct journal_resolution *)segment->data : NULL;
}

int analysis_settle(struct analysis *analysis, const struct verdict *verdicts, size_t count)
{
  assert(analysis->ended);
  for (size_t i = 0; i < analysis->open_count; i++) {
    struct open_intent *intent = analysis->open[i];
    const struct verdict *verdict = verdicts;
    while (verdict < verdicts + count && verdict->position != intent->entry->position)
      verdict++;
    if (verdict == verdicts + count || verdict->kind != VERDICT_HAPPENED || intent->settled)
      continue;
    int error = verdict->result >= 0 ? analysis_files_changed(analysis, intent->entry, NULL) : 0;
    if (error)
      return error;
    intent->settled = true;
    intent->result = verdict->result;
  }
  return 0;
}
