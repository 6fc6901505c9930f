/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange whose outcome nobody knew, and of which a person has said it (supervisor/resolve.c): nothing is
 * sent. A response is given to the program as libcurl would give it, header lines and body, from the blob
 * that holds it; what the program has had of it before is held back, as when a request is sent again.
 *
 * Killed at any line: the INTENT is still without its RESULT, and the next attempt goes on in the same way. */
#include "shim/curl.h"
#include "shim/passing.h"

/* As libcurl: at most CURL_MAX_WRITE_SIZE bytes of a body at once. */
#define PIECE_SIZE (16u << 10)
#define LINE_SIZE_MAX (256u << 10)

struct giving {
  struct curl_handle *handle;
  const struct journal_resolution *resolution;
  const struct journal_blob *answer;
  struct blob blob;
  uint64_t place;
};

/* The next bytes of the answer, at most `size` of them, in the handle's scratch memory. */
static size_t read_piece(struct giving *giving, size_t size)
{
  uint64_t left = giving->answer->length - giving->place;
  size_t length = left < size ? (size_t)left : size;
  blob_read_at(&giving->blob, giving->handle->given, giving->place, handle_scratch(giving->handle), length);
  return length;
}

static bool give(struct giving *giving, unsigned kind, size_t length)
{
  return callback_give(giving->handle, kind, handle_scratch(giving->handle), length) == length;
}

static size_t line_length(const uint8_t *bytes, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if (bytes[i] == '\n')
      return i + 1;
  return length;
}

/* With CURLOPT_HEADER a line is body first, as libcurl has it. */
static bool give_header(struct giving *giving)
{
  while (giving->place < giving->resolution->header_length) {
    uint64_t left = giving->resolution->header_length - giving->place;
    size_t got = read_piece(giving, left < LINE_SIZE_MAX ? (size_t)left : LINE_SIZE_MAX);
    size_t length = line_length(handle_scratch(giving->handle), got);
    if ((uint32_t)giving->handle->kept[KEPT_HEADER] && !give(giving, JOURNAL_CALLBACK_WRITE, length))
      return false;
    read_piece(giving, length); /* the callback may have used the memory */
    if (!give(giving, JOURNAL_CALLBACK_HEADER, length))
      return false;
    giving->place += length;
  }
  return true;
}

static bool give_body(struct giving *giving)
{
  while (giving->place < giving->answer->length) {
    size_t length = read_piece(giving, PIECE_SIZE);
    if (!give(giving, JOURNAL_CALLBACK_WRITE, length))
      return false;
    giving->place += length;
  }
  return true;
}

static uint64_t status_of(const struct journal_entry *given)
{
  const struct journal_segment *segment = journal_find_segment(given, SEGMENT_INFO, -1);
  for (size_t place = 0; segment && place + sizeof(struct journal_info) + 8 <= segment->length;) {
    const struct journal_info *info = (const struct journal_info *)(segment->data + place);
    if (info->info == INFO_LONG + 2)
      return *(const uint64_t *)info->data;
    place += sizeof *info + journal_padded(info->length);
  }
  return 0;
}

static int give_response(struct curl_handle *handle, const struct journal_resolution *resolution)
{
  const struct journal_segment *segment = journal_find_segment(handle->given, SEGMENT_BLOB, -1);
  struct giving giving = {.handle = handle, .resolution = resolution, .blob.fd = -1};
  if (!segment || segment->length < sizeof(struct journal_blob))
    engine_failed(TAIL_REPORT_FAILED, "the feed has no bytes of the response that was given for ", handle->url, 0);
  giving.answer = (const struct journal_blob *)segment->data;
  bool taken = give_header(&giving);
  int code = CURL_OK;
  if (taken && (uint32_t)handle->kept[KEPT_FAILONERROR] && status_of(handle->given) >= 400)
    code = CURL_HTTP_RETURNED_ERROR;
  else if (taken)
    taken = give_body(&giving);
  blob_close(&giving.blob);
  if (!taken)
    code = handle->mismatch ? CURL_RECV_ERROR : CURL_WRITE_ERROR;
  return code;
}

static size_t copy_info(struct curl_handle *handle)
{
  const struct journal_segment *segment = journal_find_segment(handle->given, SEGMENT_INFO, -1);
  if (!segment || segment->length > HANDLE_INFO_SIZE)
    return 0;
  raw_copy(handle_info(handle), segment->data, segment->length);
  return segment->length;
}

static void copy_words(struct curl_handle *handle)
{
  const struct journal_segment *segment = journal_find_segment(handle->given, SEGMENT_TEXT, -1);
  char *words = (char *)handle->kept[KEPT_ERRORBUFFER];
  if (!words || !segment || segment->length >= CURL_ERROR_SIZE)
    return;
  raw_copy(words, segment->data, segment->length);
  words[segment->length] = 0;
}

int given_end(struct curl_handle *handle)
{
  const struct journal_resolution *resolution =
      (const struct journal_resolution *)journal_find_segment(handle->given, SEGMENT_RESOLUTION, -1)->data;
  uint32_t before = passing_begin();
  handle->again = handle->sending = true;
  handle->paused_receive = false;
  int code = resolution->kind == JOURNAL_RESOLUTION_RESPONSE ? give_response(handle, resolution)
                                                             : (int)resolution->code;
  handle->sending = false;
  copy_words(handle);
  exchange_record_end(handle, copy_info(handle), code);
  passing_end(before);
  spool_close(handle);
  blob_close(&handle->blob);
  /* What getinfo gives from here on. */
  handle->result = handle->given;
  handle->given = NULL;
  handle->busy = false;
  return code;
}
