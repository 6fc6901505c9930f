/* SPDX-License-Identifier: Apache-2.0 */
/* format_exchange.h says how they look. Trusts no length in a segment. */
#include "supervisor/format_exchange.h"

#include "journal/call_table.h"
#include "journal/curl_info.h"
#include "supervisor/change.h"
#include "supervisor/exchange.h"
#include "supervisor/format_args.h"
#include "supervisor/retry.h"

#include <string.h>

bool format_exchange_is(const struct journal_entry *entry)
{
  return (entry->call == CALL_ID_EXCHANGE &&
          (entry->kind == JOURNAL_INTENT || entry->kind == JOURNAL_RESULT)) ||
         (entry->call == CALL_ID_CALLBACK && entry->kind == JOURNAL_COMPLETE);
}

const char *journal_callback_name(unsigned callback)
{
  switch ((enum journal_callback)callback) {
  case JOURNAL_CALLBACK_WRITE: return "write";
  case JOURNAL_CALLBACK_HEADER: return "header";
  case JOURNAL_CALLBACK_READ: return "read";
  case JOURNAL_CALLBACK_SEEK: return "seek";
  case JOURNAL_CALLBACK_PROGRESS: return "progress";
  case JOURNAL_CALLBACK_DEBUG: return "debug";
  case JOURNAL_CALLBACK_AGAIN: return "sent again";
  case JOURNAL_CALLBACK_RETRY: return "tried again";
  case JOURNAL_CALLBACK_SOCKET: return "socket";
  case JOURNAL_CALLBACK_TIMER: return "timer";
  }
  return "?";
}

static void add_preview(struct text *text, const struct journal_segment *segment)
{
  size_t shown = segment->length < FORMAT_PREVIEW_SIZE ? segment->length : FORMAT_PREVIEW_SIZE;
  text_add_quoted(text, segment->data, shown);
  if (shown < segment->length)
    text_addf(text, "..., %u", segment->length);
}

static void add_request(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *method = journal_find_segment(entry, SEGMENT_REQUEST, 0);
  const struct journal_segment *url = journal_find_segment(entry, SEGMENT_REQUEST, 1);
  if (method != NULL)
    text_add_quoted(text, method->data, method->length);
  if (url != NULL) {
    text_add(text, ", ");
    text_add_quoted(text, url->data, url->length);
  }
}

static void add_retry(struct text *text, uint64_t how, uint64_t delay_ns)
{
  char delay[RETRY_DURATION_SIZE];
  uint32_t code = (uint32_t)(how >> 32), status = (uint32_t)how;
  retry_duration_text(delay_ns, delay);
  if (code != 0)
    text_addf(text, ", after %s: code %u", delay, code);
  else
    text_addf(text, ", after %s: status %u", delay, status);
}

static void add_callback(struct text *text, const struct journal_entry *entry)
{
  unsigned callback = (unsigned)entry_arg(entry, 0);
  const struct journal_segment *bytes = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  text_add(text, journal_callback_name(callback));
  if (callback == JOURNAL_CALLBACK_READ)
    text_addf(text, ", %llu", (unsigned long long)entry_arg(entry, 1));
  else if (callback == JOURNAL_CALLBACK_SEEK)
    text_addf(text, ", %lld, %lld", (long long)entry_arg(entry, 1), (long long)entry_arg(entry, 2));
  else if (callback == JOURNAL_CALLBACK_RETRY)
    add_retry(text, entry_arg(entry, 1), entry_arg(entry, 2));
  else if (callback == JOURNAL_CALLBACK_PROGRESS && bytes != NULL)
    text_addf(text, ", {%u bytes}", bytes->length);
  else if (bytes != NULL) {
    text_add(text, ", ");
    add_preview(text, bytes);
  } else if (journal_find_segment(entry, SEGMENT_BLOB, 0) != NULL)
    text_addf(text, ", {%llu bytes in a blob}", (unsigned long long)journal_given_length(entry));
}

void format_exchange_add_args(struct text *text, const struct journal_entry *entry)
{
  if (entry->call == CALL_ID_CALLBACK)
    add_callback(text, entry);
  else if (entry->kind == JOURNAL_INTENT)
    add_request(text, entry);
}

static uint64_t status_of(const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_INFO, -1);
  const struct journal_info *info = NULL;
  uint64_t status = 0;
  while (segment != NULL && (info = journal_next_info(segment, info)) != NULL)
    if (info->info == CURL_INFO_RESPONSE_CODE && info->length == sizeof status)
      memcpy(&status, info->data, sizeof status);
  return status;
}

void format_exchange_add_result(struct text *text, const struct journal_entry *entry)
{
  if (entry->kind != JOURNAL_RESULT)
    return;
  const char *name = curl_code_name(entry->result);
  text_addf(text, " = %lld%s%s", (long long)entry->result, name != NULL ? " " : "", name != NULL ? name : "");
  uint64_t status = status_of(entry);
  if (status != 0)
    text_addf(text, ", status %llu", (unsigned long long)status);
}
