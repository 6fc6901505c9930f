/* SPDX-License-Identifier: Apache-2.0 */
/* Replay inside a function of libcurl's: the program's callbacks are called in the journal's order, with what
 * they were given, from inside the same call that brought them.
 *
 * Nothing is written here: killed at any line, the next attempt replays from the beginning. */
#include "shim/curl.h"
#include "shim/curl_group.h"

static bool is_wanted(const struct call *call, unsigned kind, const struct curl_handle *handle,
                      const struct journal_entry *entry)
{
  if (entry->call != call->id || entry->kind != kind)
    return false;
  if (kind != JOURNAL_RESULT)
    return true;
  uint64_t exchange = journal_exchange_of(entry);
  return exchange == JOURNAL_EXCHANGE_LATEST || (handle && exchange == handle->number);
}

static struct curl_handle *handle_of(const struct journal_entry *entry, struct curl_handle *likely)
{
  uint64_t exchange = journal_exchange_of(entry);
  if (likely && likely->busy && (exchange == JOURNAL_EXCHANGE_LATEST || exchange == likely->number))
    return likely;
  return handle_numbered(exchange);
}

static void replay_callback(const struct call *call, struct curl_handle *likely, const struct journal_entry *entry)
{
  unsigned count = journal_arg_count(entry);
  bool of_group = count == 6;
  struct curl_group *group = of_group ? group_numbered(entry->args[5]) : NULL;
  struct curl_handle *handle = handle_of(entry, likely);
  if (count < 4 || entry->kind != JOURNAL_COMPLETE || (of_group ? !group : !handle) ||
      entry->args[3] != (of_group ? group->last_return : handle->last_return))
    engine_diverged(call, entry);
  replay_advance(entry);
  if (of_group)
    group_callback_replay(group, handle, entry);
  else
    callback_replay(handle, entry);
}

/* An exchange that a multi handle has under way comes to its end. */
static void replay_end(const struct call *call, const struct journal_entry *entry)
{
  struct curl_handle *handle = handle_numbered(journal_exchange_of(entry));
  if (entry->kind != JOURNAL_RESULT || !handle || !handle->busy || !handle->group)
    engine_diverged(call, entry);
  exchange_replay_end(handle, curl_real(), entry);
  group_tell(handle, (int)entry->result);
}

const struct journal_entry *curl_replay_until(const struct call *call, unsigned kind, struct curl_handle *handle)
{
  for (;;) {
    const struct journal_entry *entry = engine_live() ? NULL : replay_any(call);
    if (!entry)
      return NULL;
    if (is_wanted(call, kind, handle, entry)) {
      if (kind != JOURNAL_RESULT && entry->signature != call->signature)
        engine_diverged(call, entry);
      return entry;
    }
    if (entry->call == CALL_ID_CALLBACK)
      replay_callback(call, handle, entry);
    else if (entry->call == CALL_ID_EXCHANGE)
      replay_end(call, entry);
    else
      engine_diverged(call, entry);
  }
}
