/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of retry policies. */
#include "tests/unit/tap.h"

#include "supervisor/retry.h"

#include <string.h>

#define MS 1000000ull
#define SECOND (1000 * MS)

static struct retry_policy parsed;

static bool refused(const char *text)
{
  struct retry_policy policy = {.max_attempts = 77};
  struct failure failure;
  return retry_policy_parse(text, &policy, &failure) < 0 && policy.max_attempts == 77 && failure.text[0] != '\0';
}

static bool parses(const char *text)
{
  struct failure failure;
  return retry_policy_parse(text, &parsed, &failure) == 0 && retry_policy_sound(&parsed);
}

static void test_delays(void)
{
  struct retry_policy policy = retry_default;
  tap_ok(retry_policy_sound(&retry_default) && retry_policy_sound(&retry_never), "the two that are built in are sound");
  tap_ok(retry_delay_ns(&policy, 1, 0) == 100 * MS && retry_delay_ns(&policy, 2, 0) == 300 * MS &&
             retry_delay_ns(&policy, 3, 0) == 900 * MS,
         "the delay grows by the multiplier");
  tap_ok(retry_delay_ns(&policy, 4, 0) == SECOND && retry_delay_ns(&policy, UINT32_MAX, 0) == SECOND,
         "and no further than the longest, also after 2^32 attempts");
  uint64_t most = retry_delay_ns(&policy, 1, UINT32_MAX);
  tap_ok(most > 114 * MS && most <= 115 * MS, "the jitter comes on top, up to its factor");
  tap_ok(retry_delay_ns(&policy, 1, 1u << 31) - 107500000 < 10, "and in the middle by half of it");
  tap_ok(retry_delay_ns(&policy, 4, UINT32_MAX) == SECOND, "never above the longest delay");

  policy = (struct retry_policy){9, 1, UINT64_MAX, 1500000, 0, 0};
  tap_ok(retry_delay_ns(&policy, 3, 0) == 2 && retry_delay_ns(&policy, 11, 0) == 57, "a nanosecond times 1.5 grows");
  policy.multiplier = 1000 * RETRY_MILLION;
  policy.jitter = RETRY_MILLION;
  tap_ok(retry_delay_ns(&policy, 1000, UINT32_MAX) == UINT64_MAX, "nothing overflows");
  policy.min_delay_ns = UINT64_MAX;
  tap_ok(retry_delay_ns(&policy, 1, UINT32_MAX) == UINT64_MAX, "nor with the longest delay that there is");
  policy = (struct retry_policy){9, 0, SECOND, 3 * RETRY_MILLION, RETRY_MILLION, 0};
  tap_ok(retry_delay_ns(&policy, UINT32_MAX, UINT32_MAX) == 0, "no delay stays none");
  policy = (struct retry_policy){9, 5 * MS, SECOND, RETRY_MILLION, 0, 0};
  tap_ok(retry_delay_ns(&policy, UINT32_MAX, 0) == 5 * MS, "a multiplier of 1 is a constant delay");
}

static void test_soundness(void)
{
  struct retry_policy policy = retry_default;
  policy.multiplier = RETRY_MILLION - 1;
  tap_ok(!retry_policy_sound(&policy), "a multiplier below 1 is refused");
  policy = retry_default;
  policy.max_attempts = 0;
  tap_ok(!retry_policy_sound(&policy), "no attempt at all is refused");
  policy = retry_default;
  policy.min_delay_ns = policy.max_delay_ns + 1;
  tap_ok(!retry_policy_sound(&policy), "a shortest delay above the longest is refused");
  policy = retry_default;
  policy.jitter = RETRY_MILLION + 1;
  tap_ok(!retry_policy_sound(&policy), "more jitter than delay is refused");
  uint64_t values[JOURNAL_SCOPE_VALUES] = {3, 1, 2, RETRY_MILLION, 0}, wide = 1ull << 32;
  tap_ok(retry_policy_of_values(values, &policy) && policy.max_attempts == 3, "the journal's values are a policy");
  uint64_t told[JOURNAL_SCOPE_VALUES];
  values[0] += wide * (RETRY_STATUS_429 | RETRY_STATUS_504);
  tap_ok(retry_policy_of_values(values, &policy) && policy.max_attempts == 3 &&
             policy.statuses == (RETRY_STATUS_429 | RETRY_STATUS_504),
         "with the statuses in them");
  retry_policy_to_values(&policy, told);
  tap_ok(memcmp(told, values, sizeof told) == 0, "and the policy is those values");
  values[0] += wide * 16;
  tap_ok(!retry_policy_of_values(values, &policy), "but not when they are too wide");
}

static void test_option(void)
{
  tap_ok(parses("max=5,min=1s,max-delay=1m,multiplier=2,jitter=0.1") && parsed.max_attempts == 5 &&
             parsed.min_delay_ns == SECOND && parsed.max_delay_ns == 60 * SECOND &&
             parsed.multiplier == 2 * RETRY_MILLION && parsed.jitter == 100000,
         "all words");
  tap_ok(parses("jitter=0,min=0") && parsed.max_attempts == 3 && parsed.min_delay_ns == 0, "some, in another order");
  tap_ok(parses("min=1.5h") && parsed.min_delay_ns == 5400 * SECOND && parsed.max_delay_ns == 5400 * SECOND,
         "a long shortest delay raises the longest");
  tap_ok(parses("status=429+503") && parsed.statuses == (RETRY_STATUS_429 | RETRY_STATUS_503), "statuses");
  tap_ok(parses("none") && parsed.max_attempts == 1, "none");
  static const char *const wrong[] = {
      "max",         "max=",        "max=0",          "max=-1",      "max=1.5",    "max=4294967296", "max=2,max=3",
      "min=1",       "min=s",       "min=1 s",        "min=1s ",     "min=-1s",    "min=1e30s",      "min=1.2.3s",
      "min=2s,max-delay=1s", "multiplier=0.99", "multiplier=1001", "multiplier=nan", "multiplier=inf", "multiplier=0x2",
      "jitter=1.1",  "jitter=",     "jitter=nan",     "often=3",     "=3",         "max=3;min=1s",
      "status=",     "status=404",  "status=429+",    "status=+429", "status=4290", "status=429,502",   "status=429 ",
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    tap_ok(refused(wrong[i]), "refused: %s", wrong[i]);
  char text[RETRY_DURATION_SIZE];
  retry_duration_text(107500000, text);
  tap_ok(strcmp(text, "107.5 ms") == 0, "a delay is said in words");
}

int main(void)
{
  test_delays();
  test_soundness();
  test_option();
  return tap_done();
}
