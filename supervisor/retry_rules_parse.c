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
 *          request [WHICH...]         a transfer of libcurl's failed (shim/curl_retry.c)
 *   WHICH  method LIST                GET, POST, ...
 *          host LIST                  names, also with a port; '*' stands for any characters
 *          path LIST                  without what follows '?'; the same
 *          status LIST                it was answered with one of these, from 400 to 599, also FROM-TO
 *          error LIST                 it was not answered: resolve, connect, tls, timeout, reset
 *                                     without status and error: 429, 502, 503, 504, and all of these
 *   LIST   separated by commas. Of exit: statuses from 1 to 255, also FROM-TO; of signal: names with or without SIG, or numbers
 *   TIME   a number and one of ns us ms s m h d
 *   NAME   letters, digits, '_' and '-', beginning with a letter; no word of the above
 *
 * Limits hold in the order in which they stand, for the delay as it is by then. A name is given before it is used. Of the
 * rules that match a failure the one with the highest priority holds (0 where it is not said), and of several the first; what no
 * rule matches is left to --retry. What the rules of a request have it tried again after is tried again only if it may be repeated. A rule for an exit status has programs that end so tried again, as --retry-exit has all. */
#include "supervisor/retry_rules_parse.h"

#include "supervisor/retry.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int retry_parsing_refuse(struct parsing *parsing, const char *format, ...)
{
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return failure_set(parsing->failure, -EINVAL, "%.200s:%u: %s", parsing->file, parsing->line, text);
}

const char *retry_parsing_peek(const struct parsing *parsing)
{
  return parsing->at < parsing->word_count ? parsing->words[parsing->at] : "";
}

const char *retry_parsing_take(struct parsing *parsing)
{
  const char *word = retry_parsing_peek(parsing);
  parsing->at += parsing->at < parsing->word_count;
  return word;
}

bool retry_parsing_take_if(struct parsing *parsing, const char *word)
{
  bool is = strcmp(retry_parsing_peek(parsing), word) == 0;
  parsing->at += is;
  return is;
}

static int take_time(struct parsing *parsing, const char *what, uint64_t *ret_ns)
{
  const char *word = retry_parsing_take(parsing);
  return retry_duration_parse(word, ret_ns) ? 0 : retry_parsing_refuse(parsing, "'%.40s' is no time for %s; give one like 100ms, 2s, 1m, 1h",
                                                         word, what);
}

int retry_parsing_take_number(struct parsing *parsing, const char *what, unsigned minimum, unsigned maximum, uint64_t *ret_number)
{
  const char *word = retry_parsing_take(parsing);
  if (word[0] != '\0' && strspn(word, "0123456789") == strlen(word) && strlen(word) <= 10) {
    *ret_number = strtoull(word, NULL, 10);
    if (*ret_number >= minimum && *ret_number <= maximum)
      return 0;
  }
  return retry_parsing_refuse(parsing, "'%.40s' is no number for %s; give one from %u to %u", word, what, minimum, maximum);
}

/* In millionths. */
static int take_fraction(struct parsing *parsing, const char *what, unsigned minimum, unsigned maximum, uint64_t *ret_value)
{
  const char *word = retry_parsing_take(parsing);
  if (retry_number_parse(word, RETRY_MILLION, maximum * (double)RETRY_MILLION, ret_value) &&
      *ret_value >= (uint64_t)minimum * RETRY_MILLION)
    return 0;
  return retry_parsing_refuse(parsing, "'%.40s' is no number for %s; give one from %u to %u", word, what, minimum, maximum);
}

/* ---- policies ---- */

static bool is_reserved(const char *word)
{
  static const char *const words[] = {"policy", "on", "use", "priority", "never", "immediate", "periodic", "exponential",
                                      "fibonacci", "and-then", "union", "intersect", "count", "total", "clamp", "add",
                                      "jitter", "exit", "signal", "any", "request", "method", "host", "path", "status", "error"};
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

int retry_parsing_find_policy(const struct retry_rules *rules, const char *name)
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
    return retry_parsing_refuse(parsing, "this policy is put together from too many others (%u); make it simpler", RETRY_NODES_MAX);
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
  const char *word = retry_parsing_take(parsing);
  int policy = retry_parsing_find_policy(parsing->rules, word);
  if (policy < 0)
    return retry_parsing_refuse(parsing, "there is no policy '%.40s' above this line; give it first, with `policy %.40s = ...`", word, word);
  return copy_node(parsing, parsing->rules->policies[policy].node, ret_node);
}

static int parse_together(struct parsing *parsing, struct retry_node *node)
{
  int error = take_policy(parsing, &node->left);
  if (error < 0)
    return error;
  node->base = retry_parsing_take_if(parsing, "and-then")    ? RETRY_AND_THEN
               : retry_parsing_take_if(parsing, "union")     ? RETRY_UNION
               : retry_parsing_take_if(parsing, "intersect") ? RETRY_INTERSECT
                                               : RETRY_SAME;
  return node->base == RETRY_SAME ? 0 : take_policy(parsing, &node->right);
}

static int parse_base(struct parsing *parsing, struct retry_node *node)
{
  uint64_t factor;
  int error;
  if (retry_parsing_take_if(parsing, "never")) {
    node->base = RETRY_NEVER;
    return 0;
  }
  if (retry_parsing_take_if(parsing, "immediate")) {
    node->base = RETRY_IMMEDIATE;
    return 0;
  }
  if (retry_parsing_take_if(parsing, "periodic")) {
    node->base = RETRY_PERIODIC;
    return take_time(parsing, "periodic", &node->delay_ns);
  }
  if (retry_parsing_take_if(parsing, "fibonacci")) {
    node->base = RETRY_FIBONACCI;
    return take_time(parsing, "fibonacci", &node->delay_ns);
  }
  if (!retry_parsing_take_if(parsing, "exponential"))
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
    error = retry_parsing_refuse(parsing, "clamp: the shortest delay is longer than the longest; give the shorter one first");
  return error;
}

static int parse_limit(struct parsing *parsing, struct retry_limit *limit)
{
  if (retry_parsing_take_if(parsing, "count")) {
    limit->kind = RETRY_COUNT;
    return retry_parsing_take_number(parsing, "count", 1, UINT32_MAX, &limit->value);
  }
  if (retry_parsing_take_if(parsing, "total")) {
    limit->kind = RETRY_TOTAL;
    return take_time(parsing, "total", &limit->value);
  }
  if (retry_parsing_take_if(parsing, "clamp")) {
    limit->kind = RETRY_CLAMP;
    return parse_clamp(parsing, limit);
  }
  if (retry_parsing_take_if(parsing, "add")) {
    limit->kind = RETRY_ADD;
    return take_time(parsing, "add", &limit->value);
  }
  if (retry_parsing_take_if(parsing, "jitter")) {
    limit->kind = RETRY_JITTER;
    return take_fraction(parsing, "jitter", 0, 1, &limit->value);
  }
  return retry_parsing_refuse(parsing, "'%.40s' is no limit; give count, total, clamp, add or jitter", retry_parsing_peek(parsing));
}

static int parse_policy(struct parsing *parsing)
{
  struct retry_rules *rules = parsing->rules;
  struct retry_node node = {0};
  const char *name = retry_parsing_take(parsing);
  unsigned number = 0;
  int error = 0;
  if (!is_name(name))
    return retry_parsing_refuse(parsing, "'%.40s' is no name for a policy: it is a word of this format, or not up to %u letters, digits, '_' "
                  "and '-'; choose another", name, RETRY_NAME_SIZE - 1);
  if (retry_parsing_find_policy(rules, name) >= 0)
    return retry_parsing_refuse(parsing, "there is a policy '%.40s' already; give this one another name", name);
  if (rules->policy_count == RETRY_POLICIES_MAX)
    return retry_parsing_refuse(parsing, "these are more than %u policies; leave some out", RETRY_POLICIES_MAX);
  if (!retry_parsing_take_if(parsing, "="))
    return retry_parsing_refuse(parsing, "'=' is missing behind the name; write `policy %.40s = ...`, with blanks around it", name);
  error = parse_base(parsing, &node);
  while (error == 0 && parsing->at < parsing->word_count) {
    if (node.limit_count == RETRY_LIMITS_MAX)
      return retry_parsing_refuse(parsing, "these are more than %u limits; give some to a policy of their own", RETRY_LIMITS_MAX);
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

/* ---- the file ---- */

/* line: changed. */
static int parse_line(struct parsing *parsing, char *line)
{
  char *save = NULL, *comment = strchr(line, '#');
  if (comment != NULL)
    *comment = '\0';
  parsing->word_count = parsing->at = 0;
  for (char *word = strtok_r(line, " \t\r", &save); word != NULL; word = strtok_r(NULL, " \t\r", &save)) {
    if (parsing->word_count == RETRY_WORDS_MAX)
      return retry_parsing_refuse(parsing, "this line has more than %u words; make it shorter", RETRY_WORDS_MAX);
    parsing->words[parsing->word_count++] = word;
  }
  if (parsing->word_count == 0)
    return 0;
  if (retry_parsing_take_if(parsing, "policy"))
    return parse_policy(parsing);
  if (retry_parsing_take_if(parsing, "on"))
    return retry_parsing_rule(parsing);
  return retry_parsing_refuse(parsing, "'%.40s' begins no line; give `policy NAME = ...` or `on CAUSE use NAME`", retry_parsing_peek(parsing));
}

int retry_rules_parse(const char *text, const char *name, struct retry_rules *ret_rules, struct failure *failure)
{
  struct parsing parsing = {.rules = ret_rules, .failure = failure, .file = name};
  int error = 0;
  memset(ret_rules, 0, sizeof *ret_rules);
  ret_rules->text_used = 1;
  while (error == 0 && *text != '\0') {
    size_t length = strcspn(text, "\n");
    char line[RETRY_LINE_SIZE];
    parsing.line++;
    if (length >= sizeof line)
      return retry_parsing_refuse(&parsing, "this line has more than %u bytes; make it shorter", RETRY_LINE_SIZE - 1);
    memcpy(line, text, length);
    line[length] = '\0';
    error = parse_line(&parsing, line);
    text += length + (text[length] == '\n');
  }
  if (error == 0 && ret_rules->rule_count == 0) {
    parsing.line += parsing.line == 0;
    error = retry_parsing_refuse(&parsing, "no rule is in this file; end it with one like `on any use NAME`");
  }
  return error;
}
