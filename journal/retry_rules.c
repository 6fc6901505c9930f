/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/retry_rules.h"

#include <stddef.h>

struct asking {
  const struct retry_node *nodes;
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
  const struct retry_node *node = &asking->nodes[at];
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
  const struct retry_node *node = &asking->nodes[at];
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
  const struct retry_node *node = &asking->nodes[at];
  uint64_t delay_ns = 0;
  bool again = next_of_base(asking, at, number, &delay_ns);
  for (unsigned i = 0; again && i < node->limit_count; i++)
    again = apply_limit(asking, &node->limits[i], number, &delay_ns);
  if (again)
    *ret_delay_ns = delay_ns;
  return again;
}

bool retry_nodes_next(const struct retry_node *nodes, unsigned root, struct retry_progress *progress, uint32_t number,
                      uint64_t spent_ns, uint32_t chance, uint64_t *ret_delay_ns)
{
  const struct asking asking = {nodes, progress, spent_ns, chance};
  return next(&asking, root, number, ret_delay_ns);
}

bool retry_rules_next(const struct retry_rules *rules, unsigned policy, struct retry_progress *progress, uint32_t number,
                      uint64_t spent_ns, uint32_t chance, uint64_t *ret_delay_ns)
{
  return retry_nodes_next(rules->nodes, rules->policies[policy].node, progress, number, spent_ns, chance, ret_delay_ns);
}

/* Of all below: the node itself, and what it is put together from. */
static bool allows(const struct retry_node *nodes, unsigned at, uint64_t spent_ns, uint64_t delay_ns, bool *bounded)
{
  const struct retry_node *node = &nodes[at];
  for (unsigned i = 0; i < node->limit_count; i++) {
    const struct retry_limit *limit = &node->limits[i];
    if ((limit->kind == RETRY_CLAMP && delay_ns > limit->value2) ||
        (limit->kind == RETRY_TOTAL && add(spent_ns, delay_ns) > limit->value))
      return false;
    *bounded |= limit->kind == RETRY_CLAMP || limit->kind == RETRY_TOTAL;
  }
  return (node->base < RETRY_SAME || allows(nodes, node->left, spent_ns, delay_ns, bounded)) &&
         (node->base <= RETRY_SAME || allows(nodes, node->right, spent_ns, delay_ns, bounded));
}

bool retry_nodes_allow(const struct retry_node *nodes, unsigned root, uint64_t spent_ns, uint64_t delay_ns)
{
  bool bounded = false;
  return allows(nodes, root, spent_ns, delay_ns, &bounded) && (bounded || delay_ns <= RETRY_ASKED_MAX_NS);
}

bool retry_rules_allow(const struct retry_rules *rules, unsigned policy, uint64_t spent_ns, uint64_t delay_ns)
{
  return retry_nodes_allow(rules->nodes, rules->policies[policy].node, spent_ns, delay_ns);
}

/* ---- of the program's own ---- */

static bool limit_sound(const struct retry_limit *limit)
{
  switch (limit->kind) {
  case RETRY_COUNT:
    return limit->value >= 1;
  case RETRY_TOTAL:
  case RETRY_ADD:
    return true;
  case RETRY_CLAMP:
    return limit->value <= limit->value2;
  case RETRY_JITTER:
    return limit->value <= RETRY_MILLION;
  }
  return false;
}

/* used: a bit for each node that is another one's already. */
static bool take_node(uint32_t *used, unsigned node, unsigned at)
{
  if (node >= at || *used >> node & 1)
    return false;
  *used |= 1u << node;
  return true;
}

static bool node_sound(const struct retry_node *node, unsigned at, uint32_t *used)
{
  if (node->base > RETRY_INTERSECT || node->limit_count > RETRY_LIMITS_MAX ||
      (node->base == RETRY_EXPONENTIAL && (node->factor < RETRY_MILLION || node->factor > RETRY_MULTIPLIER_MAX * RETRY_MILLION)) ||
      (node->base >= RETRY_SAME && !take_node(used, node->left, at)) || (node->base > RETRY_SAME && !take_node(used, node->right, at)))
    return false;
  for (unsigned i = 0; i < node->limit_count; i++)
    if (!limit_sound(&node->limits[i]))
      return false;
  return true;
}

size_t retry_plan_size(const struct retry_plan *plan)
{
  return offsetof(struct retry_plan, nodes) + plan->node_count * sizeof plan->nodes[0];
}

bool retry_plan_sound(const struct retry_plan *plan, size_t size)
{
  uint32_t used = 0;
  bool named = false;
  if (size < offsetof(struct retry_plan, nodes) || plan->statuses > RETRY_STATUS_ALL || plan->node_count < 1 ||
      plan->node_count > RETRY_PLAN_NODES_MAX || size != retry_plan_size(plan))
    return false;
  for (unsigned i = 0; i < RETRY_NAME_SIZE; i++)
    named |= plan->name[i] == 0;
  for (unsigned i = 0; i < plan->node_count; i++)
    if (!node_sound(&plan->nodes[i], i, &used))
      return false;
  return named;
}

/* A policy of numbers has one attempt at least. */
bool retry_plan_of_values(const uint64_t values[JOURNAL_SCOPE_VALUES], uint64_t *ret_id)
{
  if (values[0] != 0 || values[1] == 0)
    return false;
  *ret_id = values[1];
  return true;
}

/* ---- which of them ---- */

static bool has_bit(const uint64_t *bits, unsigned bit, unsigned max)
{
  return bit <= max && bits[bit / 64] >> bit % 64 & 1;
}

static int better(const struct retry_rules *rules, int best, unsigned rule)
{
  return best < 0 || rules->rules[rule].priority > rules->rules[best].priority ? (int)rule : best;
}

static int policy_of(const struct retry_rules *rules, int rule)
{
  return rule < 0 ? -1 : (int)rules->rules[rule].policy;
}

int retry_rules_match(const struct retry_rules *rules, int signal, int status)
{
  int best = -1;
  for (unsigned i = 0; i < rules->rule_count; i++) {
    const struct retry_rule *rule = &rules->rules[i];
    if (signal ? has_bit(rule->signals, (unsigned)signal, RETRY_SIGNAL_MAX) : has_bit(rule->exits, (unsigned)status & 0xff, 255))
      best = better(rules, best, i);
  }
  return policy_of(rules, best);
}

/* Bytes of a text. */
struct piece {
  const char *at;
  size_t length;
};

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool is_one_of(char c, const char *set)
{
  while (*set && *set != c)
    set++;
  return *set;
}

/* Up to the first of those, or its end. */
static struct piece piece_up_to(const char *text, const char *set)
{
  struct piece piece = {text, 0};
  while (text[piece.length] && !is_one_of(text[piece.length], set))
    piece.length++;
  return piece;
}

/* Goes back to the latest '*' where the rest does not match, which is enough: an earlier one could give it no more. */
static bool piece_matches(struct piece piece, const char *pattern, bool fold)
{
  const char *star = NULL;
  size_t at = 0, star_at = 0;
  while (at < piece.length) {
    if (*pattern == '*') {
      star = pattern++;
      star_at = at;
    } else if (*pattern && (*pattern == piece.at[at] || (fold && lower(*pattern) == lower(piece.at[at])))) {
      pattern++;
      at++;
    } else if (star) {
      pattern = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (*pattern == '*')
    pattern++;
  return !*pattern;
}

static bool list_matches(const struct retry_rules *rules, uint32_t list, struct piece piece, bool fold)
{
  if (!list)
    return true;
  for (const char *word = rules->text + list; *word;) {
    if (piece_matches(piece, word, fold))
      return true;
    while (*word++)
      ;
  }
  return false;
}

struct address {
  struct piece host, with_port, path;
};

static struct address address_of(const char *url)
{
  struct address address;
  struct piece scheme = piece_up_to(url, ":/?#");
  if (url[scheme.length] == ':' && url[scheme.length + 1] == '/' && url[scheme.length + 2] == '/')
    url += scheme.length + 3;
  address.with_port = piece_up_to(url, "/?#");
  for (size_t i = 0; i < address.with_port.length; i++)
    if (url[i] == '@') {
      address.with_port = (struct piece){url + i + 1, address.with_port.length - i - 1};
      url += i + 1;
      i = 0;
    }
  address.host = address.with_port;
  for (size_t i = address.host.length; i-- > 0 && address.host.at[i] != ']';)
    if (address.host.at[i] == ':')
      address.host.length = i;
  const char *path = address.with_port.at + address.with_port.length;
  address.path = *path == '/' ? piece_up_to(path, "?#") : (struct piece){"/", 1};
  return address;
}

int retry_rules_match_request(const struct retry_rules *rules, const struct retry_request *request)
{
  const struct address address = address_of(request->url);
  const struct piece method = piece_up_to(request->method, "");
  int best = -1;
  for (unsigned i = 0; i < rules->rule_count; i++) {
    const struct retry_rule *rule = &rules->rules[i];
    bool how = request->error ? (rule->errors & request->error) != 0 : has_bit(rule->statuses, request->status, RETRY_STATUS_MAX);
    if (how && list_matches(rules, rule->methods, method, false) && list_matches(rules, rule->paths, address.path, false) &&
        (list_matches(rules, rule->hosts, address.host, true) || list_matches(rules, rule->hosts, address.with_port, true)))
      best = better(rules, best, i);
  }
  return policy_of(rules, best);
}
