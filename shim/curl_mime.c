/* SPDX-License-Identifier: Apache-2.0 */
/* curl_mime_data_cb: parts of a form that the program gives as they are sent. Our functions are put in the place of
 * the program's, with a place in a table for what they are called with; a copy of the form (curl_easy_duphandle) has the
 * same. A part has the same number in every attempt, since the program adds its parts in the same order.
 *
 * libcurl does not say which transfer it reads for. Of those that are being sent, with forms of this kind, it is
 * the only one, or the one that this thread performs; where there are several in a multi handle, the program's function
 * is called, and what it does is not journaled.
 *
 * What is read is journaled as with any upload (shim/curl_callback.c): killed at any line, it is as there. */
#include "shim/curl.h"
#include "shim/passing.h"

#define HOOK __attribute__((visibility("default")))
#define PARTS_MAX 4096u

HOOK void *curl_mime_init(void *easy);
HOOK int curl_mime_data_cb(void *part, int64_t size, void *read, void *seek, void *free, void *data);

typedef size_t read_function(void *bytes, size_t size, size_t count, void *data);
typedef int seek_function(void *data, int64_t offset, int origin);
typedef void free_function(void *data);

static struct mime_part {
  read_function *read;
  seek_function *seek;
  free_function *free;
  void *data;
} parts[PARTS_MAX] LARGE_TABLE;
static _Atomic uint32_t part_count;

static struct curl_handle *find_sender(void)
{
  struct curl_handle *handle, *found = NULL;
  for (uint32_t place = 0; (handle = handle_next(&place));) {
    if (!handle->sending || !handle->kept[KEPT_MIMEPOST])
      continue;
    if (handle->sent_by && handle->sent_by == &engine_thread)
      return handle;
    if (found)
      return NULL;
    found = handle;
  }
  return found;
}

static uint64_t number_of(const struct mime_part *part)
{
  return (uint64_t)(part - parts) + 1;
}

static size_t on_read(void *bytes, size_t size, size_t count, void *own)
{
  const struct mime_part *part = own;
  struct curl_handle *handle = find_sender();
  return handle ? callback_read_part(handle, number_of(part), bytes, size * count)
                : part->read(bytes, size, count, part->data);
}

static int on_seek(void *own, int64_t offset, int origin)
{
  const struct mime_part *part = own;
  struct curl_handle *handle = find_sender();
  return handle ? callback_seek_part(handle, number_of(part), offset, origin) : part->seek(part->data, offset, origin);
}

/* From curl_mime_free, or with the last handle that has a copy. */
static void on_free(void *own)
{
  const struct mime_part *part = own;
  part->free(part->data);
}

size_t mime_read(uint64_t number, void *bytes, size_t size)
{
  const struct mime_part *part = &parts[number - 1];
  return part->read(bytes, 1, size, part->data);
}

int mime_seek(uint64_t number, int64_t offset, int origin)
{
  const struct mime_part *part = &parts[number - 1];
  return part->seek(part->data, offset, origin);
}

/* It makes a boundary of random numbers, and what that takes depends on what libcurl has done before, which replay has not. */
void *curl_mime_init(void *easy)
{
  const struct curl_real *real = curl_real();
  if (!real || !real->mime_init)
    return NULL;
  if (!curl_hooked())
    return real->mime_init(easy);
  uint32_t before = passing_begin();
  void *mime = real->mime_init(easy);
  passing_end(before);
  return mime;
}

/* A place is never used twice: a copy of the form may still have it. */
int curl_mime_data_cb(void *part, int64_t size, void *read, void *seek, void *free, void *data)
{
  const struct curl_real *real = curl_real();
  if (!real || !real->mime_data_cb)
    return CURL_FAILED_INIT;
  uint32_t i = read && curl_hooked() ? atomic_fetch_add(&part_count, 1) : PARTS_MAX;
  if (i >= PARTS_MAX)
    return real->mime_data_cb(part, size, read, seek, free, data);
  parts[i] = (struct mime_part){.read = (read_function *)read, .seek = (seek_function *)seek,
                                .free = (free_function *)free, .data = data};
  return real->mime_data_cb(part, size, (void *)on_read, seek ? (void *)on_seek : NULL, free ? (void *)on_free : NULL,
                            &parts[i]);
}
