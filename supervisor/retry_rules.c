/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/retry_rules.h"

#include "supervisor/retry.h"

struct asking {
  const struct retry_rules *rules;
  struct retry_progress *progress;
  uint64_t spent_ns;
  uint32_t chance;
};

static uint64_t add(uint64_t a, uint64_t b)
{
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* 1, 1, 2, 3, 5, ... */
static uint64_t fibonacci(uint32_t number)
{
  uint64_t before = 0, now = 1;
  for (uint32_t i = 1; i < number && now < UINT64_MAX; i++) {
    uint64_t next = add(before, now);
    before = now;
    now = next;
  }
  return now;
}

static uint64_t exponential(const struct retry_node *node, uint32_t number)
{
  const struct retry_policy policy = {
      .min_delay_ns = node->delay_ns, .max_delay_ns = UINT64_MAX, .multiplier = node->factor};
  return retry_delay_ns(&policy, number, 0);
}

/* ---- limits ---- */

static bool apply_limit(const struct asking *asking, const struct retry_limit *limit, uint32_t number, uint64_t *delay_ns)
{
  switch (limit->kind) {
  case RETRY_COUNT:
    return number < limit->value;
  case RETRY_TOTAL:
    return add(asking->spent_ns, *delay_ns) <= limit->value;
  case RETRY_CLAMP:
    if (*delay_ns < limit->value)
      *delay_ns = limit->value;
    if (*delay_ns > limit->value2)
      *delay_ns = limit->value2;
    return true;
  case RETRY_ADD:
    *delay_ns = add(*delay_ns, limit->value);
    return true;
  case RETRY_JITTER: {
    unsigned __int128 jitter = (unsigned __int128)*delay_ns * limit->value / RETRY_MILLION * asking->chance >> 32;
    *delay_ns = add(*delay_ns, (uint64_t)jitter);
    return true;
  }
  }
  return false;
}

/* ---- what is put together ---- */

static bool next(const struct asking *asking, unsigned number_of_node, uint32_t number, uint64_t *ret_delay_ns);

static bool next_and_then(const struct asking *asking, unsigned at, uint32_t number, uint64_t *ret_delay_ns)
{
  const struct retry_node *node = &asking->rules->nodes[at];
  uint32_t *handed = &asking->progress->handed[at];
  if (*handed == 0 && next(asking, node->left, number, ret_delay_ns))
    return true;
  if (*handed == 0 || *handed > number)
    *handed = number;
  return next(asking, node->right, number - *handed + 1, ret_delay_ns);
}

static bool next_of_both(const struct asking *asking, const struct retry_node *node, uint32_t number, uint64_t *ret_delay_ns)
{
  uint64_t left_ns = 0, right_ns = 0;
  bool left = next(asking, node->left, number, &left_ns), right = next(asking, node->right, number, &right_ns);
  if (node->base == RETRY_INTERSECT) {
    *ret_delay_ns = left_ns > right_ns ? left_ns : right_ns;
    return left && right;
  }
  *ret_delay_ns = !right || (left && left_ns < right_ns) ? left_ns : right_ns;
  return left || right;
}

static bool next_of_base(const struct asking *asking, unsigned at, uint32_t number, uint64_t *ret_delay_ns)
{
  const struct retry_node *node = &asking->rules->nodes[at];
  switch (node->base) {
  case RETRY_NEVER:
    return false;
  case RETRY_IMMEDIATE:
    *ret_delay_ns = 0;
    return true;
  case RETRY_PERIODIC:
    *ret_delay_ns = node->delay_ns;
    return true;
  case RETRY_EXPONENTIAL:
    *ret_delay_ns = exponential(node, number);
    return true;
  case RETRY_FIBONACCI:
    *ret_delay_ns = multiply(node->delay_ns, fibonacci(number));
    return true;
  case RETRY_SAME:
    return next(asking, node->left, number, ret_delay_ns);
  case RETRY_AND_THEN:
    return next_and_then(asking, at, number, ret_delay_ns);
  case RETRY_UNION:
  case RETRY_INTERSECT:
    return next_of_both(asking, node, number, ret_delay_ns);
  }
  return false;
}

static bool next(const struct asking *asking, unsigned at, uint32_t number, uint64_t *ret_delay_ns)
{
  const struct retry_node *node = &asking->rules->nodes[at];
  uint64_t delay_ns = 0;
  bool again = next_of_base(asking, at, number, &delay_ns);
  for (unsigned i = 0; again && i < node->limit_count; i++)
    again = apply_limit(asking, &node->limits[i], number, &delay_ns);
  if (again)
    *ret_delay_ns = delay_ns;
  return again;
}

bool retry_rules_next(const struct retry_rules *rules, unsigned policy, struct retry_progress *progress, uint32_t number,
                      uint64_t spent_ns, uint32_t chance, uint64_t *ret_delay_ns)
{
  const struct asking asking = {rules, progress, spent_ns, chance};
  return next(&asking, rules->policies[policy].node, number, ret_delay_ns);
}

int retry_rules_match(const struct retry_rules *rules, int signal, int status)
{
  const struct retry_rule *best = NULL;
  for (unsigned i = 0; i < rules->rule_count; i++) {
    const struct retry_rule *rule = &rules->rules[i];
    const uint64_t *bits = signal ? rule->signals : rule->exits;
    unsigned bit = signal ? (unsigned)signal : (unsigned)status & 0xff;
    if (bit <= (signal ? RETRY_SIGNAL_MAX : 255) && bits[bit / 64] >> bit % 64 & 1 &&
        (best == NULL || rule->priority > best->priority))
      best = rule;
  }
  return best ? (int)best->policy : -1;
}
