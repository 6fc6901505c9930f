/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/retry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define SECOND 1000000000ull

const struct retry_policy retry_default = {3, 100 * MS, SECOND, 3 * RETRY_MILLION, 150000, 0, 0};
const struct retry_policy retry_never = {1, 0, 0, RETRY_MILLION, 0, 0, 0};

bool retry_next(const struct retry_policy *policy, uint32_t number, uint64_t spent_ns, uint32_t chance,
                uint64_t *ret_delay_ns)
{
  uint64_t delay_ns = retry_delay_ns(policy, number, chance), begin_ns;

  if (number >= policy->max_attempts)
    return false;
  if (policy->total_ns != 0 &&
      (__builtin_add_overflow(spent_ns, delay_ns, &begin_ns) || begin_ns > policy->total_ns))
    return false;
  *ret_delay_ns = delay_ns;
  return true;
}

/* ---- the option ---- */

/* A number with a fraction, in units of `unit`, up to the end of the word; false: it is none. */
bool retry_number_parse(const char *text, double unit, double max, uint64_t *ret_value)
{
  char *end;
  if (text[0] < '0' || text[0] > '9')
    return false; /* no sign, no space, no "inf" */
  double value = strtod(text, &end) * unit;
  if (*end != '\0' || text[strspn(text, "0123456789.")] != '\0' || !(value <= max))
    return false;
  *ret_value = (uint64_t)(value + 0.5);
  return true;
}

bool retry_duration_parse(const char *text, uint64_t *ret_ns)
{
  static const struct {
    const char *name;
    double ns;
  } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
  size_t digits = strspn(text, "0123456789.");
  char number[32];
  if (digits == 0 || digits >= sizeof number)
    return false;
  memcpy(number, text, digits);
  number[digits] = '\0';
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strcmp(text + digits, units[i].name) == 0)
      return retry_number_parse(number, units[i].ns, 1e18, ret_ns);
  return strcmp(text, "0") == 0 && retry_number_parse(number, 1, 1, ret_ns);
}

/* "429+503". */
static bool parse_statuses(const char *text, uint32_t *ret_statuses)
{
  uint32_t statuses = 0;
  for (;;) {
    char *end;
    uint32_t bit = retry_status_bit(strtoul(text, &end, 10));
    if (end != text + 3 || !bit || (*end != '+' && *end != '\0'))
      return false;
    statuses |= bit;
    if (*end == '\0')
      break;
    text = end + 1;
  }
  *ret_statuses = statuses;
  return true;
}

enum { WORD_MAX, WORD_MIN, WORD_MAX_DELAY, WORD_MULTIPLIER, WORD_JITTER, WORD_STATUS, WORD_TOTAL, WORD_COUNT };

static bool parse_word(struct retry_policy *policy, unsigned word, const char *value)
{
  uint64_t number;
  switch (word) {
  case WORD_MAX:
    if (!retry_number_parse(value, 1, UINT32_MAX, &number) || strchr(value, '.') != NULL)
      return false;
    policy->max_attempts = (uint32_t)number;
    return number >= 1;
  case WORD_MIN:
    return retry_duration_parse(value, &policy->min_delay_ns);
  case WORD_MAX_DELAY:
    return retry_duration_parse(value, &policy->max_delay_ns);
  case WORD_TOTAL:
    return retry_duration_parse(value, &policy->total_ns) && policy->total_ns > 0;
  case WORD_MULTIPLIER:
    if (!retry_number_parse(value, RETRY_MILLION, RETRY_MULTIPLIER_MAX * (double)RETRY_MILLION, &number))
      return false;
    policy->multiplier = (uint32_t)number;
    return number >= RETRY_MILLION;
  case WORD_STATUS:
    return parse_statuses(value, &policy->statuses);
  default:
    if (!retry_number_parse(value, RETRY_MILLION, RETRY_MILLION, &number))
      return false;
    policy->jitter = (uint32_t)number;
    return true;
  }
}

static const struct {
  const char *name, *what;
} words[WORD_COUNT] = {
    [WORD_MAX] = {"max", "a number of attempts from 1"},
    [WORD_MIN] = {"min", "a time like 100ms, 2s, 1m, 1h"},
    [WORD_MAX_DELAY] = {"max-delay", "a time like 100ms, 2s, 1m, 1h"},
    [WORD_MULTIPLIER] = {"multiplier", "a number from 1 to 1000"},
    [WORD_JITTER] = {"jitter", "a number from 0 to 1"},
    [WORD_STATUS] = {"status", "of 429, 502, 503 and 504 those after which a request is sent again (429+503)"},
    [WORD_TOTAL] = {"total", "a time like 10s, 5m, 1h"},
};

/* `word` is NAME=VALUE, and is cut in two. */
static int parse_pair(struct retry_policy *policy, char *word, bool *given, struct failure *failure)
{
  char *value = strchr(word, '=');
  if (value != NULL)
    *value++ = '\0';
  for (unsigned i = 0; i < WORD_COUNT; i++) {
    if (strcmp(word, words[i].name) != 0)
      continue;
    if (value == NULL || given[i] || !parse_word(policy, i, value))
      return failure_set(failure, -EINVAL, "--retry: '%.40s' is, once, %s", words[i].name, words[i].what);
    given[i] = true;
    return 0;
  }
  return failure_set(failure, -EINVAL, "--retry: there is no '%.40s'; give max, min, max-delay, multiplier, jitter, status, total "
                     "(max=5,min=1s,max-delay=1m)", word);
}

int retry_policy_parse(const char *text, struct retry_policy *ret_policy, struct failure *failure)
{
  struct retry_policy policy = retry_default;
  bool given[WORD_COUNT] = {false};
  char copy[256], *save = NULL;
  int error = 0;
  if (strcmp(text, "none") == 0) {
    *ret_policy = retry_never;
    return 0;
  }
  if (strlen(text) >= sizeof copy)
    return failure_set(failure, -EINVAL, "--retry: that is too long; give max=5,min=1s,max-delay=1m");
  strcpy(copy, text);
  for (char *word = strtok_r(copy, ",", &save); error == 0 && word != NULL; word = strtok_r(NULL, ",", &save))
    error = parse_pair(&policy, word, given, failure);
  if (error < 0)
    return error;
  if (!given[WORD_MAX_DELAY] && policy.max_delay_ns < policy.min_delay_ns)
    policy.max_delay_ns = policy.min_delay_ns;
  if (policy.min_delay_ns > policy.max_delay_ns)
    return failure_set(failure, -EINVAL, "--retry: the shortest delay is longer than the longest; give a larger "
                       "max-delay or a smaller min");
  *ret_policy = policy;
  return 0;
}

void retry_duration_text(uint64_t duration_ns, char ret_text[RETRY_DURATION_SIZE])
{
  double value = (double)duration_ns;
  if (duration_ns < SECOND)
    snprintf(ret_text, RETRY_DURATION_SIZE, "%.4g ms", value / MS);
  else if (duration_ns < 120 * SECOND)
    snprintf(ret_text, RETRY_DURATION_SIZE, "%.4g s", value / SECOND);
  else
    snprintf(ret_text, RETRY_DURATION_SIZE, "%.5g min", value / SECOND / 60);
}
