/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of retry policies. */
#include "tests/unit/tap.h"

#include "supervisor/retry.h"
#include "supervisor/retry_clock.h"

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

  policy = (struct retry_policy){9, 1, UINT64_MAX, 1500000, 0, 0, 0};
  tap_ok(retry_delay_ns(&policy, 3, 0) == 2 && retry_delay_ns(&policy, 11, 0) == 57, "a nanosecond times 1.5 grows");
  policy.multiplier = 1000 * RETRY_MILLION;
  policy.jitter = RETRY_MILLION;
  tap_ok(retry_delay_ns(&policy, 1000, UINT32_MAX) == UINT64_MAX, "nothing overflows");
  policy.min_delay_ns = UINT64_MAX;
  tap_ok(retry_delay_ns(&policy, 1, UINT32_MAX) == UINT64_MAX, "nor with the longest delay that there is");
  policy = (struct retry_policy){9, 0, SECOND, 3 * RETRY_MILLION, RETRY_MILLION, 0, 0};
  tap_ok(retry_delay_ns(&policy, UINT32_MAX, UINT32_MAX) == 0, "no delay stays none");
  policy = (struct retry_policy){9, 5 * MS, SECOND, RETRY_MILLION, 0, 0, 0};
  tap_ok(retry_delay_ns(&policy, UINT32_MAX, 0) == 5 * MS, "a multiplier of 1 is a constant delay");
}

static void test_total(void)
{
  struct retry_policy policy = {9, SECOND, SECOND, RETRY_MILLION, 0, 0, 10 * SECOND};
  uint64_t delay = 77;
  tap_ok(retry_next(&policy, 1, 0, 0, &delay) && delay == SECOND, "there is another attempt within the total time");
  tap_ok(retry_next(&policy, 1, 9 * SECOND, 0, &delay), "also one that begins at its very end");
  delay = 77;
  tap_ok(!retry_next(&policy, 1, 9 * SECOND + 1, 0, &delay) && delay == 77, "but none that would begin later");
  tap_ok(!retry_next(&policy, 1, UINT64_MAX, 0, &delay), "nothing overflows in the sum");
  tap_ok(!retry_next(&policy, 9, 0, 0, &delay), "nor is there one after the last");
  policy.total_ns = 0;
  tap_ok(retry_next(&policy, 8, UINT64_MAX, 0, &delay), "without a limit any time will do");
}

static struct retry_moment moment(const char *boot, const char *node, int64_t boot_ns, int64_t wall_ns)
{
  struct retry_moment made = {.boot_ns = boot_ns, .wall_ns = wall_ns};
  strcpy(made.boot, boot);
  strcpy(made.node, node);
  return made;
}

static void test_clock(void)
{
  struct retry_moment then = moment("aa", "here", 1000, 5000), now = moment("aa", "here", 1700, 5);
  tap_ok(retry_elapsed_ns(&then, &now) == 700, "within a boot the boot time counts, whatever the wall clock says");
  now = moment("bb", "here", 300, 5900);
  tap_ok(retry_elapsed_ns(&then, &now) == 900, "over a boot the wall clock does");
  now = moment("bb", "here", 300, 100);
  tap_ok(retry_elapsed_ns(&then, &now) == 300, "where it was set back, what the new boot has lasted");
  now = moment("bb", "there", 300, 5100);
  tap_ok(retry_elapsed_ns(&then, &now) == 100, "another machine's uptime says nothing");
  now = moment("bb", "there", 300, 100);
  tap_ok(retry_elapsed_ns(&then, &now) == 0, "nor does its clock, where it is behind");
  then.wall_ns = INT64_MIN;
  now = moment("bb", "here", 300, INT64_MAX);
  tap_ok(retry_elapsed_ns(&then, &now) == UINT64_MAX, "the widest span");

  then = moment("aa", "here", 1000, 5000);
  now = moment("aa", "here", 1700, 5000);
  struct retry_clock first = retry_clock_advance(NULL, 5, &then);
  tap_ok(first.spent_ns == 0 && first.place == 5, "the first failure begins the time");
  struct retry_clock next = retry_clock_advance(&first, 5, &now);
  tap_ok(next.spent_ns == 700, "it goes on at the same place");
  tap_ok(retry_clock_advance(&next, 6, &now).spent_ns == 0, "and begins again at another");
  next.spent_ns = UINT64_MAX - 1;
  next.moment = then;
  tap_ok(retry_clock_advance(&next, 5, &now).spent_ns == UINT64_MAX, "it does not overflow");
  struct retry_moment here;
  tap_ok(retry_moment_now(&here) == 0 && strlen(here.boot) == 32 && here.boot_ns > 0, "this machine says which boot it is");
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
  tap_ok(parses("total=10m,max=9") && parsed.total_ns == 600 * SECOND && parsed.max_attempts == 9, "a total time");
  tap_ok(parses("none") && parsed.max_attempts == 1, "none");
  static const char *const wrong[] = {
      "max",         "max=",        "max=0",          "max=-1",      "max=1.5",    "max=4294967296", "max=2,max=3",
      "min=1",       "min=s",       "min=1 s",        "min=1s ",     "min=-1s",    "min=1e30s",      "min=1.2.3s",
      "min=2s,max-delay=1s", "multiplier=0.99", "multiplier=1001", "multiplier=nan", "multiplier=inf", "multiplier=0x2",
      "total=0",     "total=",      "total=5",        "total=-1s",   "total=1s,total=1s",
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
  test_total();
  test_clock();
  test_soundness();
  test_option();
  return tap_done();
}
