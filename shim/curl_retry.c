/* SPDX-License-Identifier: Apache-2.0 */
/* A transfer that has failed, tried again inside the curl_easy_perform() that it belongs to, as the retry policy says that
 * the program or the command line has set.
 *
 * It is one exchange all the same, with one Idempotency-Key; each try but the first is announced by a callback entry of its own,
 * which says how the one before ended. Killed anywhere, the exchange is unfinished as any other: the next attempt replays what
 * the program has been given, and sends the request again. */
#include "shim/control.h"
#include "shim/curl.h"

#include <time.h>

#define INFO_RESPONSE_CODE (INFO_LONG + 2)
#define INFO_RETRY_AFTER (INFO_OFF_T + 57)
#define NS_PER_SECOND 1000000000ull

enum {
  COULDNT_RESOLVE_PROXY = 5,
  COULDNT_RESOLVE_HOST = 6,
  COULDNT_CONNECT = 7,
  HTTP2 = 16,
  PARTIAL_FILE = 18,
  TIMED_OUT = 28,
  SSL_CONNECT = 35,
  GOT_NOTHING = 52,
  SEND_ERROR = 55,
  HTTP2_STREAM = 92,
};

/* ---- what holds ---- */

static bool is_idempotent(void)
{
  uint64_t values[JOURNAL_SCOPE_VALUES];
  if (perdure_shim_scope_get(JOURNAL_SCOPE_IDEMPOTENCE, values) == 1)
    return values[0] != 0;
  return !engine.tail.header->not_idempotent;
}

void retry_begin(struct curl_handle *handle)
{
  uint64_t values[JOURNAL_SCOPE_VALUES];
  bool said = perdure_shim_scope_get(JOURNAL_SCOPE_RETRY, values) == 1;
  handle->tries = 1;
  handle->held_back = false;
  handle->policy.max_attempts = 1;
  handle->policy.statuses = 0;
  retry_policy_of_values(said ? values : engine.tail.header->retry, &handle->policy);
}

bool exchange_may_be_repeated(const struct curl_handle *handle)
{
  return is_idempotent() || method_is_safe(handle_method(handle));
}

/* ---- is it tried again? ---- */

static bool nothing_was_sent(int code)
{
  return code == COULDNT_RESOLVE_PROXY || code == COULDNT_RESOLVE_HOST || code == COULDNT_CONNECT;
}

static bool may_pass(int code)
{
  switch (code) {
  case HTTP2:
  case PARTIAL_FILE:
  case TIMED_OUT:
  case SSL_CONNECT:
  case GOT_NOTHING:
  case SEND_ERROR:
  case CURL_RECV_ERROR:
  case HTTP2_STREAM:
    return true;
  }
  return nothing_was_sent(code);
}

/* A long and an off_t are of one size. */
static uint64_t number_of(struct curl_handle *handle, const struct curl_real *real, int info)
{
  uint64_t value = 0;
  return real->easy_getinfo(handle->easy, info, &value) == CURL_OK ? value : 0;
}

static bool body_has_come(const struct curl_handle *handle)
{
  return handle->body_length || handle->count[JOURNAL_CALLBACK_WRITE] || handle->count[COUNT_HEADER_IN_BODY];
}

/* How long the server asks to wait, in ns. */
static uint64_t asked_ns(struct curl_handle *handle, const struct curl_real *real)
{
  uint64_t seconds = number_of(handle, real, INFO_RETRY_AFTER);
  return seconds < UINT64_MAX / NS_PER_SECOND ? seconds * NS_PER_SECOND : UINT64_MAX;
}

static bool is_listed(struct curl_handle *handle, const struct curl_real *real)
{
  return handle->policy.statuses & retry_status_bit(number_of(handle, real, INFO_RESPONSE_CODE));
}

static bool tries_are_left(struct curl_handle *handle, const struct curl_real *real)
{
  return handle->tries < handle->policy.max_attempts && !body_has_come(handle) &&
         asked_ns(handle, real) <= handle->policy.max_delay_ns;
}

bool retry_holds_back(struct curl_handle *handle, const struct curl_real *real)
{
  if (!handle->held_back)
    handle->held_back = handle->repeatable && !(uint32_t)handle->kept[KEPT_HEADER] && tries_are_left(handle, real) &&
                        is_listed(handle, real);
  return handle->held_back;
}

static bool wants_another(struct curl_handle *handle, const struct curl_real *real, int code)
{
  if (handle->held_back)
    return true;
  if (!tries_are_left(handle, real))
    return false;
  bool answered = code == CURL_OK || code == CURL_HTTP_RETURNED_ERROR;
  if (answered ? !is_listed(handle, real) : !may_pass(code))
    return false;
  return handle->repeatable || nothing_was_sent(code);
}

/* ---- the next try ---- */

static uint64_t delay_of(struct curl_handle *handle, const struct curl_real *real)
{
  uint32_t chance = 0;
  raw_syscall3(SYS_getrandom, (uint64_t)&chance, sizeof chance, 0);
  uint64_t delay_ns = retry_delay_ns(&handle->policy, handle->tries, chance), asked = asked_ns(handle, real);
  return asked > delay_ns ? asked : delay_ns;
}

static void wait_ns(uint64_t delay_ns)
{
  struct timespec until;
  raw_syscall2(SYS_clock_gettime, CLOCK_MONOTONIC, (uint64_t)&until);
  uint64_t end_ns = (uint64_t)until.tv_nsec + delay_ns % NS_PER_SECOND;
  until.tv_sec += (time_t)(delay_ns / NS_PER_SECOND + end_ns / NS_PER_SECOND);
  until.tv_nsec = (long)(end_ns % NS_PER_SECOND);
  while (raw_syscall4(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, (uint64_t)&until, 0) == -EINTR)
    ;
}

static void record_try(struct curl_handle *handle, const struct curl_real *real, int code, uint64_t delay_ns)
{
  static const struct call_shape shape = {.class = CALL_CLASS_OBSERVE};
  struct call call = {.id = CALL_ID_CALLBACK, .shape = &shape};
  struct draft draft;
  uint64_t how = (uint64_t)code << 32 | (uint32_t)number_of(handle, real, INFO_RESPONSE_CODE);
  callback_draft(&draft, &call, handle, JOURNAL_CALLBACK_RETRY, how, delay_ns);
  crash_point();
  draft_append(&draft);
  crash_point();
}

void retry_begins_anew(struct curl_handle *handle)
{
  handle->last_return = 0;
  handle->in_header = false;
  raw_fill(handle->count, 0, sizeof handle->count);
  spool_close(handle);
}

bool retry_follows(struct curl_handle *handle, const struct curl_real *real, int code)
{
  if (!wants_another(handle, real, code))
    return false;
  /* What the program has given of the request it has to give again. */
  if (handle->count[JOURNAL_CALLBACK_READ] && !callback_rewind(handle))
    return false;
  uint64_t delay_ns = delay_of(handle, real);
  record_try(handle, real, code, delay_ns);
  retry_begins_anew(handle);
  handle->held_back = false;
  handle->tries++;
  wait_ns(delay_ns);
  return true;
}
