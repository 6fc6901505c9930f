/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of libcurl that programs call in its stead. Outside of a run's own thread of control
 * (libcurl calling itself, an unjournaled child) they only pass on. */
#include "shim/curl_group.h"
#include "shim/passing.h"
#include "shim/unjournaled.h"

#include <stdarg.h>

#define HOOK __attribute__((visibility("default")))

HOOK void *curl_easy_init(void);
HOOK void *curl_easy_duphandle(void *easy);
HOOK void curl_easy_reset(void *easy);
HOOK void curl_easy_cleanup(void *easy);
HOOK int curl_easy_setopt(void *easy, int option, ...);
HOOK int curl_easy_getinfo(void *easy, int info, ...);
HOOK int curl_easy_perform(void *easy);
HOOK int curl_easy_pause(void *easy, int action);
HOOK int curl_share_cleanup(void *share);

bool curl_hooked(void)
{
  return !engine_thread.passing && !unjournaled_all() && engine.tail.header;
}

static struct curl_handle *hooked_handle(void *easy)
{
  return easy && curl_hooked() ? handle_find(easy) : NULL;
}

void *curl_easy_init(void)
{
  const struct curl_real *real = curl_real();
  void *easy = real ? real->easy_init() : NULL;
  if (easy && curl_hooked())
    handle_make(easy);
  return easy;
}

void *curl_easy_duphandle(void *easy)
{
  const struct curl_real *real = curl_real();
  const struct curl_handle *from = real ? hooked_handle(easy) : NULL;
  if (!real)
    return NULL;
  /* A copy of a form has a boundary of its own (shim/curl_mime.c). */
  bool has_form = from && from->kept[KEPT_MIMEPOST];
  uint32_t before = engine_thread.passing;
  if (has_form)
    engine_thread.passing = 1;
  void *copy = real->easy_duphandle(easy);
  engine_thread.passing = before;
  struct curl_handle *to = from && copy ? handle_make(copy) : NULL;
  if (to)
    handle_copy_options(to, from);
  return copy;
}

void curl_easy_reset(void *easy)
{
  const struct curl_real *real = curl_real();
  struct curl_handle *handle = hooked_handle(easy);
  if (handle) {
    handle_forget_options(handle);
    handle->result = NULL;
  }
  if (real)
    real->easy_reset(easy);
}

/* The jar is a whole file that replaces another, so writing it again is writing it once; in replay there
 * are no connections to close, and the file is there. */
static void cleanup_with_jar(const struct curl_real *real, void *easy)
{
  static const struct call_shape shape = {.class = CALL_CLASS_CHANGE_LOCAL};
  struct call call = {.id = CALL_ID_CLEANUP, .shape = &shape, .signature = CALL_ID_CLEANUP};
  int64_t result;
  if (!engine_live() && replay_change(&call, &result, NULL, NULL)) {
    uint32_t before = passing_begin();
    real->easy_setopt(easy, CURL_COOKIEJAR, NULL);
    real->easy_cleanup(easy);
    passing_end(before);
    return;
  }
  struct draft draft;
  draft_begin(&draft, &call, JOURNAL_INTENT, 0);
  record_intent(&draft, &call);
  uint32_t before = passing_begin();
  real->easy_cleanup(easy);
  passing_end(before);
  record_result(&call, 0);
}

void curl_easy_cleanup(void *easy)
{
  const struct curl_real *real = curl_real();
  struct curl_handle *handle = hooked_handle(easy);
  if (!real)
    return;
  if (!handle) {
    real->easy_cleanup(easy);
    return;
  }
  if (handle->group)
    group_take_out(handle->group, handle, real);
  bool jar = handle->kept[KEPT_COOKIEJAR] != 0;
  if (jar && handle->jar_is_output) {
    real->easy_setopt(easy, 10135 /* COOKIELIST */, "FLUSH");
    real->easy_setopt(easy, CURL_COOKIEJAR, NULL);
    jar = false;
  }
  spool_close(handle);
  blob_close(&handle->blob);
  handle_free(handle);
  if (jar) {
    cleanup_with_jar(real, easy);
    return;
  }
  uint32_t before = passing_begin();
  real->easy_cleanup(easy);
  passing_end(before);
}

int curl_easy_setopt(void *easy, int option, ...)
{
  const struct curl_real *real = curl_real();
  va_list list;
  va_start(list, option);
  uint64_t value = va_arg(list, uint64_t);
  va_end(list);
  if (!real)
    return CURL_FAILED_INIT;
  struct curl_handle *handle = hooked_handle(easy);
  if (handle && !handle_set(handle, real, option, value))
    return CURL_OK;
  return real->easy_setopt(easy, option, value);
}

int curl_easy_getinfo(void *easy, int info, ...)
{
  const struct curl_real *real = curl_real();
  va_list list;
  va_start(list, info);
  uint64_t *value = va_arg(list, uint64_t *);
  va_end(list);
  if (!real)
    return CURL_FAILED_INIT;
  struct curl_handle *handle = hooked_handle(easy);
  return handle && value ? info_get(handle, real, info, value) : real->easy_getinfo(easy, info, value);
}

int curl_easy_perform(void *easy)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_FAILED_INIT;
  struct curl_handle *handle = hooked_handle(easy);
  if (handle && handle->group)
    return CURL_FAILED_INIT;
  /* A connection that the program is to use itself is journaled as such. */
  if (!handle || handle->busy || (uint32_t)handle->kept[KEPT_CONNECT_ONLY])
    return real->easy_perform(easy);
  return exchange_perform(handle, real);
}

int curl_easy_pause(void *easy, int action)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_FAILED_INIT;
  struct curl_handle *handle = hooked_handle(easy);
  return handle && handle->busy ? exchange_pause(handle, real, action) : real->easy_pause(easy, action);
}

/* Closes the connections that its handles have left. */
int curl_share_cleanup(void *share)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_FAILED_INIT;
  if (!curl_hooked())
    return real->share_cleanup(share);
  uint32_t before = passing_begin();
  int code = real->share_cleanup(share);
  passing_end(before);
  return code;
}
