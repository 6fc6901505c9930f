/* SPDX-License-Identifier: Apache-2.0 */
/* The program has died: is there to be another attempt, and when? */
#ifndef PERDURE_SUPERVISOR_RUN_RETRY_H
#define PERDURE_SUPERVISOR_RUN_RETRY_H

#include "supervisor/retry.h"
#include "supervisor/retry_rules_parse.h"

struct analysis;
struct run_attempt;

/* What the attempts of this supervisor have come to. */
struct run_retry {
  struct retry_policy policy; /* the command line's */
  bool said;                  /* it has said one */
  struct retry_rules *rules;  /* the same; NULL: none */
  struct retry_progress progress; /* by them, at that place */
  const char *name;           /* of the policy of theirs that held for the last failure; or plan_name; NULL: another did */
  char plan_name[RETRY_NAME_SIZE]; /* the same, where it is the program's own, put together */
  uint64_t place;             /* of the last failure: how many calls had ended */
  uint32_t failures;          /* in a row at that place */
  uint32_t max_attempts;      /* of the policy that held for it; 0: it has a name */
  uint64_t total_ns;          /* the same; 0: none */
  uint64_t spent_ns;          /* since the first failure at that place, of whichever supervisor */
  bool again;                 /* another attempt is to follow, after: */
  uint64_t delay_ns;
};

/* Signals by which somebody ends a program (INT, QUIT, TERM, HUP, and PIPE, whose reader has gone) are no failures. */
bool run_retry_is_failure(int signal);
/* The program has failed at the end of what is analysed: died by `signal`, or where that is 0 exited with `status`. Fills
 * attempt->retry, and writes it down. */
int run_retry_decide(struct run_attempt *attempt, const struct analysis *analysis, int signal, int status,
                     struct failure *failure);
/* Is that exit status a failure, by --retry-exit or a rule? */
bool run_retry_wants_exit(const struct run_attempt *attempt, int status);
/* policy: as retry_policy_parse() takes it; rules: as retry_rules_parse() does. NULL: the default, none. */
int run_retry_load(struct run_attempt *attempt, const char *policy, const char *rules, struct failure *failure);

/* Waits. false: it was interrupted, by *ret_signal. */
bool run_retry_wait(const struct run_attempt *attempt, int *ret_signal);

/* Makes the attempt one that run_start() can go on with: nothing of the last one lives, and what the program gets
 * from outside is where it was at its start. */
int run_retry_prepare(struct run_attempt *attempt, struct failure *failure);

#endif
