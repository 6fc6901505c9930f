/* SPDX-License-Identifier: Apache-2.0 */
/* Retry policies: how often and how late what has failed is tried again. Pure: no clock, no randomness of its own. The
 * supervisor has them for programs that died, the shim for transfers that failed. */
#ifndef PERDURE_JOURNAL_RETRY_POLICY_H
#define PERDURE_JOURNAL_RETRY_POLICY_H

#include "journal/entry.h"

#include <stdbool.h>

#define RETRY_MILLION 1000000u
#define RETRY_MULTIPLIER_MAX 1000u /* times */

/* HTTP statuses after which a request may be sent again. */
enum retry_status { RETRY_STATUS_429 = 1, RETRY_STATUS_502 = 2, RETRY_STATUS_503 = 4, RETRY_STATUS_504 = 8 };
#define RETRY_STATUS_ALL 15u

struct retry_policy {
  uint32_t max_attempts; /* of one place, the first included; 1: nothing is tried again */
  uint64_t min_delay_ns, max_delay_ns; /* min <= max */
  uint32_t multiplier;                 /* millionths, from 1 to 1000 times */
  uint32_t jitter;                     /* millionths of the delay that may come on top, at most all of it */
  uint32_t statuses;                   /* enum retry_status, or'ed */
  uint64_t total_ns; /* from the first failure at a place, no attempt begins later; 0: no limit. Of programs, not of transfers */
};

bool retry_policy_sound(const struct retry_policy *policy);

/* How long to wait after the failed attempt `number`, from 1: min(max_delay, min_delay * multiplier^(number-1)), and
 * jitter * chance / 2^32 of that on top, but never more than max_delay. chance: 32 random bits. */
uint64_t retry_delay_ns(const struct retry_policy *policy, uint32_t number, uint32_t chance);

/* The bit of an HTTP status; 0: it is none of those. */
uint32_t retry_status_bit(uint64_t status);

/* As JOURNAL_SCOPE_RETRY has it; false: the values are no policy. */
bool retry_policy_of_values(const uint64_t values[JOURNAL_SCOPE_VALUES], struct retry_policy *ret_policy);
void retry_policy_to_values(const struct retry_policy *policy, uint64_t ret_values[JOURNAL_SCOPE_VALUES]);

#endif
