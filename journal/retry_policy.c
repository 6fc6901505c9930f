/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/retry_policy.h"

bool retry_policy_sound(const struct retry_policy *policy)
{
  return policy->max_attempts >= 1 && policy->min_delay_ns <= policy->max_delay_ns &&
         policy->multiplier >= RETRY_MILLION && policy->multiplier <= RETRY_MULTIPLIER_MAX * RETRY_MILLION &&
         policy->jitter <= RETRY_MILLION && policy->statuses <= RETRY_STATUS_ALL;
}

uint64_t retry_delay_ns(const struct retry_policy *policy, uint32_t number, uint32_t chance)
{
  /* 20 bits behind the point: a nanosecond times 1.5 grows. 64 + 20 + 30 bits fit. */
  unsigned __int128 delay = (unsigned __int128)policy->min_delay_ns << 20;
  const unsigned __int128 max = (unsigned __int128)policy->max_delay_ns << 20;
  for (uint32_t i = 1; i < number && delay < max; i++) {
    unsigned __int128 next = delay * policy->multiplier / RETRY_MILLION;
    if (next == delay)
      break;
    delay = next;
  }
  if (delay > max)
    delay = max;
  delay += (delay >> 20) * policy->jitter / RETRY_MILLION * chance >> 12;
  return (uint64_t)((delay > max ? max : delay) >> 20);
}

uint32_t retry_status_bit(uint64_t status)
{
  switch (status) {
  case 429:
    return RETRY_STATUS_429;
  case 502:
    return RETRY_STATUS_502;
  case 503:
    return RETRY_STATUS_503;
  case 504:
    return RETRY_STATUS_504;
  }
  return 0;
}

/* The first number holds two. */
#define STATUSES_SHIFT 32

bool retry_policy_of_values(const uint64_t values[JOURNAL_SCOPE_VALUES], struct retry_policy *ret_policy)
{
  struct retry_policy policy = {(uint32_t)values[0], values[1], values[2], (uint32_t)values[3], (uint32_t)values[4],
                                (uint32_t)(values[0] >> STATUSES_SHIFT), 0};
  if (values[3] > UINT32_MAX || values[4] > UINT32_MAX || !retry_policy_sound(&policy))
    return false;
  *ret_policy = policy;
  return true;
}

void retry_policy_to_values(const struct retry_policy *policy, uint64_t ret_values[JOURNAL_SCOPE_VALUES])
{
  ret_values[0] = policy->max_attempts | (uint64_t)policy->statuses << STATUSES_SHIFT;
  ret_values[1] = policy->min_delay_ns;
  ret_values[2] = policy->max_delay_ns;
  ret_values[3] = policy->multiplier;
  ret_values[4] = policy->jitter;
}
