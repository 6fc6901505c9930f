/* SPDX-License-Identifier: Apache-2.0 */
/* What failed at the end of a journal whose program has exited, and from which entry on the run can be tried again.
 * Pure: entries in, an answer out.
 *
 * A command is a child that its maker has waited for. Commands that pipes join, made one after the other without a
 * wait between them, are one. Of a process that exited with status s, the failed command is the one of its commands that
 * ended last of those whose own status is not 0 (of a pipeline's members but the last: whose status is s), if that status is
 * s or no command was begun after it. Where that is a copy of its maker (a subshell), it is looked for inside. A
 * process that has made commands and then executed a program ends with that program as its last command; the run's first
 * process only where nothing is found in that program.
 *
 * A failed exchange or connection counts if it is the first process's own, nothing that process asked the world later was
 * answered, and it has begun no command since. An exchange has failed with a code of libcurl's, or with a status
 * that a later try may change: 408, 429, 500, 502, 503, 504 (as curl's --retry has them). A connection (TCP, or a connected
 * datagram socket) has failed when a call on it told a network's error, or the end in place of an answer. It is tried again
 * from its connect; not when something had come on it, since what was asked before would be asked twice. */
#ifndef PERDURE_SUPERVISOR_FAILED_EFFECT_H
#define PERDURE_SUPERVISOR_FAILED_EFFECT_H

#include "supervisor/recover.h"

enum failed_kind { FAILED_NOTHING, FAILED_COMMAND, FAILED_EXCHANGE, FAILED_CONNECTION };

struct failed_effect {
  enum failed_kind kind;
  const char *why;     /* of FAILED_NOTHING: a clause for a person */
  uint64_t position;   /* of the entry that is forgotten with all that follow it */
  uint32_t stream;     /* its */
  int64_t status;      /* a command's, as a shell has it; libcurl's code, or where that is 0 the response's; an errno */
  bool answered;       /* an exchange: status is a response's */
  uint64_t commands_after; /* of the first process, begun after it */
  /* From the second walk: remote changes that have begun since, of what failed and of others, and its words. */
  uint64_t own_changes, other_changes;
  char words[256];     /* "": a subshell */
};

struct failed_search;
/* analysis: ended, of the same entries. -ENOMEM. */
int failed_search_create(const struct analysis *analysis, struct failed_search **ret_search);
void failed_search_free(struct failed_search *search);
/* The walk, without entries that the analysis skips. */
void failed_search_add(struct failed_search *search, const struct journal_entry *entry);
/* Valid as long as the search. */
struct failed_effect *failed_search_end(struct failed_search *search);
/* The second walk, over the same entries: those before the failed one say nothing. Not after FAILED_NOTHING. */
void failed_search_weigh(struct failed_search *search, const struct journal_entry *entry);

#endif
