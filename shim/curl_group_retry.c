/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers of a multi handle that have failed and are tried again (shim/curl_retry.c), before curl_multi_info_read tells of their
 * end.
 *
 * Nobody may wait inside a call of the multi interface: until its next try libcurl does not have the handle, and what the program
 * is told is as if it were still under way: it counts as running, and no timeout is longer than up to the next try. In replay
 * none of it is needed, as of all that libcurl does. Killed meanwhile, the next attempt sends the request at once. */
#include "shim/curl_group.h"

#include <time.h>

void group_retry_later(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real)
{
  uint64_t end_ns;
  real->multi_remove_handle(group->multi, handle->easy);
  handle->added = false;
  handle->next_try_ns = __builtin_add_overflow(engine_clock_ns(CLOCK_MONOTONIC), handle->delay_ns, &end_ns) ? UINT64_MAX : end_ns;
  group->waiting++;
}

void group_forget_retry(struct curl_handle *handle)
{
  if (!handle->next_try_ns)
    return;
  handle->next_try_ns = 0;
  handle->group->waiting--;
}

void group_retry_due(struct curl_group *group, const struct curl_real *real)
{
  struct curl_handle *handle;
  uint64_t now_ns = group->waiting ? engine_clock_ns(CLOCK_MONOTONIC) : 0;
  for (uint32_t place = 0; group->waiting && (handle = group_next(group, &place));) {
    if (!handle->next_try_ns || handle->next_try_ns > now_ns)
      continue;
    group_forget_retry(handle);
    int code = real->multi_add_handle(group->multi, handle->easy);
    handle->added = true;
    if (code != CURL_MULTI_OK)
      engine_failed(TAIL_REPORT_FAILED, "a transfer cannot be given to libcurl again: ", handle->url, code);
  }
}

long group_retry_timeout(const struct curl_group *group, long timeout_ms)
{
  const struct curl_handle *handle;
  uint64_t first_ns = UINT64_MAX, now_ns;
  if (!group->waiting)
    return timeout_ms;
  for (uint32_t place = 0; (handle = group_next(group, &place));)
    if (handle->next_try_ns && handle->next_try_ns < first_ns)
      first_ns = handle->next_try_ns;
  now_ns = engine_clock_ns(CLOCK_MONOTONIC);
  uint64_t left_ms = first_ns > now_ns ? (first_ns - now_ns - 1) / 1000000 + 1 : 0;
  if (left_ms > INT32_MAX)
    left_ms = INT32_MAX;
  return timeout_ms < 0 || (uint64_t)timeout_ms > left_ms ? (long)left_ms : timeout_ms;
}
