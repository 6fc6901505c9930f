/* SPDX-License-Identifier: Apache-2.0 */
/* The program's multi handles, and what curl_multi_info_read has to say. Nothing here is written anywhere. */
#include "shim/curl_group.h"

#include <sys/mman.h>

#define GROUPS_ADDRESS 0x6c1000000000ull
#define GROUPS_MAX 1024u
#define GROUP_SIZE ((sizeof(struct curl_group) + 0xffff) & ~0xffffull)

LARGE_TABLE static struct curl_group *_Atomic groups[GROUPS_MAX];
static _Atomic uint32_t made;

static struct curl_group *group_at(uint32_t i)
{
  struct curl_group *group = atomic_load(&groups[i]);
  return group && __atomic_load_n(&group->multi, __ATOMIC_ACQUIRE) ? group : NULL;
}

struct curl_group *group_find(const void *multi)
{
  uint32_t count = atomic_load(&made);
  for (uint32_t i = 0; i < count; i++) {
    struct curl_group *group = group_at(i);
    if (group && group->multi == multi)
      return group;
  }
  return NULL;
}

struct curl_group *group_numbered(uint64_t number)
{
  uint32_t count = atomic_load(&made);
  for (uint32_t i = 0; i < count; i++) {
    struct curl_group *group = group_at(i);
    if (group && group->number == number)
      return group;
  }
  return NULL;
}

static struct curl_group *take_free(void *multi)
{
  uint32_t count = atomic_load(&made);
  for (uint32_t i = 0; i < count; i++) {
    struct curl_group *group = atomic_load(&groups[i]);
    void *none = NULL;
    if (group &&
        __atomic_compare_exchange_n(&group->multi, &none, multi, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      return group;
  }
  return NULL;
}

static struct curl_group *make_one(void *multi)
{
  uint32_t i = atomic_fetch_add(&made, 1);
  if (i >= GROUPS_MAX) {
    atomic_fetch_sub(&made, 1);
    return NULL;
  }
  int64_t place = raw_syscall6(SYS_mmap, GROUPS_ADDRESS + (uint64_t)i * GROUP_SIZE, GROUP_SIZE,
                               PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, ~0ull, 0);
  if (raw_is_error(place))
    return NULL;
  struct curl_group *group = (struct curl_group *)place;
  group->multi = multi;
  atomic_store(&groups[i], group);
  return group;
}

struct curl_group *group_make(void *multi, const struct curl_real *real, uint64_t number)
{
  struct curl_group *group = take_free(multi);
  if (!group)
    group = make_one(multi);
  if (!group)
    return NULL;
  group->number = number;
  group->socket_function = group->socket_data = group->timer_function = group->timer_data = 0;
  group->last_return = group->unsynced = 0;
  group->waiting = 0;
  group->timer_ns = UINT64_MAX;
  group->stood_in = group->woken = false;
  group->told_first = group->told_last = NULL;
  group->told_count = 0;
  group->socket_count = 0;
  return group;
}

void group_free(struct curl_group *group)
{
  __atomic_store_n(&group->multi, NULL, __ATOMIC_RELEASE);
}

struct curl_handle *group_next(const struct curl_group *group, uint32_t *place)
{
  struct curl_handle *handle;
  while ((handle = handle_next(place)) && handle->group != group)
    ;
  return handle;
}

/* ---- what curl_multi_info_read says ---- */

void group_tell(struct curl_handle *handle, int code)
{
  struct curl_group *group = handle->group;
  if (code == EXCHANGE_LEFT)
    return;
  handle->message = (struct curl_message){.kind = CURL_MESSAGE_DONE, .easy = handle->easy};
  handle->message.code = code;
  handle->next_told = NULL;
  handle->told = true;
  if (group->told_last)
    group->told_last->next_told = handle;
  else
    group->told_first = handle;
  group->told_last = handle;
  group->told_count++;
}

static void unlink_told(struct curl_group *group, struct curl_handle *handle)
{
  struct curl_handle *before = NULL;
  for (struct curl_handle *at = group->told_first; at && at != handle; at = at->next_told)
    before = at;
  if (before)
    before->next_told = handle->next_told;
  else
    group->told_first = handle->next_told;
  if (group->told_last == handle)
    group->told_last = before;
  group->told_count--;
  handle->told = false;
}

struct curl_message *group_take_told(struct curl_group *group, int *ret_left)
{
  struct curl_handle *handle = group->told_first;
  if (handle)
    unlink_told(group, handle);
  *ret_left = group->told_count;
  return handle ? &handle->message : NULL;
}

void group_remove(struct curl_handle *handle)
{
  if (handle->told)
    unlink_told(handle->group, handle);
  group_forget_retry(handle);
  handle->group = NULL;
  handle->added = false;
}
