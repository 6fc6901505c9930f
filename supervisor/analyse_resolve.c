/* SPDX-License-Identifier: Apache-2.0 */
/* What a person has said became of a change whose outcome nobody knew. */
#include "journal/call_table.h"
#include "supervisor/analysis.h"
#include "supervisor/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct open_intent *find_open_at(const struct analysis *analysis, uint64_t position)
{
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    for (struct open_intent *intent = analysis->streams[i].open; intent; intent = intent->below)
      if (intent->entry->position == position)
        return intent;
  return NULL;
}

int analysis_resolve(struct analysis *analysis, const struct journal_entry *entry)
{
  struct open_intent *intent = find_open_at(analysis, entry_arg(entry, 0));
  if (!intent || !journal_find_segment(entry, SEGMENT_RESOLUTION, -1))
    return -EBADMSG;
  struct journal_entry *copy = malloc(entry->size);
  if (!copy)
    return -ENOMEM;
  memcpy(copy, entry, entry->size);
  free(intent->resolution);
  intent->resolution = copy;
  return 0;
}

void analysis_resolve_again(struct analysis *analysis, const struct stream *stream, const struct journal_entry *again)
{
  uint64_t exchange = journal_exchange_of(again);
  struct open_intent *intent = exchange == JOURNAL_EXCHANGE_LATEST ? stream->open : find_open_at(analysis, exchange);
  while (intent && intent->entry->call != CALL_ID_EXCHANGE)
    intent = intent->below;
  if (!intent)
    return;
  free(intent->resolution);
  intent->resolution = NULL;
}


const struct journal_entry *analysis_resolution(const struct analysis *analysis, const struct journal_entry *entry)
{
  if (entry->kind != JOURNAL_INTENT || change_of(entry->call)->kind != CHANGE_EXCHANGE)
    return NULL;
  const struct open_intent *open = analysis_open_intent(analysis, entry->position);
  const struct journal_resolution *resolution = open ? open_intent_resolution(open) : NULL;
  return resolution && resolution->kind != JOURNAL_RESOLUTION_RETRY ? open->resolution : NULL;
}
