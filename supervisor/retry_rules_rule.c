/* SPDX-License-Identifier: Apache-2.0 */
/* A line of --retry-policy FILE that says which policy holds for what: `on CAUSE [priority N] use NAME`. The format is
 * specified in retry_rules_parse.c. */
#include "supervisor/retry_rules_parse.h"

#include "supervisor/run_retry.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_bit(uint64_t *bits, unsigned bit)
{
  bits[bit / 64] |= 1ull << bit % 64;
}

/* FROM or FROM-TO. `what` they are, for the sentence. */
static int add_range(struct parsing *parsing, uint64_t *bits, const char *word, const char *what, unsigned minimum,
                     unsigned maximum)
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
  if (!sound || word[length] != '\0' || from < minimum || to > maximum || from > to)
    return retry_parsing_refuse(parsing, "'%.40s' is no %s; give one from %u to %u, or two with '-' between them", word, what,
                                minimum, maximum);
  for (; from <= to; from++)
    set_bit(bits, from);
  return 0;
}

static int add_exits(struct parsing *parsing, struct retry_rule *rule, const char *word)
{
  return add_range(parsing, rule->exits, word, "exit status", 1, 255);
}

static int add_answers(struct parsing *parsing, struct retry_rule *rule, const char *word)
{
  return add_range(parsing, rule->statuses, word, "status of a failed request", 400, RETRY_STATUS_MAX);
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
    return retry_parsing_refuse(parsing, "'%.40s' is no signal; give a name like SEGV, or a number from 1 to %u", word, RETRY_SIGNAL_MAX);
  if (!run_retry_is_failure(signal))
    return retry_parsing_refuse(parsing, "with %.40s somebody ends a program, and it is never started again; leave it out", word);
  set_bit(rule->signals, (unsigned)signal);
  return 0;
}

static int parse_list(struct parsing *parsing, struct retry_rule *rule,
                      int (*add)(struct parsing *parsing, struct retry_rule *rule, const char *word))
{
  char list[RETRY_LINE_SIZE], *save = NULL;
  int error = 0;
  snprintf(list, sizeof list, "%s", retry_parsing_take(parsing));
  for (char *word = strtok_r(list, ",", &save); error == 0 && word != NULL; word = strtok_r(NULL, ",", &save))
    error = add(parsing, rule, word);
  return error;
}

static int add_error(struct parsing *parsing, struct retry_rule *rule, const char *word)
{
  static const char *const names[] = {"resolve", "connect", "tls", "timeout", "reset"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], word) == 0) {
      rule->errors |= 1u << i;
      return 0;
    }
  return retry_parsing_refuse(parsing, "'%.40s' is no error; give resolve, connect, tls, timeout or reset", word);
}

static bool at_list(const struct parsing *parsing)
{
  return strcmp(retry_parsing_peek(parsing), "use") != 0 && strcmp(retry_parsing_peek(parsing), "priority") != 0 && retry_parsing_peek(parsing)[0] != '\0';
}

/* The words of a list, as the rules' text has them. */
static int take_words(struct parsing *parsing, const char *what, uint32_t *list)
{
  struct retry_rules *rules = parsing->rules;
  const char *words = at_list(parsing) ? retry_parsing_take(parsing) : "";
  size_t length = strlen(words);
  uint32_t used = rules->text_used;
  if (*list != 0)
    return retry_parsing_refuse(parsing, "'%s' is given twice; write one list, separated by commas", what);
  if (length == 0 || words[0] == ',' || words[length - 1] == ',' || strstr(words, ",,") != NULL)
    return retry_parsing_refuse(parsing, "'%.40s' is no list for %s; separate its words by single commas", words, what);
  if (used + length + 2 > RETRY_TEXT_SIZE)
    return retry_parsing_refuse(parsing, "the lists of this file have more than %u bytes; make them shorter", RETRY_TEXT_SIZE);
  memcpy(rules->text + used, words, length + 1);
  for (char *at = rules->text + used; (at = strchr(at, ',')) != NULL; at++)
    *at = '\0';
  rules->text[used + length + 1] = '\0';
  rules->text_used += (uint32_t)length + 2;
  *list = used;
  return 0;
}

static void add_all(struct retry_rule *rule, bool exits, bool signals)
{
  for (unsigned i = 1; exits && i <= 255; i++)
    set_bit(rule->exits, i);
  for (unsigned i = 1; signals && i <= RETRY_SIGNAL_MAX; i++)
    if (run_retry_is_failure((int)i))
      set_bit(rule->signals, i);
}

static int parse_request(struct parsing *parsing, struct retry_rule *rule)
{
  static const unsigned usual[] = {429, 502, 503, 504};
  bool how = false;
  int error = 0;
  while (error == 0 && at_list(parsing)) {
    const char *which = retry_parsing_take(parsing);
    if (strcmp(which, "method") == 0)
      error = take_words(parsing, which, &rule->methods);
    else if (strcmp(which, "host") == 0)
      error = take_words(parsing, which, &rule->hosts);
    else if (strcmp(which, "path") == 0)
      error = take_words(parsing, which, &rule->paths);
    else if (strcmp(which, "status") != 0 && strcmp(which, "error") != 0)
      error = retry_parsing_refuse(parsing, "'%.40s' says nothing of a request; give method, host, path, status or error", which);
    else if (!at_list(parsing))
      error = retry_parsing_refuse(parsing, "the list behind '%s' is missing; give it, separated by commas", which);
    else {
      error = parse_list(parsing, rule, which[0] == 's' ? add_answers : add_error);
      how = true;
    }
  }
  if (how)
    return error;
  rule->errors = RETRY_ERROR_ALL;
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
    set_bit(rule->statuses, usual[i]);
  return error;
}

static int parse_cause(struct parsing *parsing, struct retry_rule *rule)
{
  if (retry_parsing_take_if(parsing, "any")) {
    add_all(rule, true, true);
    return 0;
  }
  if (retry_parsing_take_if(parsing, "request"))
    return parse_request(parsing, rule);
  bool exits = retry_parsing_take_if(parsing, "exit");
  if (!exits && !retry_parsing_take_if(parsing, "signal"))
    return retry_parsing_refuse(parsing, "'%.40s' is no cause; give exit, signal, any or request", retry_parsing_peek(parsing));
  if (at_list(parsing))
    return parse_list(parsing, rule, exits ? add_exits : add_signal);
  add_all(rule, exits, !exits);
  return 0;
}

int retry_parsing_rule(struct parsing *parsing)
{
  struct retry_rules *rules = parsing->rules;
  struct retry_rule rule = {0};
  uint64_t priority = 0;
  const char *name;
  int policy, error;
  if (rules->rule_count == RETRY_RULES_MAX)
    return retry_parsing_refuse(parsing, "these are more than %u rules; leave some out", RETRY_RULES_MAX);
  error = parse_cause(parsing, &rule);
  if (error == 0 && retry_parsing_take_if(parsing, "priority"))
    error = retry_parsing_take_number(parsing, "priority", 0, UINT32_MAX, &priority);
  if (error < 0)
    return error;
  if (!retry_parsing_take_if(parsing, "use"))
    return retry_parsing_refuse(parsing, "'use' is missing before '%.40s'; write `on CAUSE use NAME`", retry_parsing_peek(parsing));
  name = retry_parsing_take(parsing);
  policy = retry_parsing_find_policy(rules, name);
  if (policy < 0)
    return retry_parsing_refuse(parsing, "there is no policy '%.40s' above this line; give it first, with `policy %.40s = ...`", name, name);
  if (parsing->at < parsing->word_count)
    return retry_parsing_refuse(parsing, "'%.40s' is too much behind the policy's name; leave it out", retry_parsing_peek(parsing));
  rule.priority = (uint32_t)priority;
  rule.policy = (unsigned)policy;
  rules->rules[rules->rule_count++] = rule;
  return 0;
}
