/* SPDX-License-Identifier: Apache-2.0 */
/* The format of --retry-policy FILE. One statement a line, words between blanks; `#` begins a comment.
 *
 *   policy NAME = BASE [LIMIT...]
 *   on CAUSE [priority N] use NAME
 *
 *   BASE   never                      no further attempt
 *          immediate                  at once
 *          periodic TIME              always after that
 *          exponential TIME FACTOR    after TIME, TIME * FACTOR, TIME * FACTOR^2, ...; FACTOR from 1 to 1000
 *          fibonacci TIME             after 1, 1, 2, 3, 5, 8, ... times that
 *          NAME                       as that one
 *          NAME and-then NAME         the first until it gives no further attempt, then the second, which counts from there
 *          NAME union NAME            as long as one of them gives an attempt, after the shorter delay
 *          NAME intersect NAME        as long as both do, after the longer delay
 *   LIMIT  count N                    at most N attempts, the first included
 *          total TIME                 none that would begin later than that after the first failure at its place
 *          clamp TIME TIME            a delay of at least the one and at most the other
 *          add TIME                   that much longer
 *          jitter FRACTION            by chance up to that part of it longer; from 0 to 1
 *   CAUSE  exit [LIST]                the program ended with one of these statuses; without LIST: any but 0
 *          signal [LIST]              it was killed by one of these; without LIST: any by which nobody ends a program
 *          any                        both
 *   LIST   statuses from 1 to 255, or names of signals with or without SIG, or their numbers; separated by commas,
 *          statuses also as FROM-TO
 *   TIME   a number and one of ns us ms s m h d
 *   NAME   letters, digits, '_' and '-', beginning with a letter; no word of the above
 *
 * Limits hold in the order in which they stand, for the delay as it is by then. A name is given before it is used. Of the
 * rules that match a failure the one with the highest priority holds (0 where it is not said), and of several the first; what no
 * rule matches is left to --retry. A rule for an exit status has programs that end so tried again, as --retry-exit has all. */
#include "supervisor/retry_rules.h"

#include "supervisor/retry.h"
#include "supervisor/run_retry.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64u
#define LINE_SIZE 1024u

struct parsing {
  struct retry_rules *rules;
  struct failure *failure;
  const char *file;
  unsigned line;
  char *words[WORDS_MAX];
  unsigned word_count, at;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct parsing *parsing, const char *format, ...)
{
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return failure_set(parsing->failure, -EINVAL, "%.200s:%u: %s", parsing->file, parsing->line, text);
}

/* The next word, or "" at the line's end. */
static const char *peek(const struct parsing *parsing)
{
  return parsing->at < parsing->word_count ? parsing->words[parsing->at] : "";
}

static const char *take(struct parsing *parsing)
{
  const char *word = peek(parsing);
  parsing->at += parsing->at < parsing->word_count;
  return word;
}

static bool take_if(struct parsing *parsing, const char *word)
{
  bool is = strcmp(peek(parsing), word) == 0;
  parsing->at += is;
  return is;
}

static int take_time(struct parsing *parsing, const char *what, uint64_t *ret_ns)
{
  const char *word = take(parsing);
  return retry_duration_parse(word, ret_ns) ? 0 : refuse(parsing, "'%.40s' is no time for %s; give one like 100ms, 2s, 1m, 1h",
                                                         word, what);
}

static int take_number(struct parsing *parsing, const char *what, unsigned minimum, unsigned maximum, uint64_t *ret_number)
{
  const char *word = take(parsing);
  if (word[0] != '\0' && strspn(word, "0123456789") == strlen(word) && strlen(word) <= 10) {
    *ret_number = strtoull(word, NULL, 10);
    if (*ret_number >= minimum && *ret_number <= maximum)
      return 0;
  }
  return refuse(parsing, "'%.40s' is no number for %s; give one from %u to %u", word, what, minimum, maximum);
}

/* In millionths. */
static int take_fraction(struct parsing *parsing, const char *what, unsigned minimum, unsigned maximum, uint64_t *ret_value)
{
  const char *word = take(parsing);
  if (retry_number_parse(word, RETRY_MILLION, maximum * (double)RETRY_MILLION, ret_value) &&
      *ret_value >= (uint64_t)minimum * RETRY_MILLION)
    return 0;
  return refuse(parsing, "'%.40s' is no number for %s; give one from %u to %u", word, what, minimum, maximum);
}

/* ---- policies ---- */

static bool is_reserved(const char *word)
{
  static const char *const words[] = {"policy", "on", "use", "priority", "never", "immediate", "periodic", "exponential",
                                      "fibonacci", "and-then", "union", "intersect", "count", "total", "clamp", "add",
                                      "jitter", "exit", "signal", "any"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i], word) == 0)
      return true;
  return false;
}

static bool is_name(const char *word)
{
  size_t length = strlen(word);
  if (!isalpha((unsigned char)word[0]) || length >= RETRY_NAME_SIZE || is_reserved(word))
    return false;
  for (size_t i = 0; i < length; i++)
    if (!isalnum((unsigned char)word[i]) && word[i] != '_' && word[i] != '-')
      return false;
  return true;
}

/* Index, or -1. */
static int find_policy(const struct retry_rules *rules, const char *name)
{
  for (unsigned i = 0; i < rules->policy_count; i++)
    if (strcmp(rules->policies[i].name, name) == 0)
      return (int)i;
  return -1;
}

static int add_node(struct parsing *parsing, struct retry_node node, unsigned *ret_number)
{
  struct retry_rules *rules = parsing->rules;
  if (rules->node_count == RETRY_NODES_MAX)
    return refuse(parsing, "this policy is put together from too many others (%u); make it simpler", RETRY_NODES_MAX);
  rules->nodes[rules->node_count] = node;
  *ret_number = rules->node_count++;
  return 0;
}

/* A copy of the node with all below it: each has its own progress. */
static int copy_node(struct parsing *parsing, unsigned number, unsigned *ret_number)
{
  struct retry_node node = parsing->rules->nodes[number];
  int error = 0;
  if (node.base >= RETRY_SAME)
    error = copy_node(parsing, node.left, &node.left);
  if (error == 0 && node.base > RETRY_SAME)
    error = copy_node(parsing, node.right, &node.right);
  return error < 0 ? error : add_node(parsing, node, ret_number);
}

static int take_policy(struct parsing *parsing, unsigned *ret_node)
{
  const char *word = take(parsing);
  int policy = find_policy(parsing->rules, word);
  if (policy < 0)
    return refuse(parsing, "there is no policy '%.40s' above this line; give it first, with `policy %.40s = ...`", word, word);
  return copy_node(parsing, parsing->rules->policies[policy].node, ret_node);
}

static int parse_together(struct parsing *parsing, struct retry_node *node)
{
  int error = take_policy(parsing, &node->left);
  if (error < 0)
    return error;
  node->base = take_if(parsing, "and-then")    ? RETRY_AND_THEN
               : take_if(parsing, "union")     ? RETRY_UNION
               : take_if(parsing, "intersect") ? RETRY_INTERSECT
                                               : RETRY_SAME;
  return node->base == RETRY_SAME ? 0 : take_policy(parsing, &node->right);
}

static int parse_base(struct parsing *parsing, struct retry_node *node)
{
  uint64_t factor;
  int error;
  if (take_if(parsing, "never")) {
    node->base = RETRY_NEVER;
    return 0;
  }
  if (take_if(parsing, "immediate")) {
    node->base = RETRY_IMMEDIATE;
    return 0;
  }
  if (take_if(parsing, "periodic")) {
    node->base = RETRY_PERIODIC;
    return take_time(parsing, "periodic", &node->delay_ns);
  }
  if (take_if(parsing, "fibonacci")) {
    node->base = RETRY_FIBONACCI;
    return take_time(parsing, "fibonacci", &node->delay_ns);
  }
  if (!take_if(parsing, "exponential"))
    return parse_together(parsing, node);
  node->base = RETRY_EXPONENTIAL;
  error = take_time(parsing, "exponential", &node->delay_ns);
  if (error == 0)
    error = take_fraction(parsing, "the factor of exponential", 1, RETRY_MULTIPLIER_MAX, &factor);
  if (error == 0)
    node->factor = (uint32_t)factor;
  return error;
}

static int parse_clamp(struct parsing *parsing, struct retry_limit *limit)
{
  int error = take_time(parsing, "clamp", &limit->value);
  if (error == 0)
    error = take_time(parsing, "clamp", &limit->value2);
  if (error == 0 && limit->value > limit->value2)
    error = refuse(parsing, "clamp: the shortest delay is longer than the longest; give the shorter one first");
  return error;
}

static int parse_limit(struct parsing *parsing, struct retry_limit *limit)
{
  if (take_if(parsing, "count")) {
    limit->kind = RETRY_COUNT;
    return take_number(parsing, "count", 1, UINT32_MAX, &limit->value);
  }
  if (take_if(parsing, "total")) {
    limit->kind = RETRY_TOTAL;
    return take_time(parsing, "total", &limit->value);
  }
  if (take_if(parsing, "clamp")) {
    limit->kind = RETRY_CLAMP;
    return parse_clamp(parsing, limit);
  }
  if (take_if(parsing, "add")) {
    limit->kind = RETRY_ADD;
    return take_time(parsing, "add", &limit->value);
  }
  if (take_if(parsing, "jitter")) {
    limit->kind = RETRY_JITTER;
    return take_fraction(parsing, "jitter", 0, 1, &limit->value);
  }
  return refuse(parsing, "'%.40s' is no limit; give count, total, clamp, add or jitter", peek(parsing));
}

static int parse_policy(struct parsing *parsing)
{
  struct retry_rules *rules = parsing->rules;
  struct retry_node node = {0};
  const char *name = take(parsing);
  unsigned number = 0;
  int error = 0;
  if (!is_name(name))
    return refuse(parsing, "'%.40s' is no name for a policy: it is a word of this format, or not up to %u letters, digits, '_' "
                  "and '-'; choose another", name, RETRY_NAME_SIZE - 1);
  if (find_policy(rules, name) >= 0)
    return refuse(parsing, "there is a policy '%.40s' already; give this one another name", name);
  if (rules->policy_count == RETRY_POLICIES_MAX)
    return refuse(parsing, "these are more than %u policies; leave some out", RETRY_POLICIES_MAX);
  if (!take_if(parsing, "="))
    return refuse(parsing, "'=' is missing behind the name; write `policy %.40s = ...`, with blanks around it", name);
  error = parse_base(parsing, &node);
  while (error == 0 && parsing->at < parsing->word_count) {
    if (node.limit_count == RETRY_LIMITS_MAX)
      return refuse(parsing, "these are more than %u limits; give some to a policy of their own", RETRY_LIMITS_MAX);
    error = parse_limit(parsing, &node.limits[node.limit_count]);
    node.limit_count++;
  }
  if (error == 0)
    error = add_node(parsing, node, &number);
  if (error < 0)
    return error;
  strcpy(rules->policies[rules->policy_count].name, name);
  rules->policies[rules->policy_count++].node = number;
  return 0;
}

/* ---- rules ---- */

static void set_bit(uint64_t *bits, unsigned bit)
{
  bits[bit / 64] |= 1ull << bit % 64;
}

static int add_statuses(struct parsing *parsing, struct retry_rule *rule, const char *word)
{
  unsigned from, to;
  int length = 0;
  bool sound = sscanf(word, "%3u%n", &from, &length) == 1 && isdigit((unsigned char)word[0]);
  to = from;
  if (sound && word[length] == '-') {
    const char *rest = word + length + 1;
    sound = isdigit((unsigned char)rest[0]) && sscanf(rest, "%3u%n", &to, &length) == 1;
    word = rest;
  }
  if (!sound || word[length] != '\0' || from < 1 || to > 255 || from > to)
    return refuse(parsing, "'%.40s' is no exit status; give one from 1 to 255, or two with '-' between them", word);
  for (; from <= to; from++)
    set_bit(rule->exits, from);
  return 0;
}

static int signal_named(const char *word)
{
  if (strspn(word, "0123456789") == strlen(word) && strlen(word) <= 2)
    return atoi(word);
  if (strncmp(word, "SIG", 3) == 0)
    word += 3;
  for (int i = 1; i <= (int)RETRY_SIGNAL_MAX; i++) {
    const char *name = sigabbrev_np(i);
    if (name != NULL && strcmp(name, word) == 0)
      return i;
  }
  return 0;
}

static int add_signal(struct parsing *parsing, struct retry_rule *rule, const char *word)
{
  int signal = signal_named(word);
  if (signal < 1 || signal > (int)RETRY_SIGNAL_MAX)
    return refuse(parsing, "'%.40s' is no signal; give a name like SEGV, or a number from 1 to %u", word, RETRY_SIGNAL_MAX);
  if (!run_retry_is_failure(signal))
    return refuse(parsing, "with %.40s somebody ends a program, and it is never started again; leave it out", word);
  set_bit(rule->signals, (unsigned)signal);
  return 0;
}

static int parse_list(struct parsing *parsing, struct retry_rule *rule,
                      int (*add)(struct parsing *parsing, struct retry_rule *rule, const char *word))
{
  char list[LINE_SIZE], *save = NULL;
  int error = 0;
  snprintf(list, sizeof list, "%s", take(parsing));
  for (char *word = strtok_r(list, ",", &save); error == 0 && word != NULL; word = strtok_r(NULL, ",", &save))
    error = add(parsing, rule, word);
  return error;
}

static bool at_list(const struct parsing *parsing)
{
  return strcmp(peek(parsing), "use") != 0 && strcmp(peek(parsing), "priority") != 0 && peek(parsing)[0] != '\0';
}

static void add_all(struct retry_rule *rule, bool exits, bool signals)
{
  for (unsigned i = 1; exits && i <= 255; i++)
    set_bit(rule->exits, i);
  for (unsigned i = 1; signals && i <= RETRY_SIGNAL_MAX; i++)
    if (run_retry_is_failure((int)i))
      set_bit(rule->signals, i);
}

static int parse_cause(struct parsing *parsing, struct retry_rule *rule)
{
  if (take_if(parsing, "any")) {
    add_all(rule, true, true);
    return 0;
  }
  bool exits = take_if(parsing, "exit");
  if (!exits && !take_if(parsing, "signal"))
    return refuse(parsing, "'%.40s' is no cause; give exit, signal or any", peek(parsing));
  if (at_list(parsing))
    return parse_list(parsing, rule, exits ? add_statuses : add_signal);
  add_all(rule, exits, !exits);
  return 0;
}

static int parse_rule(struct parsing *parsing)
{
  struct retry_rules *rules = parsing->rules;
  struct retry_rule rule = {0};
  uint64_t priority = 0;
  const char *name;
  int policy, error;
  if (rules->rule_count == RETRY_RULES_MAX)
    return refuse(parsing, "these are more than %u rules; leave some out", RETRY_RULES_MAX);
  error = parse_cause(parsing, &rule);
  if (error == 0 && take_if(parsing, "priority"))
    error = take_number(parsing, "priority", 0, UINT32_MAX, &priority);
  if (error < 0)
    return error;
  if (!take_if(parsing, "use"))
    return refuse(parsing, "'use' is missing before '%.40s'; write `on CAUSE use NAME`", peek(parsing));
  name = take(parsing);
  policy = find_policy(rules, name);
  if (policy < 0)
    return refuse(parsing, "there is no policy '%.40s' above this line; give it first, with `policy %.40s = ...`", name, name);
  if (parsing->at < parsing->word_count)
    return refuse(parsing, "'%.40s' is too much behind the policy's name; leave it out", peek(parsing));
  rule.priority = (uint32_t)priority;
  rule.policy = (unsigned)policy;
  rules->rules[rules->rule_count++] = rule;
  return 0;
}

/* ---- the file ---- */

/* line: changed. */
static int parse_line(struct parsing *parsing, char *line)
{
  char *save = NULL, *comment = strchr(line, '#');
  if (comment != NULL)
    *comment = '\0';
  parsing->word_count = parsing->at = 0;
  for (char *word = strtok_r(line, " \t\r", &save); word != NULL; word = strtok_r(NULL, " \t\r", &save)) {
    if (parsing->word_count == WORDS_MAX)
      return refuse(parsing, "this line has more than %u words; make it shorter", WORDS_MAX);
    parsing->words[parsing->word_count++] = word;
  }
  if (parsing->word_count == 0)
    return 0;
  if (take_if(parsing, "policy"))
    return parse_policy(parsing);
  if (take_if(parsing, "on"))
    return parse_rule(parsing);
  return refuse(parsing, "'%.40s' begins no line; give `policy NAME = ...` or `on CAUSE use NAME`", peek(parsing));
}

int retry_rules_parse(const char *text, const char *name, struct retry_rules *ret_rules, struct failure *failure)
{
  struct parsing parsing = {.rules = ret_rules, .failure = failure, .file = name};
  int error = 0;
  memset(ret_rules, 0, sizeof *ret_rules);
  while (error == 0 && *text != '\0') {
    size_t length = strcspn(text, "\n");
    char line[LINE_SIZE];
    parsing.line++;
    if (length >= sizeof line)
      return refuse(&parsing, "this line has more than %u bytes; make it shorter", LINE_SIZE - 1);
    memcpy(line, text, length);
    line[length] = '\0';
    error = parse_line(&parsing, line);
    text += length + (text[length] == '\n');
  }
  if (error == 0 && ret_rules->rule_count == 0) {
    parsing.line += parsing.line == 0;
    error = refuse(&parsing, "no rule is in this file; end it with one like `on any use NAME`");
  }
  return error;
}
