/* SPDX-License-Identifier: Apache-2.0 */
/* What the program has said by scopes of the control API: what holds for a thread at a place of the journal.
 * shim/control_scopes.c has the same list in the program. */
#include "supervisor/analysis.h"

#include "journal/call_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SET_TOKEN 0 /* of what a thread has set: below all others */

static int add(struct analysis *analysis, const struct journal_entry *entry, uint64_t token)
{
  if (analysis->scope_count == analysis->scope_room) {
    size_t room = analysis->scope_room ? analysis->scope_room * 2 : 8;
    struct scope *grown = realloc(analysis->scopes, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    analysis->scopes = grown;
    analysis->scope_room = room;
  }
  struct scope *scope = &analysis->scopes[analysis->scope_count++];
  *scope = (struct scope){.stream = entry->stream, .kind = (uint32_t)entry->args[0], .token = token};
  for (unsigned i = 0; i < JOURNAL_SCOPE_VALUES; i++)
    scope->values[i] = entry_arg(entry, i + 1);
  return 0;
}

static void drop_at(struct analysis *analysis, size_t place)
{
  analysis->scopes[place] = analysis->scopes[--analysis->scope_count];
}

static void drop(struct analysis *analysis, uint64_t kind, uint64_t token, uint32_t stream)
{
  for (size_t i = analysis->scope_count; i-- > 0;)
    if (analysis->scopes[i].kind == kind && analysis->scopes[i].token == token &&
        (token != SET_TOKEN || analysis->scopes[i].stream == stream))
      drop_at(analysis, i);
}

static int add_plan(struct analysis *analysis, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  struct defined_plan *grown;
  if (segment == NULL || segment->length > sizeof grown->plan)
    return -EBADMSG;
  grown = realloc(analysis->plans, (analysis->plan_count + 1) * sizeof *grown);
  if (grown == NULL)
    return -ENOMEM;
  analysis->plans = grown;
  grown += analysis->plan_count;
  memset(grown, 0, sizeof *grown);
  memcpy(&grown->plan, segment->data, segment->length);
  grown->id = entry->position;
  if (!retry_plan_sound(&grown->plan, segment->length))
    return -EBADMSG;
  analysis->plan_count++;
  return 0;
}

/* NULL: the values refer to none, or to one that is not there. */
static const struct retry_plan *find_plan(const struct analysis *analysis, const uint64_t values[JOURNAL_SCOPE_VALUES])
{
  uint64_t id;
  if (retry_plan_of_values(values, &id))
    for (size_t i = 0; i < analysis->plan_count; i++)
      if (analysis->plans[i].id == id)
        return &analysis->plans[i].plan;
  return NULL;
}

int analysis_scopes_complete(struct analysis *analysis, const struct journal_entry *entry)
{
  unsigned count = journal_arg_count(entry);
  if (entry->result != 0)
    return 0; /* the program misused it: nothing was changed */
  switch (entry->call) {
  case CALL_ID_RETRY_PLAN:
    return add_plan(analysis, entry);
  case CALL_ID_SCOPE_BEGIN:
    return count == JOURNAL_SCOPE_VALUES + 1 ? add(analysis, entry, entry->position) : -EBADMSG;
  case CALL_ID_SCOPE_END:
    if (count != 2)
      return -EBADMSG;
    drop(analysis, entry->args[0], entry->args[1], entry->stream);
    return 0;
  case CALL_ID_SCOPE_SET:
    if (count != 1 && count != JOURNAL_SCOPE_VALUES + 1)
      return -EBADMSG;
    drop(analysis, entry->args[0], SET_TOKEN, entry->stream);
    return count == 1 ? 0 : add(analysis, entry, SET_TOKEN);
  }
  return 0;
}

void analysis_scopes_leave(struct analysis *analysis, uint32_t process)
{
  for (size_t i = analysis->scope_count; i-- > 0;) {
    const struct stream *stream = analysis_stream(analysis, analysis->scopes[i].stream);
    if (stream && stream->process == process)
      drop_at(analysis, i);
  }
}

const struct scope *analysis_scope(const struct analysis *analysis, uint32_t stream, unsigned kind)
{
  const struct scope *latest = NULL;
  for (size_t i = 0; i < analysis->scope_count; i++) {
    const struct scope *scope = &analysis->scopes[i];
    if (scope->stream == stream && scope->kind == kind && (!latest || scope->token > latest->token))
      latest = scope;
  }
  return latest;
}

void analysis_scopes_end(struct analysis *analysis)
{
  struct analysis_summary *summary = &analysis->summary;
  const struct scope *retry = analysis_scope(analysis, analysis->last_stream, JOURNAL_SCOPE_RETRY);
  summary->retry_said = retry != NULL;
  summary->retry_plan = retry ? find_plan(analysis, retry->values) : NULL;
  if (retry)
    memcpy(summary->retry_values, retry->values, sizeof retry->values);
}

bool analysis_repeats(const struct analysis *analysis, uint32_t stream, bool unsaid)
{
  enum idempotence said = analysis_idempotence(analysis, stream);
  return said == IDEMPOTENCE_UNSAID ? unsaid : said == IDEMPOTENCE_ON;
}

enum idempotence analysis_idempotence(const struct analysis *analysis, uint32_t stream)
{
  const struct scope *scope = analysis_scope(analysis, stream, JOURNAL_SCOPE_IDEMPOTENCE);
  return !scope ? IDEMPOTENCE_UNSAID : scope->values[0] ? IDEMPOTENCE_ON : IDEMPOTENCE_OFF;
}
