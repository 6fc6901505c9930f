/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's calls of the program: journaled before they are made, made again from the journal in replay.
 *
 * When an exchange that had no end is sent again (shim/curl_exchange.c), what the program has had of the
 * answer is held back: header lines, seeks and debug words by their number, body bytes by their
 * number and hash; and what the program has given of the request comes from the spool.
 *
 * Killed before the entry: the callback has not been. Killed after it: replay makes the callback, and the
 * program does in it what it did. */
#include "shim/curl.h"
#include "shim/passing.h"
#include "shim/x86_64/tsc_trap.h"

#define FNV_FIRST 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

typedef size_t write_function(const void *bytes, size_t size, size_t count, void *data);
typedef size_t read_function(void *bytes, size_t size, size_t count, void *data);
typedef int seek_function(void *data, int64_t offset, int origin);
typedef int debug_function(void *easy, int type, const void *bytes, size_t size, void *data);
typedef int progress_function(void *data, int64_t down_all, int64_t down, int64_t up_all, int64_t up);

/* One callback, live or from the journal. */
struct callback {
  unsigned kind;
  uint64_t first, second;
  void *bytes;
  size_t length;
};

static void *kept(const struct curl_handle *handle, enum curl_kept index)
{
  return (void *)handle->kept[index];
}

/* Bytes of any split have the same hash. */
static uint64_t hash_more(uint64_t hash, const uint8_t *bytes, size_t length)
{
  if (!hash)
    hash = FNV_FIRST;
  for (size_t i = 0; i < length; i++)
    hash = (hash ^ bytes[i]) * FNV_PRIME;
  return hash;
}

/* ---- calling the program ---- */

static bool has_header(const struct curl_handle *handle)
{
  return handle->kept[KEPT_HEADERFUNCTION] || handle->kept[KEPT_HEADERDATA];
}

static uint64_t call_write(struct curl_handle *handle, const struct callback *callback)
{
  write_function *function = kept(handle, KEPT_WRITEFUNCTION);
  void *data = kept(handle, KEPT_WRITEDATA);
  if (callback->kind == JOURNAL_CALLBACK_HEADER) {
    if (!has_header(handle))
      return callback->length;
    if (handle->kept[KEPT_HEADERFUNCTION])
      function = kept(handle, KEPT_HEADERFUNCTION);
    data = kept(handle, KEPT_HEADERDATA);
  }
  if (function && function != curl_real()->fwrite)
    return function(callback->bytes, 1, callback->length, data);
  if (!data && callback->kind == JOURNAL_CALLBACK_WRITE)
    data = curl_real()->out;
  return curl_real()->fwrite(callback->bytes, 1, callback->length, data);
}

/* struct curl_httppost. */
struct form_part {
  struct form_part *next;
  void *unused[9];
  long flags;
  char *file_name;
  void *own;
};
#define FORM_PART_STREAM (1 << 6)

/* In a callback's second number: a part that curl_mime_data_cb has given, and its number. With a seek the origin lies
 * below it. */
#define MIME_PART (1ull << 32)
#define MIME_SHIFT 8

static uint64_t mime_number(const struct callback *callback)
{
  return (callback->second & (MIME_PART - 1)) >> MIME_SHIFT;
}

static uint64_t call_read(struct curl_handle *handle, const struct callback *callback)
{
  if (callback->second & MIME_PART)
    return mime_read(mime_number(callback), callback->bytes, callback->first);
  read_function *function = kept(handle, KEPT_READFUNCTION);
  void *data = kept(handle, KEPT_READDATA);
  const struct form_part *part = callback->second ? kept(handle, KEPT_HTTPPOST) : NULL;
  for (uint64_t i = 1; part && i < callback->second; i++)
    part = part->next;
  if (part)
    data = part->own;
  if (function && function != curl_real()->fread)
    return function(callback->bytes, 1, callback->first, data);
  return curl_real()->fread(callback->bytes, 1, callback->first, data ? data : curl_real()->in);
}

static uint64_t call_seek(struct curl_handle *handle, const struct callback *callback)
{
  if (callback->second & MIME_PART)
    return (uint64_t)(int64_t)mime_seek(mime_number(callback), (int64_t)callback->first,
                                        (int)(callback->second & ((1 << MIME_SHIFT) - 1)));
  seek_function *function = kept(handle, KEPT_SEEKFUNCTION);
  if (function)
    return (uint64_t)(int64_t)function(kept(handle, KEPT_SEEKDATA), (int64_t)callback->first, (int)callback->second);
  void *file = kept(handle, KEPT_READDATA);
  return curl_real()->fseeko(file ? file : curl_real()->in, (int64_t)callback->first, (int)callback->second)
             ? CURL_SEEK_CANNOT
             : 0;
}

static uint64_t call_program(struct curl_handle *handle, const struct callback *callback)
{
  switch (callback->kind) {
  case JOURNAL_CALLBACK_WRITE:
  case JOURNAL_CALLBACK_HEADER:
    return call_write(handle, callback);
  case JOURNAL_CALLBACK_READ:
    return call_read(handle, callback);
  case JOURNAL_CALLBACK_SEEK:
    return call_seek(handle, callback);
  case JOURNAL_CALLBACK_PROGRESS: {
    progress_function *function = kept(handle, KEPT_XFERINFOFUNCTION);
    const int64_t *numbers = callback->bytes;
    return function ? (uint64_t)(int64_t)function(kept(handle, KEPT_XFERINFODATA), numbers[0], numbers[1],
                                                  numbers[2], numbers[3])
                    : 0;
  }
  case JOURNAL_CALLBACK_DEBUG: {
    debug_function *function = kept(handle, KEPT_DEBUGFUNCTION);
    return function ? (uint64_t)(int64_t)function(handle->easy, (int)callback->first, callback->bytes,
                                                  callback->length, kept(handle, KEPT_DEBUGDATA))
                    : 0;
  }
  }
  return 0;
}

/* ---- what has come by ---- */

/* With CURLOPT_HEADER the header's lines come as body, one at a time. Is this one? */
static bool is_header_line(const struct curl_handle *handle, const struct callback *callback, bool *in_header,
                           uint64_t body_length)
{
  const uint8_t *bytes = callback->bytes;
  if (callback->kind != JOURNAL_CALLBACK_WRITE || !(uint32_t)handle->kept[KEPT_HEADER] || body_length)
    return false;
  if (callback->length >= 5 && raw_equal(bytes, "HTTP/", 5))
    *in_header = true;
  if (!*in_header)
    return false;
  if (callback->length <= 2)
    *in_header = false;
  return true;
}

static void note_done(struct curl_handle *handle, const struct callback *callback, uint64_t result)
{
  if (callback->kind == JOURNAL_CALLBACK_WRITE) {
    if (result != callback->length)
      return;
    if (is_header_line(handle, callback, &handle->in_header, handle->body_length)) {
      handle->count[COUNT_HEADER_IN_BODY]++;
      return;
    }
    handle->body_length += callback->length;
    if (handle->unfinished)
      handle->body_hash = hash_more(handle->body_hash, callback->bytes, callback->length);
  } else if (callback->kind == JOURNAL_CALLBACK_READ && handle->unfinished && !handle->sending) {
    spool_put(handle, callback->bytes, result);
  } else if (callback->kind == JOURNAL_CALLBACK_SEEK) {
    handle->seek_return = result;
  }
  handle->count[callback->kind]++;
}

/* The body again: holds back what the program has. False: nothing is left to give. */
static bool hold_back_body(struct curl_handle *handle, struct callback *callback)
{
  if (is_header_line(handle, callback, &handle->again_in_header, handle->again_length))
    return handle->again_count[COUNT_HEADER_IN_BODY]++ >= handle->count[COUNT_HEADER_IN_BODY];
  uint64_t left = handle->body_length - handle->again_length;
  size_t held = left < callback->length ? (size_t)left : callback->length;
  if (!held)
    return true;
  handle->again_hash = hash_more(handle->again_hash, callback->bytes, held);
  handle->again_length += held;
  if (handle->again_length == handle->body_length && handle->again_hash != handle->body_hash)
    handle->mismatch = true;
  callback->bytes = (uint8_t *)callback->bytes + held;
  callback->length -= held;
  return callback->length > 0;
}

/* Is the callback one that the program has had? */
static bool had_before(struct curl_handle *handle, struct callback *callback, uint64_t *ret_result)
{
  unsigned kind = callback->kind;
  switch (kind) {
  case JOURNAL_CALLBACK_WRITE: {
    size_t length = callback->length;
    bool over = !hold_back_body(handle, callback);
    *ret_result = handle->mismatch ? 0 : length;
    return over || handle->mismatch;
  }
  case JOURNAL_CALLBACK_READ:
    return spool_take(handle, callback->bytes, callback->first, ret_result);
  case JOURNAL_CALLBACK_HEADER:
    *ret_result = callback->length;
    /* Lines of the same answer's header come before its body. */
    return handle->again_count[kind]++ < handle->count[kind] || handle->again_length < handle->body_length;
  case JOURNAL_CALLBACK_SEEK:
    *ret_result = handle->seek_return;
    return handle->again_count[kind]++ < handle->count[kind];
  case JOURNAL_CALLBACK_DEBUG:
    *ret_result = 0;
    return handle->again_count[kind]++ < handle->count[kind];
  }
  return false;
}

/* ---- live ---- */

/* The bytes that the program is given: in the entry, or in a blob when they are many. */
static void record_bytes(struct draft *draft, struct curl_handle *handle, const struct callback *callback)
{
  if (handle->recorded >= JOURNAL_BLOB_AFTER_SIZE && callback->length >= JOURNAL_BLOB_PIECE_SIZE_MIN) {
    blob_add(draft, &handle->blob, callback->bytes, callback->length);
    return;
  }
  handle->recorded += callback->length;
  draft_add(draft, SEGMENT_OUTPUT, 0, callback->bytes, callback->length);
}

void callback_draft(struct draft *draft, struct call *call, struct curl_handle *handle, unsigned kind,
                    uint64_t first, uint64_t second)
{
  call->args[0] = kind;
  call->args[1] = first;
  call->args[2] = second;
  call->args[3] = handle->last_return;
  call->args[4] = handle->number;
  draft_begin(draft, call, JOURNAL_COMPLETE, 0);
  draft->tail.arg_count = 5;
}

static bool is_paused(const struct curl_handle *handle, unsigned kind)
{
  return kind == JOURNAL_CALLBACK_READ                                        ? handle->paused_send
         : kind == JOURNAL_CALLBACK_WRITE || kind == JOURNAL_CALLBACK_HEADER ? handle->paused_receive
                                                                              : false;
}

static void note_pause(struct curl_handle *handle, unsigned kind, uint64_t result)
{
  if (kind == JOURNAL_CALLBACK_READ && result == CURL_READ_PAUSE)
    handle->paused_send = true;
  else if ((kind == JOURNAL_CALLBACK_WRITE || kind == JOURNAL_CALLBACK_HEADER) && result == CURL_WRITE_PAUSE)
    handle->paused_receive = true;
}

static uint64_t callback_live(struct curl_handle *handle, struct callback callback)
{
  uint64_t result;
  size_t whole = callback.length;
  uint64_t length_before = handle->again_length, hash_before = handle->again_hash;
  if (handle->again && had_before(handle, &callback, &result))
    return result;
  /* libcurl does not know of a pause of an earlier attempt. */
  if (handle->again && is_paused(handle, callback.kind)) {
    handle->again_length = length_before;
    handle->again_hash = hash_before;
    return CURL_WRITE_PAUSE;
  }
  struct call call = {.id = CALL_ID_CALLBACK};
  struct draft draft;
  crash_point();
  callback_draft(&draft, &call, handle, callback.kind, callback.first, callback.second);
  if (callback.kind != JOURNAL_CALLBACK_READ)
    record_bytes(&draft, handle, &callback);
  info_add_seen(&draft, handle);
  draft_append(&draft);
  crash_point();
  if (callback.kind == JOURNAL_CALLBACK_HEADER && !has_header(handle)) {
    result = callback.length;
  } else {
    engine_thread.passing = 0;
    bool lent = tsc_trap_lend(false);
    result = call_program(handle, &callback);
    tsc_trap_lend(lent);
    engine_thread.passing = 1;
  }
  handle->last_return = result;
  note_pause(handle, callback.kind, result);
  /* Of a piece that was partly held back, all has been taken when the rest has; and all of it comes again
   * after a pause. */
  if (callback.kind == JOURNAL_CALLBACK_WRITE && result == CURL_WRITE_PAUSE) {
    handle->again_length = length_before;
    handle->again_hash = hash_before;
  }
  uint64_t seen_by_libcurl = result == callback.length ? whole : result;
  if (handle->again)
    handle->gave_body |= callback.kind == JOURNAL_CALLBACK_WRITE;
  else
    note_done(handle, &callback, result);
  return callback.kind == JOURNAL_CALLBACK_WRITE || callback.kind == JOURNAL_CALLBACK_HEADER ? seen_by_libcurl
                                                                                             : result;
}

size_t callback_give(struct curl_handle *handle, unsigned kind, void *bytes, size_t length)
{
  return callback_live(handle, (struct callback){kind, 0, 0, bytes, length});
}

size_t callback_read_part(struct curl_handle *handle, uint64_t number, void *bytes, size_t size)
{
  return callback_live(handle, (struct callback){JOURNAL_CALLBACK_READ, size, MIME_PART | number << MIME_SHIFT, bytes, 0});
}

int callback_seek_part(struct curl_handle *handle, uint64_t number, int64_t offset, int origin)
{
  uint64_t second = MIME_PART | number << MIME_SHIFT | (uint64_t)origin;
  return (int)callback_live(handle, (struct callback){JOURNAL_CALLBACK_SEEK, (uint64_t)offset, second, NULL, 0});
}

static size_t on_write(void *bytes, size_t size, size_t count, void *data)
{
  struct curl_handle *handle = data;
  if (retry_holds_back(handle, curl_real()))
    return size * count;
  return callback_live(handle, (struct callback){JOURNAL_CALLBACK_WRITE, 0, 0, bytes, size * count});
}

static size_t on_header(void *bytes, size_t size, size_t count, void *handle)
{
  return callback_live(handle, (struct callback){JOURNAL_CALLBACK_HEADER, 0, 0, bytes, size * count});
}

/* For a part of a form that is a stream (CURLFORM_STREAM) libcurl gives that part's own data: the one that is
 * sending such a form, and which part of it. */
static struct curl_handle *find_sender(const void *data, uint64_t *ret_part)
{
  uint32_t place = 0;
  struct curl_handle *handle;
  while ((handle = handle_next(&place))) {
    const struct form_part *part = handle->sending ? kept(handle, KEPT_HTTPPOST) : NULL;
    for (uint64_t i = 1; part; part = part->next, i++)
      if (part->flags & FORM_PART_STREAM && part->own == data) {
        *ret_part = i;
        return handle;
      }
  }
  return NULL;
}

static size_t on_read(void *bytes, size_t size, size_t count, void *data)
{
  uint64_t part = 0;
  struct curl_handle *handle = handle_is(data) ? data : find_sender(data, &part);
  if (!handle)
    return CURL_READ_ABORT;
  return callback_live(handle, (struct callback){JOURNAL_CALLBACK_READ, size * count, part, bytes, 0});
}

static int on_seek(void *handle, int64_t offset, int origin)
{
  return (int)callback_live(handle,
                            (struct callback){JOURNAL_CALLBACK_SEEK, (uint64_t)offset, (uint64_t)origin, NULL, 0});
}

static int on_progress(void *handle, int64_t down_all, int64_t down, int64_t up_all, int64_t up)
{
  int64_t numbers[4] = {down_all, down, up_all, up};
  return (int)callback_live(handle, (struct callback){JOURNAL_CALLBACK_PROGRESS, 0, 0, numbers, sizeof numbers});
}

/* What is sent and received may be long; it comes in pieces. */
static int on_debug(void *easy, int type, const uint8_t *bytes, size_t length, void *handle)
{
  int result = 0;
  do {
    size_t piece = length < (256u << 10) ? length : 256u << 10;
    result = (int)callback_live(handle, (struct callback){JOURNAL_CALLBACK_DEBUG, (uint64_t)type, 0,
                                                          (void *)bytes, piece});
    bytes += piece;
    length -= piece;
  } while (length && !result);
  return result;
}

/* ---- replay ---- */

void callback_replay(struct curl_handle *handle, const struct journal_entry *entry)
{
  struct callback callback = {.kind = (unsigned)entry->args[0],
                              .first = entry->args[1],
                              .second = entry->args[2],
                              .bytes = handle_scratch(handle)};
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  info_take_seen(handle, entry);
  if (segment && segment->length < HANDLE_SCRATCH_SIZE) {
    callback.length = segment->length;
    raw_copy(callback.bytes, segment->data, segment->length);
    handle->recorded += segment->length;
  } else if (!segment) {
    callback.length = blob_take(&handle->blob, entry, callback.bytes, HANDLE_SCRATCH_SIZE - 1);
  }
  ((uint8_t *)callback.bytes)[callback.length] = 0;
  if (callback.kind == JOURNAL_CALLBACK_AGAIN)
    return;
  if (callback.kind == JOURNAL_CALLBACK_RETRY) {
    retry_replay(handle, entry);
    return;
  }
  uint64_t result = call_program(handle, &callback);
  handle->last_return = result;
  note_pause(handle, callback.kind, result);
  note_done(handle, &callback, result);
}

/* ---- in the program's place ---- */

static bool has_seek(const struct curl_handle *handle)
{
  return handle->kept[KEPT_SEEKFUNCTION] || !handle->kept[KEPT_READFUNCTION] ||
         kept(handle, KEPT_READFUNCTION) == (void *)curl_real()->fread;
}

bool callback_rewind(struct curl_handle *handle)
{
  return has_seek(handle) && callback_live(handle, (struct callback){JOURNAL_CALLBACK_SEEK, 0, 0, NULL, 0}) == 0;
}

void callbacks_install(struct curl_handle *handle, const struct curl_real *real)
{
  void *easy = handle->easy;
  real->easy_setopt(easy, CURL_WRITEFUNCTION, on_write);
  real->easy_setopt(easy, CURL_WRITEDATA, handle);
  real->easy_setopt(easy, CURL_READFUNCTION, on_read);
  real->easy_setopt(easy, CURL_READDATA, handle);
  if (has_seek(handle)) {
    real->easy_setopt(easy, CURL_SEEKFUNCTION, on_seek);
    real->easy_setopt(easy, CURL_SEEKDATA, handle);
  }
  /* Header lines are journaled for people too, whether or not the program wants them. */
  real->easy_setopt(easy, CURL_HEADERFUNCTION, on_header);
  real->easy_setopt(easy, CURL_HEADERDATA, handle);
  if (handle->kept[KEPT_XFERINFOFUNCTION]) {
    real->easy_setopt(easy, CURL_XFERINFOFUNCTION, on_progress);
    real->easy_setopt(easy, CURL_XFERINFODATA, handle);
  }
  if (handle->kept[KEPT_DEBUGFUNCTION]) {
    real->easy_setopt(easy, CURL_DEBUGFUNCTION, on_debug);
    real->easy_setopt(easy, CURL_DEBUGDATA, handle);
  }
}

static void put_back(struct curl_handle *handle, const struct curl_real *real, int option, enum curl_kept index)
{
  real->easy_setopt(handle->easy, option, handle->kept[index]);
}

void callbacks_remove(struct curl_handle *handle, const struct curl_real *real)
{
  put_back(handle, real, CURL_WRITEFUNCTION, KEPT_WRITEFUNCTION);
  real->easy_setopt(handle->easy, CURL_WRITEDATA,
                    handle->kept[KEPT_WRITEDATA] ? kept(handle, KEPT_WRITEDATA)
                    : handle->kept[KEPT_WRITEFUNCTION] ? NULL : real->out);
  put_back(handle, real, CURL_READFUNCTION, KEPT_READFUNCTION);
  real->easy_setopt(handle->easy, CURL_READDATA,
                    handle->kept[KEPT_READDATA] ? kept(handle, KEPT_READDATA)
                    : handle->kept[KEPT_READFUNCTION] ? NULL : real->in);
  put_back(handle, real, CURL_SEEKFUNCTION, KEPT_SEEKFUNCTION);
  put_back(handle, real, CURL_SEEKDATA, KEPT_SEEKDATA);
  put_back(handle, real, CURL_HEADERFUNCTION, KEPT_HEADERFUNCTION);
  put_back(handle, real, CURL_HEADERDATA, KEPT_HEADERDATA);
  put_back(handle, real, CURL_DEBUGFUNCTION, KEPT_DEBUGFUNCTION);
  put_back(handle, real, CURL_DEBUGDATA, KEPT_DEBUGDATA);
  /* Setting it to nothing would forget a CURLOPT_PROGRESSFUNCTION too. */
  if (handle->kept[KEPT_XFERINFOFUNCTION]) {
    put_back(handle, real, CURL_XFERINFOFUNCTION, KEPT_XFERINFOFUNCTION);
    put_back(handle, real, CURL_XFERINFODATA, KEPT_XFERINFODATA);
  }
}
