/* SPDX-License-Identifier: Apache-2.0 */
/* Retries of the whole program. Writes one row of the store; a crash at any line leaves a run that the same
 * command goes on with, and whose count begins anew. */
#include "supervisor/run_retry.h"

#include "supervisor/clock.h"
#include "supervisor/retry_clock.h"
#include "supervisor/run_attempt.h"
#include "supervisor/run_interrupt.h"
#include "supervisor/store_retry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const int ends[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE};
static const int interrupts[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};

bool run_retry_is_failure(int signal)
{
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (ends[i] == signal)
      return false;
  return true;
}

/* The program's policy stands above the command line's. */
static int find_policy(const struct run_attempt *attempt, const struct analysis_summary *summary,
                       struct retry_policy *ret_policy, struct failure *failure)
{
  *ret_policy = attempt->retry.policy;
  if (summary->retry_said && summary->retry_plan == NULL && !retry_policy_of_values(summary->retry_values, ret_policy))
    return failure_set(failure, -EBADMSG, "the program's retry policy in the journal is none; run `perdure verify`");
  return 0;
}

/* At a failure there, now. */
static int read_clock(struct run_attempt *attempt, uint64_t place, struct retry_clock *ret_clock, struct failure *failure)
{
  struct retry_moment now;
  struct retry_clock before;
  bool known;
  int error = retry_clock_load(attempt->store, &before, &known, failure);

  if (error < 0)
    return error;
  error = retry_moment_now(&now);
  if (error < 0)
    return failure_set(failure, error, "cannot read /proc/sys/kernel/random/boot_id: %s; mount /proc", strerror(-error));
  *ret_clock = retry_clock_advance(known ? &before : NULL, place, &now);
  return 0;
}

static int write_decision(struct run_attempt *attempt, const struct retry_clock *clock, const struct store_retry *decision,
                          struct failure *failure)
{
  int error = store_begin(attempt->store, failure);

  if (error < 0)
    return error;
  error = retry_clock_save(attempt->store, clock, failure);
  if (error == 0)
    error = store_retry_add(attempt->store, decision, failure);
  if (error == 0)
    return store_commit(attempt->store, failure);
  store_rollback(attempt->store);
  return error;
}

bool run_retry_wants_exit(const struct run_attempt *attempt, int status)
{
  const struct retry_rules *rules = attempt->retry.rules;

  return status != 0 && !run_failure_was_ended(status) &&
         (attempt->retry_exit || (rules != NULL && retry_rules_match(rules, 0, status) >= 0));
}

int run_retry_load(struct run_attempt *attempt, const char *policy, const char *rules, struct failure *failure)
{
  int error = 0;

  attempt->retry.policy = retry_default;
  attempt->retry.said = policy != NULL;
  free(attempt->retry.rules);
  attempt->retry.rules = NULL;
  if (policy != NULL)
    error = retry_policy_parse(policy, &attempt->retry.policy, failure);
  if (error < 0 || rules == NULL)
    return error;
  attempt->retry.rules = malloc(sizeof *attempt->retry.rules);
  if (attempt->retry.rules == NULL)
    return failure_set(failure, -ENOMEM, "cannot read the retry policies: out of memory; free some");
  return retry_rules_parse(rules, "--retry-policy", attempt->retry.rules, failure);
}

/* By the program's plan, else by the rule that matches, else by `policy`. */
static bool ask(struct run_retry *retry, const struct retry_policy *policy, const struct retry_plan *plan, int rule, uint32_t chance)
{
  if (plan != NULL) {
    strcpy(retry->plan_name, plan->name[0] != '\0' ? plan->name : "of the program's");
    retry->name = retry->plan_name;
    return retry_nodes_next(plan->nodes, plan->node_count - 1, &retry->progress, retry->failures, retry->spent_ns, chance,
                            &retry->delay_ns);
  }
  if (rule < 0)
    return retry_next(policy, retry->failures, retry->spent_ns, chance, &retry->delay_ns);
  retry->name = retry->rules->policies[rule].name;
  return retry_rules_next(retry->rules, (unsigned)rule, &retry->progress, retry->failures, retry->spent_ns, chance,
                          &retry->delay_ns);
}

int run_retry_decide(struct run_attempt *attempt, const struct analysis *analysis, int signal, int status,
                     struct failure *failure)
{
  struct run_retry *retry = &attempt->retry;
  struct analysis_summary summary;
  struct retry_policy policy;
  struct retry_clock clock;
  uint32_t chance = 0;
  uint64_t place;
  int error;

  analysis_summary(analysis, &summary);
  place = summary.ended_count;
  error = find_policy(attempt, &summary, &policy, failure);
  if (error == 0)
    error = read_clock(attempt, place, &clock, failure);
  if (error < 0)
    return error;
  retry->failures = retry->failures > 0 && retry->place == place ? retry->failures + 1 : 1;
  retry->place = place;
  if (retry->failures == 1)
    retry->progress = (struct retry_progress){0};
  /* The program's own word stands above both. */
  int rule = retry->rules != NULL && !summary.retry_said ? retry_rules_match(retry->rules, signal, status) : -1;
  retry->max_attempts = rule < 0 && summary.retry_plan == NULL ? policy.max_attempts : 0;
  getrandom(&chance, sizeof chance, GRND_NONBLOCK);
  retry->delay_ns = 0;
  retry->total_ns = policy.total_ns;
  retry->spent_ns = clock.spent_ns;
  retry->name = NULL;
  retry->again = ask(retry, &policy, summary.retry_plan, rule, chance);
  return write_decision(attempt, &clock, &(struct store_retry){
    .attempt = attempt->number, .place = place, .failure = retry->failures,
    .max_attempts = retry->max_attempts, .again = retry->again, .delay_ns = retry->delay_ns,
    .policy = retry->name, .spent_ns = retry->spent_ns, .total_ns = retry->name == NULL ? retry->total_ns : 0,
  }, failure);
}

bool run_retry_wait(const struct run_attempt *attempt, int *ret_signal)
{
  uint64_t delay_ns = attempt->retry.delay_ns;
  int64_t end_ns = clock_ns(CLOCK_BOOTTIME) + (int64_t)(delay_ns < INT64_MAX / 2 ? delay_ns : INT64_MAX / 2), left_ns;
  sigset_t mask;

  /* They are blocked since before the first attempt: what came just after the program's death counts too. */
  sigemptyset(&mask);
  for (size_t i = 0; i < sizeof interrupts / sizeof *interrupts; i++)
    if (attempt->inherited.actions[interrupts[i]].sa_handler != SIG_IGN)
      sigaddset(&mask, interrupts[i]);
  sigaddset(&mask, RUN_INTERRUPT_SIGNAL);
  while ((left_ns = end_ns - clock_ns(CLOCK_BOOTTIME)) >= 0) {
    struct timespec left = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
    int signal = sigtimedwait(&mask, NULL, &left);

    if (signal > 0) {
      *ret_signal = signal;
      return false;
    }
  }
  return true;
}

int run_retry_prepare(struct run_attempt *attempt, struct failure *failure)
{
  int error = run_lock_end_tree(&attempt->place, &attempt->lock, failure);

  if (error < 0)
    return error;
  close(attempt->lock.tree_fd);
  attempt->lock.tree_fd = -1;
  tail_file_close(&attempt->tail);
  attempt->tail = (struct tail_file){.fd = -1};
  store_close(attempt->store);
  attempt->store = NULL;
  free(attempt->environment);
  attempt->environment = NULL;
  run_recipe_release(&attempt->recipe);
  attempt->recipe = (struct run_recipe){0};
  attempt->spawned = false;
  /* The program has moved the offset that it shares with us; recovery reads what was consumed from the start. */
  for (uint32_t i = 0; i < attempt->open_before.count; i++) {
    const struct run_descriptor *before = &attempt->open_before.list[i];

    if (S_ISREG(before->mode) && before->access == O_RDONLY)
      lseek(before->source_fd, before->offset, SEEK_SET);
  }
  return run_outer_inherited(&attempt->open_before, failure);
}
