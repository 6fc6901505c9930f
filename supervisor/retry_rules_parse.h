/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what --retry-policy FILE holds. The format is specified in retry_rules_parse.c. */
#ifndef PERDURE_SUPERVISOR_RETRY_RULES_PARSE_H
#define PERDURE_SUPERVISOR_RETRY_RULES_PARSE_H

#include "journal/retry_rules.h"
#include "supervisor/store.h"

#define RETRY_FILE_MAX 65536u /* bytes */

/* text: NUL-terminated. name: what the failure calls the file. -EINVAL: the failure names the line and what to do. On failure
 * *ret_rules is anything. */
int retry_rules_parse(const char *text, const char *name, struct retry_rules *ret_rules, struct failure *failure);

/* ---- between retry_rules_parse.c and retry_rules_rule.c ---- */

#define RETRY_WORDS_MAX 64u
#define RETRY_LINE_SIZE 1024u

struct parsing {
  struct retry_rules *rules;
  struct failure *failure;
  const char *file;
  unsigned line;
  char *words[RETRY_WORDS_MAX];
  unsigned word_count, at;
};

/* -EINVAL, with the line and what is wrong with it. */
__attribute__((format(printf, 2, 3))) int retry_parsing_refuse(struct parsing *parsing, const char *format, ...);
/* The next word, or "" at the line's end; the same, and goes past it; goes past it if it is that one. */
const char *retry_parsing_peek(const struct parsing *parsing);
const char *retry_parsing_take(struct parsing *parsing);
bool retry_parsing_take_if(struct parsing *parsing, const char *word);
int retry_parsing_take_number(struct parsing *parsing, const char *what, unsigned minimum, unsigned maximum,
                              uint64_t *ret_number);
/* Index, or -1. */
int retry_parsing_find_policy(const struct retry_rules *rules, const char *name);
/* The rest of a line that begins with `on`. */
int retry_parsing_rule(struct parsing *parsing);

#endif
