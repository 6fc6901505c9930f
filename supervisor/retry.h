/* SPDX-License-Identifier: Apache-2.0 */
/* Retry policies: how often and how late what has failed is tried again. Pure: no clock, no randomness of its
 * own. */
#ifndef PERDURE_SUPERVISOR_RETRY_H
#define PERDURE_SUPERVISOR_RETRY_H

#include "journal/entry.h"
#include "supervisor/store.h"

#define RETRY_MILLION 1000000u
#define RETRY_MULTIPLIER_MAX 1000u /* times */

struct retry_policy {
  uint32_t max_attempts; /* of one place, the first included; 1: nothing is tried again */
  uint64_t min_delay_ns, max_delay_ns; /* min <= max */
  uint32_t multiplier;                 /* millionths, from 1 to 1000 times */
  uint32_t jitter;                     /* millionths of the delay that may come on top, at most all of it */
};

/* 3 attempts, after 100 ms, 300 ms, ... at most 1 s, and up to 15% more. */
extern const struct retry_policy retry_default;
/* One attempt. */
extern const struct retry_policy retry_never;

bool retry_policy_sound(const struct retry_policy *policy);

/* How long to wait after the failed attempt `number`, from 1: min(max_delay, min_delay * multiplier^(number-1)), and
 * jitter * chance / 2^32 of that on top, but never more than max_delay. chance: 32 random bits. */
uint64_t retry_delay_ns(const struct retry_policy *policy, uint32_t number, uint32_t chance);

/* "max=5,min=1s,max-delay=1m,multiplier=2,jitter=0.1", each at most once and in any order; what is not
 * named is the default's, and a longest delay that is not named is at least the shortest. "none": never.
 * -EINVAL: the sentence names the word. */
int retry_policy_parse(const char *text, struct retry_policy *ret_policy, struct failure *failure);

/* From the values of JOURNAL_SCOPE_RETRY; false: they are no policy. */
bool retry_policy_of_values(const uint64_t values[JOURNAL_SCOPE_VALUES], struct retry_policy *ret_policy);

#define RETRY_DURATION_SIZE 32
/* "100 ms", "1.5 s", "2 min": for people. */
/* "200ms", "1s", "1m", as --retry has them. False: it is none. */
bool retry_duration_parse(const char *text, uint64_t *ret_ns);
void retry_duration_text(uint64_t duration_ns, char ret_text[RETRY_DURATION_SIZE]);

#endif
