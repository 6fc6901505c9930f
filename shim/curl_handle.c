/* SPDX-License-Identifier: Apache-2.0 */
/* What the program has set on its easy handles. libcurl can be asked for hardly any of it.
 *
 * Each handle has a mapping of its own, far from the program's memory; one that is free again is used for
 * the next handle. Nothing here is written anywhere. */
#include "shim/curl.h"

#include <sys/mman.h>

#define HANDLES_ADDRESS 0x6c0000000000ull
#define HANDLES_MAX 4096u

LARGE_TABLE static struct curl_handle *_Atomic handles[HANDLES_MAX];
static _Atomic uint32_t made;

struct curl_handle *handle_find(const void *easy)
{
  uint32_t count = atomic_load(&made);
  for (uint32_t i = 0; i < count; i++) {
    struct curl_handle *handle = atomic_load(&handles[i]);
    if (handle && __atomic_load_n(&handle->easy, __ATOMIC_ACQUIRE) == easy)
      return handle;
  }
  return NULL;
}

bool handle_is(const void *pointer)
{
  uint64_t place = (uint64_t)pointer;
  return place >= HANDLES_ADDRESS && place < HANDLES_ADDRESS + (uint64_t)HANDLES_MAX * HANDLE_SIZE;
}

struct curl_handle *handle_next(uint32_t *place)
{
  uint32_t count = atomic_load(&made);
  while (*place < count) {
    struct curl_handle *handle = atomic_load(&handles[(*place)++]);
    if (handle && __atomic_load_n(&handle->easy, __ATOMIC_ACQUIRE))
      return handle;
  }
  return NULL;
}

struct curl_handle *handle_numbered(uint64_t exchange)
{
  uint32_t place = 0;
  struct curl_handle *handle;
  while ((handle = handle_next(&place)) && handle->number != exchange)
    ;
  return handle;
}

static struct curl_handle *take_free(void *easy)
{
  uint32_t count = atomic_load(&made);
  for (uint32_t i = 0; i < count; i++) {
    struct curl_handle *handle = atomic_load(&handles[i]);
    void *none = NULL;
    if (handle &&
        __atomic_compare_exchange_n(&handle->easy, &none, easy, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      return handle;
  }
  return NULL;
}

struct curl_handle *handle_make(void *easy)
{
  struct curl_handle *handle = take_free(easy);
  if (!handle) {
    uint32_t i = atomic_fetch_add(&made, 1);
    if (i >= HANDLES_MAX) {
      atomic_fetch_sub(&made, 1);
      return NULL;
    }
    int64_t place = raw_syscall6(SYS_mmap, HANDLES_ADDRESS + (uint64_t)i * HANDLE_SIZE, HANDLE_SIZE,
                                 PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, ~0ull, 0);
    if (raw_is_error(place))
      return NULL;
    handle = (struct curl_handle *)place;
    handle->easy = easy;
    atomic_store(&handles[i], handle);
  }
  handle_forget_options(handle);
  handle->busy = handle->sending = handle->added = handle->told = false;
  handle->result = NULL;
  handle->group = NULL;
  handle->number = handle->next_try_ns = 0;
  handle->spool = -1;
  handle->blob.fd = -1;
  return handle;
}

void handle_forget_options(struct curl_handle *handle)
{
  raw_fill(handle->kept, 0, sizeof handle->kept);
  handle->hash = 0;
  handle->url[0] = handle->custom[0] = 0;
  raw_copy(handle->method, "GET", 4);
  handle->jar_is_output = false;
}

void handle_copy_options(struct curl_handle *to, const struct curl_handle *from)
{
  raw_copy(to->kept, from->kept, sizeof to->kept);
  to->hash = from->hash;
  raw_copy(to->method, from->method, sizeof to->method);
  raw_copy(to->custom, from->custom, sizeof to->custom);
  raw_copy(to->url, from->url, sizeof to->url);
  to->jar_is_output = from->jar_is_output;
}

void handle_free(struct curl_handle *handle)
{
  __atomic_store_n(&handle->easy, NULL, __ATOMIC_RELEASE);
}

/* ---- options ---- */

static void keep_text(char *to, size_t room, const char *text)
{
  size_t length = text ? raw_length(text) : 0;
  if (length >= room)
    length = room - 1;
  raw_copy(to, text, length);
  to[length] = 0;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
  return hash_mix(hash, text ? hash_bytes(text, raw_length(text)) : 0);
}

/* Does replay compare it, and how? Callbacks and their data are addresses: they are left out. */
static uint64_t hash_option(const struct curl_real *real, uint64_t hash, int option, uint64_t value)
{
  const struct curl_option *known = real->easy_option_by_id ? real->easy_option_by_id(option) : NULL;
  int type = known ? known->type : option < 10000 ? OPTION_LONG : option >= 30000 ? OPTION_OFF_T : OPTION_OBJECT;
  hash = hash_mix(hash, (uint64_t)option);
  switch (type) {
  case OPTION_LONG:
  case OPTION_VALUES:
    return hash_mix(hash, (uint32_t)value);
  case OPTION_OFF_T:
    return hash_mix(hash, value);
  case OPTION_STRING:
    return hash_text(hash, (const char *)value);
  case OPTION_SLIST:
    for (const struct curl_list *item = (const struct curl_list *)value; item; item = item->next)
      hash = hash_text(hash, item->data);
  }
  return hash;
}

/* As libcurl: the last option that speaks of the method decides. */
static void choose_method(struct curl_handle *handle, int option, uint64_t value)
{
  bool on = (uint32_t)value != 0, head = raw_same_text(handle->method, "HEAD");
  const char *method = NULL;
  switch (option) {
  case CURL_HTTPGET:
    method = on ? "GET" : NULL;
    break;
  case CURL_NOBODY:
    method = on ? "HEAD" : head ? "GET" : NULL;
    break;
  case CURL_UPLOAD:
  case CURL_PUT:
    method = on ? "PUT" : "GET";
    break;
  case CURL_POST:
    method = on ? "POST" : "GET";
    break;
  case CURL_POSTFIELDS:
  case CURL_COPYPOSTFIELDS:
  case CURL_HTTPPOST:
  case CURL_MIMEPOST:
    method = value ? "POST" : NULL;
    break;
  }
  if (method)
    keep_text(handle->method, sizeof handle->method, method);
}

static int kept_index(int option)
{
  switch (option) {
#define OPTION(NAME, number) \
  case number:               \
    return KEPT_##NAME;
#include "shim/curl_options.def"
#undef OPTION
  }
  return -1;
}

static bool is_callback(int option)
{
  switch (option) {
  case CURL_WRITEDATA:
  case CURL_READDATA:
  case CURL_HEADERDATA:
  case CURL_XFERINFODATA:
  case CURL_DEBUGDATA:
  case CURL_SEEKDATA:
  case CURL_WRITEFUNCTION:
  case CURL_READFUNCTION:
  case CURL_HEADERFUNCTION:
  case CURL_DEBUGFUNCTION:
  case CURL_SEEKFUNCTION:
  case CURL_XFERINFOFUNCTION:
    return true;
  }
  return false;
}

bool handle_set(struct curl_handle *handle, const struct curl_real *real, int option, uint64_t value)
{
  int index = kept_index(option);
  if (index >= 0)
    handle->kept[index] = value;
  handle->hash = hash_option(real, handle->hash, option, value);
  choose_method(handle, option, value);
  switch (option) {
  case CURL_URL:
    keep_text(handle->url, sizeof handle->url, (const char *)value);
    break;
  case CURL_CUSTOMREQUEST:
    keep_text(handle->custom, sizeof handle->custom, (const char *)value);
    break;
  case CURL_COOKIEJAR:
    handle->jar_is_output = value && raw_same_text((const char *)value, "-");
    break;
  case CURL_POSTFIELDSIZE:
    handle->kept[KEPT_POSTFIELDSIZE_LARGE] = value + 1; /* 0: not set; -1 is that too */
    break;
  case CURL_POSTFIELDSIZE_LARGE:
    handle->kept[KEPT_POSTFIELDSIZE_LARGE] = value + 1;
    break;
  case CURL_POSTFIELDS:
    handle->kept[KEPT_COPYPOSTFIELDS] = 0;
    break;
  case CURL_COPYPOSTFIELDS: {
    /* libcurl's copy cannot be seen later: it is hashed now. */
    size_t length;
    handle->kept[KEPT_POSTFIELDS] = value;
    const void *body = handle_body(handle, &length);
    if (body)
      handle->hash = hash_mix(handle->hash, hash_bytes(body, length));
    handle->kept[KEPT_POSTFIELDS] = 0;
    break;
  }
  }
  return !(handle->busy && is_callback(option));
}

const char *handle_method(const struct curl_handle *handle)
{
  return handle->custom[0] ? handle->custom : handle->method;
}

const void *handle_body(const struct curl_handle *handle, size_t *ret_length)
{
  const char *body = (const char *)handle->kept[KEPT_POSTFIELDS];
  uint64_t size = handle->kept[KEPT_POSTFIELDSIZE_LARGE];
  if (!body)
    return NULL;
  *ret_length = size ? (size_t)(size - 1) : raw_length(body);
  return body;
}
