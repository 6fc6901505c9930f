/* SPDX-License-Identifier: Apache-2.0 */
/* A transfer that has failed, tried again inside the curl_easy_perform() that it belongs to, or before a multi handle tells of its
 * end (shim/curl_group_retry.c), as the retry policy says that
 * the program has set, else the rule of --retry-policy that matches it, else --retry.
 *
 * It is one exchange all the same, with one Idempotency-Key; each try but the first is announced by a callback entry of its own,
 * which says how the one before ended. Killed anywhere, the exchange is unfinished as any other: the next attempt replays what
 * the program has been given, and sends the request again; the tries that were count, and so does the time since the first
 * of them failed. */
#include "shim/control.h"
#include "shim/curl.h"
#include "shim/retry_plans.h"

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
  handle->tries = 1;
  raw_fill(&handle->progress, 0, sizeof handle->progress);
  raw_fill(&handle->failed_first, 0, sizeof handle->failed_first);
  handle->policy_said = perdure_shim_scope_get(JOURNAL_SCOPE_RETRY, values) == 1;
  handle->held_back = false;
  handle->policy.max_attempts = 1;
  handle->policy.statuses = 0;
  uint64_t plan;
  handle->plan = handle->policy_said && retry_plan_of_values(values, &plan) ? retry_plan_find(plan) : NULL;
  retry_policy_of_values(handle->policy_said ? values : engine.tail.header->retry, &handle->policy);
}

bool exchange_may_be_repeated(const struct curl_handle *handle)
{
  return is_idempotent() || method_is_safe(handle_method(handle));
}

/* ---- is it tried again? ---- */

/* 0: another try would fail as well. */
static uint32_t error_of(int code)
{
  switch (code) {
  case COULDNT_RESOLVE_PROXY:
  case COULDNT_RESOLVE_HOST:
    return RETRY_ERROR_RESOLVE;
  case COULDNT_CONNECT:
    return RETRY_ERROR_CONNECT;
  case SSL_CONNECT:
    return RETRY_ERROR_TLS;
  case TIMED_OUT:
    return RETRY_ERROR_TIMEOUT;
  case HTTP2:
  case PARTIAL_FILE:
  case GOT_NOTHING:
  case SEND_ERROR:
  case CURL_RECV_ERROR:
  case HTTP2_STREAM:
    return RETRY_ERROR_RESET;
  }
  return 0;
}

static bool nothing_was_sent(int code)
{
  return error_of(code) & (RETRY_ERROR_RESOLVE | RETRY_ERROR_CONNECT);
}

static bool is_answered(int code)
{
  return code == CURL_OK || code == CURL_HTTP_RETURNED_ERROR;
}

/* A long and an off_t are of one size. */
static uint64_t number_of(struct curl_handle *handle, const struct curl_real *real, int info)
{
  uint64_t value = 0;
  return real->easy_getinfo(handle->easy, info, &value) == CURL_OK ? value : 0;
}

static bool body_has_come(const struct curl_handle *handle)
{
  return handle->gave_body || handle->body_length || handle->count[JOURNAL_CALLBACK_WRITE] || handle->count[COUNT_HEADER_IN_BODY];
}

/* How long the server asks to wait, in ns. */
static uint64_t asked_ns(struct curl_handle *handle, const struct curl_real *real)
{
  uint64_t seconds = number_of(handle, real, INFO_RETRY_AFTER);
  return seconds < UINT64_MAX / NS_PER_SECOND ? seconds * NS_PER_SECOND : UINT64_MAX;
}

/* A policy that is put together, and holds. */
struct holding {
  const struct retry_node *nodes; /* NULL: none does */
  unsigned root;
};

/* For an exchange that failed so. */
static struct holding holding_for(const struct curl_handle *handle, int code, uint32_t status)
{
  const struct retry_rules *rules = engine.retry_rules;
  const struct retry_plan *plan = handle->plan;
  struct holding holding = {NULL, 0};
  if (plan && (is_answered(code) ? plan->statuses & retry_status_bit(status) : error_of(code)))
    holding = (struct holding){plan->nodes, plan->node_count - 1};
  if (handle->policy_said || !rules)
    return holding;
  const struct retry_request request = {handle_method(handle), handle->url, is_answered(code) ? status : 0,
                                        is_answered(code) ? 0 : error_of(code)};
  int policy = retry_rules_match_request(rules, &request);
  if (policy >= 0)
    holding = (struct holding){rules->nodes, rules->policies[policy].node};
  return holding;
}

/* Since the first failure. After a reboot the wall clock's word, but at least what the machine has been up. */
static uint64_t spent_ns(const struct curl_handle *handle)
{
  const struct journal_deadline *first = &handle->failed_first;
  uint64_t boot_ns = engine_clock_ns(CLOCK_BOOTTIME), real_ns;
  if (!first->boot_ns)
    return 0;
  if (raw_equal(first->boot_id, engine.tail.header->boot_id, sizeof first->boot_id))
    return boot_ns - first->boot_ns;
  real_ns = engine_clock_ns(CLOCK_REALTIME);
  real_ns = real_ns > first->real_ns ? real_ns - first->real_ns : 0;
  return real_ns > boot_ns ? real_ns : boot_ns;
}

/* How long to wait for the next try, what the server asks for included. False: there is none. */
static bool next_by_nodes(struct curl_handle *handle, struct holding holding, uint64_t asked, uint64_t *ret_delay_ns)
{
  uint32_t chance = 0;
  uint64_t spent = spent_ns(handle);
  raw_syscall3(SYS_getrandom, (uint64_t)&chance, sizeof chance, 0);
  if (!retry_nodes_next(holding.nodes, holding.root, &handle->progress, handle->tries, spent, chance, ret_delay_ns))
    return false;
  if (asked <= *ret_delay_ns)
    return true;
  *ret_delay_ns = asked;
  return retry_nodes_allow(holding.nodes, holding.root, spent, asked);
}

static bool next_by_policy(struct curl_handle *handle, int code, uint32_t status, uint64_t asked, uint64_t *ret_delay_ns)
{
  uint32_t chance = 0;
  if (handle->tries >= handle->policy.max_attempts || asked > handle->policy.max_delay_ns ||
      !(is_answered(code) ? handle->policy.statuses & retry_status_bit(status) : error_of(code)))
    return false;
  raw_syscall3(SYS_getrandom, (uint64_t)&chance, sizeof chance, 0);
  uint64_t delay_ns = retry_delay_ns(&handle->policy, handle->tries, chance);
  *ret_delay_ns = asked > delay_ns ? asked : delay_ns;
  return true;
}

/* It has ended so, or is about to: is there another try, after *ret_delay_ns? */
static bool wants_another(struct curl_handle *handle, const struct curl_real *real, int code, uint64_t *ret_delay_ns)
{
  uint32_t status = (uint32_t)number_of(handle, real, INFO_RESPONSE_CODE);
  if (body_has_come(handle) || !(handle->repeatable || nothing_was_sent(code)))
    return false;
  struct holding holding = holding_for(handle, code, status);
  uint64_t asked = is_answered(code) ? asked_ns(handle, real) : 0;
  return holding.nodes ? next_by_nodes(handle, holding, asked, ret_delay_ns)
                       : next_by_policy(handle, code, status, asked, ret_delay_ns);
}

bool retry_holds_back(struct curl_handle *handle, const struct curl_real *real)
{
  if (!handle->held_back)
    handle->held_back = !(uint32_t)handle->kept[KEPT_HEADER] && wants_another(handle, real, CURL_OK, &handle->delay_ns);
  return handle->held_back;
}

/* ---- the next try ---- */

void retry_wait(const struct curl_handle *handle)
{
  struct timespec until;
  uint64_t delay_ns = handle->delay_ns;
  raw_syscall2(SYS_clock_gettime, CLOCK_MONOTONIC, (uint64_t)&until);
  uint64_t end_ns = (uint64_t)until.tv_nsec + delay_ns % NS_PER_SECOND;
  until.tv_sec += (time_t)(delay_ns / NS_PER_SECOND + end_ns / NS_PER_SECOND);
  until.tv_nsec = (long)(end_ns % NS_PER_SECOND);
  while (raw_syscall4(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, (uint64_t)&until, 0) == -EINTR)
    ;
}

static void note_failure(struct curl_handle *handle)
{
  struct journal_deadline *first = &handle->failed_first;
  if (!first->boot_ns) {
    first->boot_ns = engine_clock_ns(CLOCK_BOOTTIME);
    first->real_ns = engine_clock_ns(CLOCK_REALTIME);
    raw_copy(first->boot_id, engine.tail.header->boot_id, sizeof first->boot_id);
  }
  first->duration_ns = spent_ns(handle);
}

static void record_try(struct curl_handle *handle, const struct curl_real *real, int code)
{
  static const struct call_shape shape = {.class = CALL_CLASS_OBSERVE};
  struct call call = {.id = CALL_ID_CALLBACK, .shape = &shape};
  struct draft draft;
  uint64_t how = (uint64_t)code << 32 | (uint32_t)number_of(handle, real, INFO_RESPONSE_CODE);
  note_failure(handle);
  callback_draft(&draft, &call, handle, JOURNAL_CALLBACK_RETRY, how, handle->delay_ns);
  draft_add(&draft, SEGMENT_DEADLINE, 0, &handle->failed_first, sizeof handle->failed_first);
  crash_point();
  draft_append(&draft);
  crash_point();
}

/* Live and in replay: what was counted of the last try does not count for the next. */
static void begin_anew(struct curl_handle *handle)
{
  handle->last_return = 0;
  handle->in_header = false;
  raw_fill(handle->count, 0, sizeof handle->count);
  spool_close(handle);
  handle->held_back = false;
  handle->tries++;
}

/* What the policy has come to follows from what failed, and when. */
void retry_replay(struct curl_handle *handle, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_DEADLINE, 0);
  struct holding holding = holding_for(handle, (int)(entry->args[1] >> 32), (uint32_t)entry->args[1]);
  uint64_t delay_ns;
  if (segment && segment->length == sizeof handle->failed_first)
    raw_copy(&handle->failed_first, segment->data, sizeof handle->failed_first);
  if (holding.nodes)
    retry_nodes_next(holding.nodes, holding.root, &handle->progress, handle->tries, handle->failed_first.duration_ns, 0, &delay_ns);
  begin_anew(handle);
}

bool retry_follows(struct curl_handle *handle, const struct curl_real *real, int code)
{
  if (!handle->held_back && !wants_another(handle, real, code, &handle->delay_ns))
    return false;
  /* What the program has given of the request it has to give again. */
  if (handle->count[JOURNAL_CALLBACK_READ] && !callback_rewind(handle))
    return false;
  record_try(handle, real, code);
  begin_anew(handle);
  return true;
}
