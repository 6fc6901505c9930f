/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange: a curl_easy_perform(), or a transfer of a multi handle (shim/curl_multi.c).
 *
 *   INTENT      before anything is sent, on disk with all before it: the request
 *   callbacks   each before it is made, with what the program does in it behind it
 *   RESULT      libcurl's code, and all that curl_easy_getinfo can give
 *
 * Killed between INTENT and RESULT, nobody knows what the server has done. Recovery stops, or lets the
 * exchange go on (supervisor/look.c): replay makes the callbacks that were, which puts the program
 * where it was, in the middle of the answer; then the request is sent again, with the same
 * Idempotency-Key, and what the program has had is held back. An answer that begins otherwise than the
 * first one ends as a connection does that breaks: CURLE_RECV_ERROR. */
#include "shim/curl.h"
#include "shim/passing.h"
#include "shim/x86_64/tsc_trap.h"

#define BODY_SHOWN_MAX (256u << 10)
#define HEADERS_SHOWN_MAX (64u << 10)

static const struct call_shape exchange_shape = {.class = CALL_CLASS_CHANGE_REMOTE};
static const struct call_shape pause_shape = {.class = CALL_CLASS_OBSERVE};

bool method_is_safe(const char *method)
{
  return raw_same_text(method, "GET") || raw_same_text(method, "HEAD") || raw_same_text(method, "OPTIONS") ||
         raw_same_text(method, "TRACE");
}

static void sign(struct call *call, const struct curl_handle *handle)
{
  size_t length;
  const void *body = handle_body(handle, &length);
  uint64_t hash = hash_mix(CALL_ID_EXCHANGE, handle->hash);
  for (const struct curl_list *item = (const struct curl_list *)handle->kept[KEPT_HTTPHEADER]; item;
       item = item->next)
    hash = hash_mix(hash, hash_bytes(item->data, raw_length(item->data)));
  if (body)
    hash = hash_mix(hash, hash_bytes(body, length));
  call->signature = hash | 1;
}

static void clear(struct curl_handle *handle)
{
  handle->busy = true;
  handle->sent_by = NULL;
  handle->sending = handle->unfinished = handle->again = handle->mismatch = handle->gave_body = false;
  handle->paused_receive = handle->paused_send = false;
  handle->in_header = handle->again_in_header = false;
  handle->last_return = 0;
  handle->result = handle->given = NULL;
  handle->body_length = handle->body_hash = handle->again_length = handle->again_hash = 0;
  handle->spool_place = handle->frame_left = handle->recorded = 0;
  raw_fill(handle->count, 0, sizeof handle->count);
  raw_fill(handle->again_count, 0, sizeof handle->again_count);
  raw_fill(handle->seen_hash, 0, sizeof handle->seen_hash);
  raw_fill(handle->seen, 0, sizeof handle->seen);
  retry_begin(handle);
}

void exchange_begin(struct curl_handle *handle, struct call *ret_call)
{
  *ret_call = (struct call){.id = CALL_ID_EXCHANGE, .shape = &exchange_shape};
  clear(handle);
  sign(ret_call, handle);
  handle->repeatable = exchange_may_be_repeated(handle);
  handle->key_item.next = (struct curl_list *)handle->kept[KEPT_HTTPHEADER];
  handle->keyed = key_make(handle, ++engine_thread.exchanges);
}

bool exchanges_are_open(uint64_t since)
{
  uint32_t place = 0;
  const struct curl_handle *handle;
  while ((handle = handle_next(&place)))
    if (handle->busy && handle->number > since && !handle->repeatable)
      return true;
  return false;
}

/* ---- live ---- */

/* The program's header lines, in the handle's scratch memory. */
static size_t list_headers(struct curl_handle *handle, const struct curl_list *item)
{
  uint8_t *to = handle_scratch(handle);
  size_t used = 0;
  for (; item; item = item->next) {
    size_t length = raw_length(item->data);
    if (used + length + 1 > HEADERS_SHOWN_MAX)
      break;
    raw_copy(to + used, item->data, length);
    to[used + length] = '\n';
    used += length + 1;
  }
  return used;
}

uint64_t exchange_record_request(struct call *call, struct curl_handle *handle)
{
  const char *method = handle_method(handle);
  size_t length = 0;
  struct draft draft;
  const void *body = handle_body(handle, &length);
  call->args[0] = (method_is_safe(method) ? JOURNAL_EXCHANGE_SAFE : 0) | (handle->keyed ? JOURNAL_EXCHANGE_KEYED : 0);
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft.tail.arg_count = 1;
  draft_add(&draft, SEGMENT_REQUEST, 0, method, raw_length(method));
  draft_add(&draft, SEGMENT_REQUEST, 1, handle->url, raw_length(handle->url));
  draft_add(&draft, SEGMENT_REQUEST, 2, handle_scratch(handle),
            list_headers(handle, handle->keyed ? &handle->key_item : handle->key_item.next));
  if (body)
    draft_add(&draft, SEGMENT_REQUEST, 3, body, length < BODY_SHOWN_MAX ? length : BODY_SHOWN_MAX);
  crash_point();
  handle->number = draft_append(&draft);
  return handle->number;
}

uint64_t exchange_record_again(struct curl_handle *handle)
{
  struct call call = {.id = CALL_ID_CALLBACK, .shape = &exchange_shape};
  struct draft draft;
  handle->again = true;
  callback_draft(&draft, &call, handle, JOURNAL_CALLBACK_AGAIN, 0, 0);
  crash_point();
  return draft_append(&draft);
}

/* Before the first byte is sent. */
static void make_durable(uint64_t position)
{
  record_before_remote(position);
  crash_point();
}

void exchange_record_end(struct curl_handle *handle, size_t info_length, int code)
{
  struct call call = {.id = CALL_ID_EXCHANGE, .shape = &exchange_shape, .args = {handle->number}};
  struct draft draft;
  crash_point();
  draft_begin(&draft, &call, JOURNAL_RESULT, code);
  draft.tail.arg_count = 1;
  draft_add(&draft, SEGMENT_INFO, 0, handle_info(handle), info_length);
  const char *words = (const char *)handle->kept[KEPT_ERRORBUFFER];
  if (words && code > CURL_OK)
    draft_add(&draft, SEGMENT_OUTPUT, 0, words, raw_length(words) + 1);
  draft_append(&draft);
  crash_point();
}

void exchange_prepare(struct curl_handle *handle, const struct curl_real *real)
{
  callbacks_install(handle, real);
  if (handle->keyed)
    real->easy_setopt(handle->easy, CURL_HTTPHEADER, &handle->key_item);
  handle->sending = true;
}

int exchange_end(struct curl_handle *handle, const struct curl_real *real, int code)
{
  if (handle->sending) {
    handle->sending = false;
    if (handle->keyed)
      real->easy_setopt(handle->easy, CURL_HTTPHEADER, handle->kept[KEPT_HTTPHEADER]);
    callbacks_remove(handle, real);
  }
  if (handle->again && code != EXCHANGE_LEFT &&
      (handle->mismatch || (code == CURL_OK && handle->again_length < handle->body_length))) {
    record_note(TAIL_NOTED_ANSWER, "the answer to a request that was sent again was another one: the program sees a "
                                   "broken connection");
    code = CURL_RECV_ERROR;
  }
  exchange_record_end(handle, info_collect(handle, real), code);
  spool_close(handle);
  blob_close(&handle->blob);
  handle->busy = false;
  return code;
}

static int send_request(struct curl_handle *handle, const struct curl_real *real, uint64_t position)
{
  make_durable(position);
  uint32_t before = passing_begin();
  exchange_prepare(handle, real);
  handle->sent_by = &engine_thread;
  bool lent = tsc_trap_lend(true);
  int code = real->easy_perform(handle->easy);
  while (retry_follows(handle, real, code)) {
    retry_wait(handle);
    code = real->easy_perform(handle->easy);
  }
  tsc_trap_lend(lent);
  code = exchange_end(handle, real, code);
  passing_end(before);
  return code;
}

/* ---- replay ---- */

void exchange_take_request(struct curl_handle *handle, const struct journal_entry *intent)
{
  handle->number = intent->position;
  handle->unfinished = intent->arg_count & JOURNAL_FLAG_UNFINISHED;
  handle->given = journal_find_segment(intent, SEGMENT_RESOLUTION, -1) ? intent : NULL;
  handle->keyed = handle->keyed && intent->args[0] & JOURNAL_EXCHANGE_KEYED;
  replay_advance(intent);
}

void exchange_replay_end(struct curl_handle *handle, const struct curl_real *real, const struct journal_entry *entry)
{
  char *words = (char *)handle->kept[KEPT_ERRORBUFFER];
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  if (words)
    words[0] = 0;
  if (words && segment && segment->length <= CURL_ERROR_SIZE)
    raw_copy(words, segment->data, segment->length);
  handle->result = entry;
  info_restore_cookies(handle, real);
  spool_close(handle);
  blob_close(&handle->blob);
  handle->busy = false;
  replay_advance(entry);
}

int exchange_perform(struct curl_handle *handle, const struct curl_real *real)
{
  struct call call;
  exchange_begin(handle, &call);
  const struct journal_entry *intent = engine_live() ? NULL : replay_take(&call, JOURNAL_INTENT);
  if (!intent)
    return send_request(handle, real, exchange_record_request(&call, handle));
  exchange_take_request(handle, intent);
  const struct journal_entry *entry = curl_replay_until(&call, JOURNAL_RESULT, handle);
  if (entry) {
    int code = (int)entry->result;
    exchange_replay_end(handle, real, entry);
    if (engine.threaded)
      replay_yield();
    return code;
  }
  if (!handle->unfinished)
    engine_failed(TAIL_REPORT_FAILED, "the feed ends between a request and its outcome: ", handle->url, 0);
  return handle->given ? given_end(handle) : send_request(handle, real, exchange_record_again(handle));
}

/* ---- pausing ---- */

#define PAUSE_RECEIVE 1
#define PAUSE_SEND 4

/* Unpausing may bring callbacks before it returns. */
int exchange_pause(struct curl_handle *handle, const struct curl_real *real, int action)
{
  struct call call = {.id = CALL_ID_PAUSE, .shape = &pause_shape, .signature = CALL_ID_PAUSE};
  handle->paused_receive = action & PAUSE_RECEIVE;
  handle->paused_send = action & PAUSE_SEND;
  const struct journal_entry *entry = engine_live() ? NULL : curl_replay_until(&call, JOURNAL_COMPLETE, handle);
  if (entry) {
    replay_advance(entry);
    return (int)entry->result;
  }
  int code = CURL_OK;
  if (handle->sending) {
    uint32_t before = passing_begin();
    code = real->easy_pause(handle->easy, action);
    passing_end(before);
  }
  record_complete(&call, code);
  return code;
}
