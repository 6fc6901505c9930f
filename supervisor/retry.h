/* SPDX-License-Identifier: Apache-2.0 */
/* Retry policies as people write them. */
#ifndef PERDURE_SUPERVISOR_RETRY_H
#define PERDURE_SUPERVISOR_RETRY_H

#include "journal/retry_policy.h"
#include "supervisor/store.h"

/* 3 attempts, after 100 ms, 300 ms, ... at most 1 s, and up to 15% more. */
extern const struct retry_policy retry_default;
/* One attempt. */
extern const struct retry_policy retry_never;

/* Is there another attempt after the failed attempt `number`, spent_ns after the first failure? Then *ret_delay_ns is how
 * long to wait for it. */
bool retry_next(const struct retry_policy *policy, uint32_t number, uint64_t spent_ns, uint32_t chance,
                uint64_t *ret_delay_ns);

/* "max=5,min=1s,max-delay=1m,multiplier=2,jitter=0.1,status=429+503,total=10m", each at most once and in any order; what is not
 * named is the default's, and a longest delay that is not named is at least the shortest. "none": never.
 * -EINVAL: the sentence names the word. */
int retry_policy_parse(const char *text, struct retry_policy *ret_policy, struct failure *failure);

#define RETRY_DURATION_SIZE 32
/* "100 ms", "1.5 s", "2 min": for people. */
/* A number with or without a fraction, in units of `unit`, rounded; false: it is none, or more than max. */
bool retry_number_parse(const char *text, double unit, double max, uint64_t *ret_value);
/* "200ms", "1s", "1m", as --retry has them. False: it is none. */
bool retry_duration_parse(const char *text, uint64_t *ret_ns);
void retry_duration_text(uint64_t duration_ns, char ret_text[RETRY_DURATION_SIZE]);

#endif
