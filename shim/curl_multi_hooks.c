/* SPDX-License-Identifier: Apache-2.0 */
/* curl_multi_*, called by programs in libcurl's stead; as in shim/curl_hooks.c. */
#include "shim/curl_group.h"
#include "shim/passing.h"

#include <stdarg.h>

#define HOOK __attribute__((visibility("default")))

HOOK void *curl_multi_init(void);
HOOK int curl_multi_add_handle(void *multi, void *easy);
HOOK int curl_multi_remove_handle(void *multi, void *easy);
HOOK int curl_multi_setopt(void *multi, int option, ...);
HOOK int curl_multi_perform(void *multi, int *running);
HOOK int curl_multi_socket_action(void *multi, int fd, int events, int *running);
HOOK int curl_multi_socket(void *multi, int fd, int *running);
HOOK int curl_multi_socket_all(void *multi, int *running);
HOOK int curl_multi_poll(void *multi, void *extra, unsigned count, int timeout_ms, int *ready);
HOOK int curl_multi_wait(void *multi, void *extra, unsigned count, int timeout_ms, int *ready);
HOOK int curl_multi_fdset(void *multi, uint64_t *read, uint64_t *write, uint64_t *except, int *highest);
HOOK int curl_multi_timeout(void *multi, long *timeout_ms);
HOOK int curl_multi_assign(void *multi, int fd, void *own);
HOOK int curl_multi_wakeup(void *multi);
HOOK int curl_multi_cleanup(void *multi);
HOOK void *curl_multi_info_read(void *multi, int *left);

static struct curl_group *hooked_group(void *multi)
{
  return multi && curl_hooked() ? group_find(multi) : NULL;
}

void *curl_multi_init(void)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return NULL;
  return curl_hooked() ? group_init(real) : real->multi_init();
}

int curl_multi_add_handle(void *multi, void *easy)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  if (!group)
    return real->multi_add_handle(multi, easy);
  struct curl_handle *handle = easy ? handle_find(easy) : NULL;
  if (!handle)
    return CURL_MULTI_BAD_EASY_HANDLE;
  if ((uint32_t)handle->kept[KEPT_CONNECT_ONLY])
    engine_failed(TAIL_REPORT_FAILED, "a connection that the program uses itself, in a multi handle, cannot be "
                  "journaled: ", handle->url, 0);
  return group_add(group, handle, real);
}

int curl_multi_remove_handle(void *multi, void *easy)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  struct curl_handle *handle = group && easy ? handle_find(easy) : NULL;
  return handle ? group_take_out(group, handle, real) : real->multi_remove_handle(multi, easy);
}

int curl_multi_setopt(void *multi, int option, ...)
{
  const struct curl_real *real = curl_real();
  va_list list;
  va_start(list, option);
  uint64_t value = va_arg(list, uint64_t);
  va_end(list);
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  if (!group)
    return real->multi_setopt(multi, option, value);
  switch (option) {
  case CURL_MULTI_SOCKETFUNCTION:
    group->socket_function = value;
    group_install_socket(group, real);
    return CURL_MULTI_OK;
  case CURL_MULTI_SOCKETDATA:
    group->socket_data = value;
    return CURL_MULTI_OK;
  case CURL_MULTI_TIMERFUNCTION:
    group->timer_function = value;
    group_install_timer(group, real);
    return CURL_MULTI_OK;
  case CURL_MULTI_TIMERDATA:
    group->timer_data = value;
    return CURL_MULTI_OK;
  case CURL_MULTI_PUSHFUNCTION:
  case CURL_MULTI_PUSHDATA:
    /* What a server pushes unasked is refused: no request of the program's stands for it. */
    return CURL_MULTI_OK;
  }
  return real->multi_setopt(multi, option, value);
}

static int run_counted(struct curl_group *group, const struct curl_real *real, unsigned id, int *count)
{
  struct operation operation;
  operation_begin(&operation, id, group);
  operation.first = count;
  operation.first_size = sizeof *count;
  return operation_run(&operation, real);
}

int curl_multi_perform(void *multi, int *running)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? run_counted(group, real, CALL_ID_MULTI_PERFORM, running) : real->multi_perform(multi, running);
}

int curl_multi_socket_all(void *multi, int *running)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? run_counted(group, real, CALL_ID_MULTI_SOCKET_ALL, running)
               : real->multi_socket_all(multi, running);
}

int curl_multi_socket_action(void *multi, int fd, int events, int *running)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  if (!group)
    return real->multi_socket_action(multi, fd, events, running);
  struct operation operation;
  operation_begin(&operation, CALL_ID_MULTI_SOCKET_ACTION, group);
  operation.call.signature =
      hash_mix(hash_mix(operation.call.signature, (uint32_t)fd), (uint32_t)events) | 1;
  operation.fd = fd;
  operation.events = events;
  operation.first = running;
  operation.first_size = sizeof *running;
  return operation_run(&operation, real);
}

int curl_multi_socket(void *multi, int fd, int *running)
{
  return curl_multi_socket_action(multi, fd, 0, running);
}

/* struct curl_waitfd: what it is to wait for, and what came. */
struct extra {
  int fd;
  uint16_t events, came;
};

static int run_waiting(struct curl_group *group, const struct curl_real *real, unsigned id, struct extra *extra,
                       unsigned count, int timeout_ms, int *ready)
{
  struct operation operation;
  operation_begin(&operation, id, group);
  for (unsigned i = 0; i < count; i++)
    operation.call.signature =
        hash_mix(operation.call.signature, (uint64_t)extra[i].fd << 16 | extra[i].events) | 1;
  operation.first = ready;
  operation.first_size = sizeof *ready;
  operation.second = extra;
  operation.second_size = count * sizeof *extra;
  operation.extra_count = count;
  operation.timeout_ms = timeout_ms;
  return operation_run(&operation, real);
}

int curl_multi_poll(void *multi, void *extra, unsigned count, int timeout_ms, int *ready)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? run_waiting(group, real, CALL_ID_MULTI_POLL, extra, count, timeout_ms, ready)
               : real->multi_poll(multi, extra, count, timeout_ms, ready);
}

int curl_multi_wait(void *multi, void *extra, unsigned count, int timeout_ms, int *ready)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? run_waiting(group, real, CALL_ID_MULTI_WAIT, extra, count, timeout_ms, ready)
               : real->multi_wait(multi, extra, count, timeout_ms, ready);
}

static void add_set(uint64_t *to, const uint64_t *from)
{
  for (unsigned i = 0; to && i < GROUP_SETS_SIZE / 3 / sizeof *from; i++)
    to[i] |= from[i];
}

int curl_multi_fdset(void *multi, uint64_t *read, uint64_t *write, uint64_t *except, int *highest)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  if (!group)
    return real->multi_fdset(multi, read, write, except, highest);
  struct operation operation;
  uint64_t sets[3][GROUP_SETS_SIZE / 3 / sizeof(uint64_t)] = {{0}};
  operation_begin(&operation, CALL_ID_MULTI_FDSET, group);
  operation.first = highest;
  operation.first_size = sizeof *highest;
  operation.second = sets;
  operation.second_size = sizeof sets;
  int result = operation_run(&operation, real);
  add_set(read, sets[0]);
  add_set(write, sets[1]);
  add_set(except, sets[2]);
  return result;
}

int curl_multi_timeout(void *multi, long *timeout_ms)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  if (!group)
    return real->multi_timeout(multi, timeout_ms);
  struct operation operation;
  operation_begin(&operation, CALL_ID_MULTI_TIMEOUT, group);
  operation.first = timeout_ms;
  operation.first_size = sizeof *timeout_ms;
  return operation_run(&operation, real);
}

int curl_multi_assign(void *multi, int fd, void *own)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? group_assign_own(group, real, fd, own) : real->multi_assign(multi, fd, own);
}

int curl_multi_wakeup(void *multi)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? group_wakeup(group, real) : real->multi_wakeup(multi);
}

int curl_multi_cleanup(void *multi)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return CURL_MULTI_INTERNAL_ERROR;
  struct curl_group *group = hooked_group(multi);
  return group ? group_cleanup(group, real) : real->multi_cleanup(multi);
}

void *curl_multi_info_read(void *multi, int *left)
{
  const struct curl_real *real = curl_real();
  if (!real)
    return NULL;
  struct curl_group *group = hooked_group(multi);
  return group ? group_take_told(group, left) : real->multi_info_read(multi, left);
}
