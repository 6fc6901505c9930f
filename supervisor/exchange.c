/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h says what it makes. */
#include "supervisor/exchange.h"

#include "journal/call_table.h"
#include "journal/curl_info.h"
#include "journal/hash.h"
#include "supervisor/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* CURL_WRITEFUNC_PAUSE: what the program refused with it comes again, in an entry of its own. */
#define WRITE_PAUSE 0x10000001u

/* ---- names of libcurl's codes ---- */

static const struct { int code; const char *name, *words; } codes[] = {
#define CURL_CODE(number, NAME, words) {number, "CURLE_" #NAME, words},
#include "supervisor/curl_codes.def"
#undef CURL_CODE
};
#define CODE_COUNT (sizeof codes / sizeof *codes)

const char *curl_code_name(int64_t code)
{
  for (size_t i = 0; i < CODE_COUNT; i++)
    if (codes[i].code == code)
      return codes[i].name;
  return NULL;
}

const char *curl_code_words(int64_t code)
{
  for (size_t i = 0; i < CODE_COUNT; i++)
    if (codes[i].code == code)
      return codes[i].words;
  return "";
}

int curl_code_named(const char *name)
{
  if (strncasecmp(name, "CURLE_", 6) == 0)
    name += 6;
  for (size_t i = 0; i < CODE_COUNT; i++)
    if (strcasecmp(codes[i].name + 6, name) == 0)
      return codes[i].code;
  return -1;
}

const char *exchange_state_name(enum exchange_state state)
{
  switch (state) {
  case EXCHANGE_UNDER_WAY: return "under way";
  case EXCHANGE_ENDED: return "ended";
  case EXCHANGE_LEFT: return "left";
  }
  return "?";
}

/* ---- which one an entry belongs to ---- */

/* The one whose INTENT lies at `position`, or the stream's latest that is under way. */
static size_t find(const struct exchanges *exchanges, uint32_t stream, uint64_t position)
{
  for (size_t i = exchanges->count; i-- > exchanges->first_open;) {
    const struct exchange *exchange = &exchanges->list[i];
    if (exchange->stream == stream && exchange->state == EXCHANGE_UNDER_WAY &&
        (position == JOURNAL_EXCHANGE_LATEST || exchange->position == position))
      return i;
  }
  return EXCHANGE_NONE;
}

static void leave(struct exchanges *exchanges, size_t index, enum exchange_state state)
{
  exchanges->list[index].state = state;
  while (exchanges->first_open < exchanges->count &&
         exchanges->list[exchanges->first_open].state != EXCHANGE_UNDER_WAY)
    exchanges->first_open++;
}

/* Only one process of a run is journaled: a new image, or its end, ends what all its threads had begun. */
static void leave_all(struct exchanges *exchanges)
{
  for (size_t i = exchanges->first_open; i < exchanges->count; i++)
    if (exchanges->list[i].state == EXCHANGE_UNDER_WAY)
      exchanges->list[i].state = EXCHANGE_LEFT;
  exchanges->first_open = exchanges->count;
}

/* ---- what entries say ---- */

static void take_info(struct exchange *exchange, const struct journal_entry *entry, bool end)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_INFO, -1);
  const struct journal_info *info = NULL;
  while (segment != NULL && (info = journal_next_info(segment, info)) != NULL) {
    uint64_t value = 0;
    if (info->length != sizeof value)
      continue;
    memcpy(&value, info->data, sizeof value);
    if (info->info == CURL_INFO_RESPONSE_CODE)
      exchange->status = (int64_t)value;
    else if (info->info == CURL_INFO_SIZE_UPLOAD)
      exchange->request_size = value;
    else if (info->info == CURL_INFO_SIZE_DOWNLOAD && end)
      exchange->answer_size = value;
    else if (info->info == CURL_INFO_TOTAL_TIME && exchange->sent_count == 1 && !exchange->resolved)
      exchange->duration_ns = value * 1000;
  }
}

static char *copy_of(const struct journal_segment *segment)
{
  return segment != NULL ? strndup((const char *)segment->data, segment->length) : strdup("");
}

static int add_intent(struct exchanges *exchanges, const struct journal_entry *entry, uint64_t seq)
{
  if (exchanges->count == exchanges->room) {
    size_t room = exchanges->room > 0 ? 2 * exchanges->room : 16;
    struct exchange *grown = realloc(exchanges->list, room * sizeof *grown);
    if (grown == NULL)
      return -ENOMEM;
    exchanges->list = grown;
    exchanges->room = room;
  }
  const struct journal_segment *body = journal_find_segment(entry, SEGMENT_REQUEST, 3);
  uint64_t flags = entry_arg(entry, 0);
  struct exchange exchange = {
      .seq = seq,
      .position = entry->position,
      .stream = entry->stream,
      .method = copy_of(journal_find_segment(entry, SEGMENT_REQUEST, 0)),
      .url = copy_of(journal_find_segment(entry, SEGMENT_REQUEST, 1)),
      .time_ns = entry->time_ns,
      .request_size = body != NULL ? body->length : 0,
      .sent_count = 1,
      .attempt = exchanges->attempt,
      .safe = (flags & JOURNAL_EXCHANGE_SAFE) != 0,
      .keyed = (flags & JOURNAL_EXCHANGE_KEYED) != 0,
  };
  if (exchange.method == NULL || exchange.url == NULL) {
    free(exchange.method);
    free(exchange.url);
    return -ENOMEM;
  }
  exchanges->list[exchanges->count++] = exchange;
  return 0;
}

/* Lines of a header are never so long that they lie in a blob. */
static uint64_t piece_length(const struct journal_entry *entry, uint64_t *ret_hash)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  *ret_hash = segment != NULL ? journal_hash(segment->data, segment->length) : 0;
  return journal_given_length(entry);
}

static void add_callback(struct exchange *exchange, const struct journal_entry *entry)
{
  uint64_t hash, length = piece_length(entry, &hash);
  if (entry_arg(entry, 3) == WRITE_PAUSE)
    exchange->given_size -= exchange->last_length;
  switch (entry_arg(entry, 0)) {
  case JOURNAL_CALLBACK_WRITE:
    exchange->given_size += length;
    exchange->last_length = length;
    exchange->last_hash = hash;
    return;
  case JOURNAL_CALLBACK_HEADER:
    /* CURLOPT_HEADER: libcurl has given the line as body just before. */
    if (exchange->last_length == length && exchange->last_hash == hash)
      exchange->given_size -= length;
    break;
  case JOURNAL_CALLBACK_AGAIN:
  case JOURNAL_CALLBACK_RETRY:
    exchange->sent_count++;
    break;
  }
  exchange->last_length = 0;
}

static void add_result(struct exchange *exchange, const struct journal_entry *entry)
{
  exchange->code = entry->result;
  exchange->answer_size = 0;
  take_info(exchange, entry, true);
}

int exchanges_add(struct exchanges *exchanges, const struct journal_entry *entry, uint64_t seq,
                  size_t *ret_index)
{
  *ret_index = EXCHANGE_NONE;
  if (entry->kind == JOURNAL_ATTEMPT)
    exchanges->attempt = (uint32_t)entry->result;
  else if (entry->kind == JOURNAL_START || entry->kind == JOURNAL_EXIT)
    leave_all(exchanges);
  if (entry->kind == JOURNAL_INTENT && entry->call == CALL_ID_EXCHANGE) {
    int error = add_intent(exchanges, entry, seq);
    if (error == 0)
      *ret_index = exchanges->count - 1;
    return error;
  }
  if (entry->kind == JOURNAL_RESOLVE && entry->call == CALL_ID_EXCHANGE) {
    size_t resolved = find(exchanges, entry->stream, entry_arg(entry, 0));
    if (resolved != EXCHANGE_NONE)
      exchanges->list[resolved].resolved = entry->result != JOURNAL_RESOLUTION_RETRY;
  }
  bool result = entry->kind == JOURNAL_RESULT && entry->call == CALL_ID_EXCHANGE;
  bool callback = entry->kind == JOURNAL_COMPLETE && entry->call == CALL_ID_CALLBACK;
  if (!result && !callback)
    return 0;
  size_t index = find(exchanges, entry->stream, journal_exchange_of(entry));
  if (index == EXCHANGE_NONE)
    return 0;
  struct exchange *exchange = &exchanges->list[index];
  exchange->attempt = exchanges->attempt;
  exchange->duration_ns = entry->time_ns > exchange->time_ns ? entry->time_ns - exchange->time_ns : 0;
  if (callback) {
    take_info(exchange, entry, false);
    add_callback(exchange, entry);
    if (exchange->answer_size < exchange->given_size)
      exchange->answer_size = exchange->given_size;
  } else {
    add_result(exchange, entry);
    leave(exchanges, index, EXCHANGE_ENDED);
  }
  *ret_index = index;
  return 0;
}

bool exchange_replayed(const struct exchanges *exchanges, const struct exchange *exchange)
{
  return exchange->state == EXCHANGE_ENDED && exchange->attempt < exchanges->attempt;
}

void exchanges_release(struct exchanges *exchanges)
{
  for (size_t i = 0; i < exchanges->count; i++) {
    free(exchanges->list[i].method);
    free(exchanges->list[i].url);
  }
  free(exchanges->list);
  *exchanges = (struct exchanges){0};
}
