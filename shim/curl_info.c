/* SPDX-License-Identifier: Apache-2.0 */
/* What curl_easy_getinfo gives: journaled with the end of an exchange, all of it, and with callbacks, as
 * far as programs ask there. Answers in replay, and after it until the handle's next exchange, come from
 * the feed. */
#include "shim/curl.h"
#include "shim/passing.h"

#define OPTION_COOKIELIST 10135

static const int seen_infos[] = {
#define SEEN(info) info,
#include "shim/curl_seen.def"
#undef SEEN
};
_Static_assert(sizeof seen_infos / sizeof *seen_infos == SEEN_COUNT, "shim/curl.h");

/* Is it one that is journaled? Pointers into libcurl and the program's own are not. */
static bool is_journaled(int info)
{
  int type = info & INFO_TYPE_MASK, number = info & ~INFO_TYPE_MASK;
  if (type != INFO_STRING && type != INFO_LONG && type != INFO_DOUBLE && type != INFO_OFF_T)
    return false;
  /* CURLINFO_PRIVATE, LASTSOCKET, TLS_SESSION and the like */
  return info != INFO_PRIVATE && info != INFO_LONG + 29 && number != 43 && number != 44 && number != 45;
}

static const void *value_bytes(int info, const uint64_t *value, size_t *ret_length)
{
  if ((info & INFO_TYPE_MASK) != INFO_STRING) {
    *ret_length = sizeof *value;
    return value;
  }
  *ret_length = *value ? raw_length((const char *)*value) + 1 : 0;
  return (const void *)*value;
}

/* ---- values from the journal ---- */

static const struct journal_info *first_info(const struct journal_segment *segment)
{
  return segment && segment->length >= sizeof(struct journal_info) ? (const struct journal_info *)segment->data
                                                                   : NULL;
}

static const struct journal_info *next_info(const struct journal_segment *segment, const struct journal_info *info)
{
  const uint8_t *next = info->data + journal_padded(info->length);
  return next < segment->data + segment->length ? (const struct journal_info *)next : NULL;
}

static uint64_t value_of(const struct journal_info *info, int wanted)
{
  if ((wanted & INFO_TYPE_MASK) == INFO_STRING)
    return info ? (uint64_t)info->data : 0;
  return info ? *(const uint64_t *)info->data : 0;
}

static uint64_t recorded_value(const struct journal_entry *entry, int wanted)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_INFO, -1);
  const struct journal_info *info = first_info(segment);
  while (info && info->info != (uint32_t)wanted)
    info = next_info(segment, info);
  return value_of(info, wanted);
}

/* What libcurl says of the exchange; of one that a person has given the end of, what goes with that. */
static int ask(const struct curl_handle *handle, const struct curl_real *real, int info, uint64_t *ret_value)
{
  int code = real->easy_getinfo(handle->easy, info, ret_value);
  if (code == CURL_OK && handle->given && is_journaled(info))
    *ret_value = recorded_value(handle->given, info);
  return code;
}

/* ---- collecting ---- */

struct collecting {
  uint8_t *place;
  size_t used, room;
};

static void put(struct collecting *to, int info, const void *bytes, size_t length)
{
  struct journal_info head = {.info = (uint32_t)info, .length = (uint32_t)length};
  if (to->used + sizeof head + journal_padded(length) > to->room)
    return;
  raw_copy(to->place + to->used, &head, sizeof head);
  if (length)
    raw_fill(to->place + to->used + sizeof head + journal_padded(length) - 8, 0, 8);
  raw_copy(to->place + to->used + sizeof head, bytes, length);
  to->used += sizeof head + journal_padded(length);
}

/* What this libcurl answers at all: a fifth of the numbers. Threads that ask first at the same time find the same. */
static const int *answered_infos(const struct curl_handle *handle, const struct curl_real *real, unsigned *ret_count)
{
  static const int types[] = {INFO_STRING, INFO_LONG, INFO_DOUBLE, INFO_OFF_T};
  LARGE_TABLE static int answered[INFO_NUMBER_MAX * sizeof types / sizeof *types];
  static _Atomic unsigned answered_count;
  unsigned count = answered_count;
  if (!count) {
    for (int number = 1; number < INFO_NUMBER_MAX; number++)
      for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        uint64_t value = 0;
        int info = types[i] + number;
        if (is_journaled(info) && real->easy_getinfo(handle->easy, info, &value) == CURL_OK)
          answered[count++] = info;
      }
    answered_count = count;
  }
  *ret_count = count;
  return answered;
}

size_t info_collect(struct curl_handle *handle, const struct curl_real *real)
{
  struct collecting to = {.place = handle_info(handle), .room = HANDLE_INFO_SIZE};
  unsigned count;
  const int *infos = answered_infos(handle, real, &count);
  for (unsigned i = 0; i < count; i++) {
    uint64_t value = 0;
    size_t length;
    if (real->easy_getinfo(handle->easy, infos[i], &value) != CURL_OK || !value)
      continue;
    const void *bytes = value_bytes(infos[i], &value, &length);
    put(&to, infos[i], bytes, length);
  }
  struct curl_list *cookies = NULL;
  if (real->easy_getinfo(handle->easy, INFO_COOKIES, &cookies) == CURL_OK && cookies) {
    for (const struct curl_list *item = cookies; item; item = item->next)
      put(&to, INFO_COOKIES, item->data, raw_length(item->data) + 1);
    real->slist_free_all(cookies);
  }
  return to.used;
}

void info_restore_cookies(struct curl_handle *handle, const struct curl_real *real)
{
  const struct journal_segment *segment = journal_find_segment(handle->result, SEGMENT_INFO, -1);
  bool cleared = false;
  uint32_t before = passing_begin();
  for (const struct journal_info *info = first_info(segment); info; info = next_info(segment, info)) {
    if (info->info != INFO_COOKIES)
      continue;
    if (!cleared)
      real->easy_setopt(handle->easy, OPTION_COOKIELIST, "ALL");
    cleared = true;
    real->easy_setopt(handle->easy, OPTION_COOKIELIST, (const char *)info->data);
  }
  passing_end(before);
}

/* ---- during callbacks ---- */

void info_add_seen(struct draft *draft, struct curl_handle *handle)
{
  struct collecting to = {.place = handle_info(handle), .room = HANDLE_INFO_SIZE};
  const struct curl_real *real = curl_real();
  for (unsigned i = 0; i < SEEN_COUNT; i++) {
    uint64_t value = 0;
    size_t length;
    if (ask(handle, real, seen_infos[i], &value) != CURL_OK)
      continue;
    const void *bytes = value_bytes(seen_infos[i], &value, &length);
    uint64_t hash = length ? hash_bytes(bytes, length) : 0;
    if (hash == handle->seen_hash[i])
      continue;
    handle->seen_hash[i] = hash;
    put(&to, seen_infos[i], bytes, length);
  }
  if (to.used)
    draft_add(draft, SEGMENT_INFO, 0, to.place, to.used);
}

void info_take_seen(struct curl_handle *handle, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_INFO, -1);
  for (const struct journal_info *info = first_info(segment); info; info = next_info(segment, info))
    for (unsigned i = 0; i < SEEN_COUNT; i++)
      if (info->info == (uint32_t)seen_infos[i]) {
        handle->seen[i] = info->length ? info : NULL;
        handle->seen_hash[i] = info->length ? hash_bytes(info->data, info->length) : 0;
      }
}

static int seen_index(int info)
{
  for (int i = 0; i < SEEN_COUNT; i++)
    if (seen_infos[i] == info)
      return i;
  return -1;
}

/* Asked in a callback, and not one of those that are journaled with it. */
static int observe_info(struct curl_handle *handle, const struct curl_real *real, int info, uint64_t *ret_value)
{
  static const struct call_shape shape = {.class = CALL_CLASS_OBSERVE};
  struct call call = {.id = CALL_ID_GETINFO, .shape = &shape, .signature = hash_mix(CALL_ID_GETINFO, (uint64_t)info) | 1};
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(&call, JOURNAL_COMPLETE);
  if (entry) {
    if (entry->result == CURL_OK)
      *ret_value = recorded_value(entry, info);
    replay_advance(entry);
    return (int)entry->result;
  }
  crash_point();
  int code = ask(handle, real, info, ret_value);
  struct collecting to = {.place = handle_info(handle), .room = HANDLE_INFO_SIZE};
  struct draft draft;
  draft_begin(&draft, &call, JOURNAL_COMPLETE, code);
  if (code == CURL_OK && *ret_value) {
    size_t length;
    const void *bytes = value_bytes(info, ret_value, &length);
    put(&to, info, bytes, length);
    draft_add(&draft, SEGMENT_INFO, 0, to.place, to.used);
  }
  draft_append(&draft);
  crash_point();
  return code;
}

int info_get(struct curl_handle *handle, const struct curl_real *real, int info, uint64_t *ret_value)
{
  if (!is_journaled(info) || (!handle->busy && !handle->result) || (handle->busy && handle->sending && seen_index(info) >= 0))
    return handle->busy ? ask(handle, real, info, ret_value) : real->easy_getinfo(handle->easy, info, ret_value);
  if (handle->busy && seen_index(info) < 0)
    return observe_info(handle, real, info, ret_value);
  /* libcurl knows which there are. */
  uint64_t unused;
  int code = real->easy_getinfo(handle->easy, info, &unused);
  if (code == CURL_OK)
    *ret_value = handle->busy ? value_of(handle->seen[seen_index(info)], info) : recorded_value(handle->result, info);
  return code;
}
