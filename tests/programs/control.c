/* SPDX-License-Identifier: Apache-2.0 */
/* The control API but for regions: keys, notes, the journal's index, commit, scopes and their misuse. What it
 * prints is the same in every attempt, but for the keys and the index, of which it says what must hold. */
#include "control-api/perdure.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In C++ too. */
#define sure(condition) ((condition) ? (void)0 : abort())

static int journaled; /* perdure is there */

static void line(const char *text)
{
  int fd = open("said", O_WRONLY | O_CREAT | O_APPEND, 0666);
  dprintf(fd, "%s\n", text);
  close(fd);
}

static char key[37], other[37];

static void keys(void)
{
  sure(perdure_idempotency_key(NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_idempotency_key(key) == 0 && strlen(key) == 36);
  line("a key");
  sure(perdure_idempotency_key(other) == 0 && strcmp(key, other) != 0);
  int fd = open("keys", O_WRONLY | O_CREAT | O_APPEND, 0666);
  dprintf(fd, "%s\n%s\n", key, other);
  close(fd);
}

/* An earlier attempt may have written them: they are this one's too. */
static void keys_are_those(void)
{
  char written[128] = "", expected[128];
  int fd = open("keys", O_RDONLY);
  sure(read(fd, written, sizeof written - 1) == 74);
  close(fd);
  snprintf(expected, sizeof expected, "%s\n%s\n", key, other);
  sure(strcmp(written, expected) == 0);
}

static void journal(void)
{
  uint64_t first = perdure_journal_index();
  sure(perdure_note(NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_note("half way") == 0);
  line("noted");
  sure(perdure_commit(0, 0) == 0);
  sure(perdure_commit(1, 1000) == PERDURE_ERROR_REPLICAS);
  uint64_t second = perdure_journal_index();
  sure(second > first || (first == 0 && second == 0));
  line("committed");
}

static int leaves(int how)
{
  for (int i = 0; i < 2; i++) {
    PERDURE_WITH_IDEMPOTENCE(0) {
      sure(!journaled || perdure_idempotence_get() == 0);
      if (how == 0)
        break;
      if (how == 1)
        return i;
      if (how == 2)
        goto out;
      continue;
    }
  }
out:
  return 9;
}

static void blocks(void)
{
  for (int how = 0; how < 4; how++) {
    leaves(how);
    sure(perdure_idempotence_get() == 1);
  }
  PERDURE_WITH_IDEMPOTENCE(0)
    PERDURE_WITH_IDEMPOTENCE(1)
      sure(perdure_idempotence_get() == 1);
  sure(perdure_is_replaying() == 0 || journaled);
  line("blocks");
}

static void *end_elsewhere(void *token)
{
  sure(perdure_idempotence_end(*(struct perdure_token *)token) == 0);
  return NULL;
}

/* Only with perdure is it known which tokens have ended. */
static void misuse(void)
{
  struct perdure_token none = {0}, first, second;
  struct perdure_retry_policy nonsense = {3, 100, 1000, 0.5, 0.1, 0}, policy = {3, 100, 1000, 2, 0.1, PERDURE_RETRY_503}, got;
  sure(perdure_idempotence_end(none) == PERDURE_ERROR_TOKEN);
  sure(perdure_idempotence_begin(0, NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_retry_policy_begin(NULL, &first) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_retry_policy_begin(&nonsense, &first) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_retry_policy_begin(&policy, &first) == 0);
  sure(perdure_retry_policy_get(NULL) == PERDURE_ERROR_ARGUMENT);
  sure(!journaled || (perdure_retry_policy_get(&got) == 1 && got.multiplier == 2 && got.max_attempts == 3 &&
                     got.statuses == PERDURE_RETRY_503));
  sure(!journaled || perdure_idempotence_end(first) == PERDURE_ERROR_TOKEN);
  sure(perdure_retry_policy_end(first) == 0);
  sure(!journaled || perdure_retry_policy_end(first) == PERDURE_ERROR_TOKEN);
  line("misused");
  /* Overlapping: what was begun last holds until it ends. */
  sure(perdure_idempotence_begin(0, &first) == 0 && perdure_idempotence_begin(1, &second) == 0);
  sure(perdure_idempotence_end(first) == 0 && perdure_idempotence_get() == 1);
  sure(perdure_idempotence_end(second) == 0 && perdure_idempotence_get() == 1);
  sure(perdure_idempotence_begin(0, &first) == 0);
  pthread_t thread;
  sure(pthread_create(&thread, NULL, end_elsewhere, &first) == 0);
  pthread_join(thread, NULL);
  sure(perdure_idempotence_get() == 1);
  sure(perdure_idempotence_set(0) == 0 && perdure_idempotence_get() == !journaled);
  sure(perdure_idempotence_set(1) == 0 && perdure_idempotence_get() == 1);
  line("overlapped");
}

/* What they come to is tests/unit/test_retry_plans.c's. */
static void plans(int anew)
{
  static struct perdure_retry_plan plan, second, got, none;
  struct perdure_retry_policy policy = {3, 100, 1000, 2, 0.1, 0}, said;
  struct perdure_token token;
  sure(perdure_retry_plan_begin(NULL, &token) == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_begin(&none, &token) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_retry_plan_set(&none) == PERDURE_ERROR_ARGUMENT && perdure_retry_plan_get(NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_retry_plan_exponential(&plan, 1000, 2.0) == 0 && perdure_retry_plan_count(&plan, 5) == 0);
  sure(perdure_retry_plan_begin(&plan, NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_retry_plan_fibonacci(&second, 7) == 0 && perdure_retry_plan_and_then(&plan, &plan, &second) == 0);
  sure(perdure_retry_plan_name(&plan, "both") == 0 && perdure_retry_plan_statuses(&plan, PERDURE_RETRY_503) == 0);
  sure(perdure_retry_plan_get(&got) == 0);
  PERDURE_WITH_RETRY_PLAN(&plan) {
    sure(!journaled || (perdure_retry_plan_get(&got) == 1 && memcmp(&got, &plan, sizeof got) == 0));
    sure(perdure_retry_policy_get(&said) == 0);
    PERDURE_WITH_RETRY_POLICY(&policy)
      sure(perdure_retry_plan_get(&got) == 0 && perdure_retry_policy_get(&said) == journaled);
    PERDURE_WITH_RETRY_PLAN(&second)
      sure(!journaled || (perdure_retry_plan_get(&got) == 1 && memcmp(&got, &second, sizeof got) == 0));
  }
  sure(perdure_retry_plan_get(&got) == 0);
  sure(perdure_retry_plan_begin(&plan, &token) == 0 && perdure_retry_plan_end(token) == 0);
  sure(!journaled || perdure_retry_plan_end(token) == PERDURE_ERROR_TOKEN);
  sure(perdure_retry_plan_set(&second) == 0 && perdure_retry_plan_get(&got) == journaled);
  sure(perdure_retry_plan_remove() == 0 && perdure_retry_plan_get(&got) == 0);
  if (anew)
    PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING) {
      PERDURE_WITH_RETRY_PLAN(&plan)
        sure(perdure_retry_plan_get(&got) == journaled);
    }
  /* What none of its functions has made. */
  second.parts[0].base = 5;
  second.parts[0].left = 0;
  sure(perdure_retry_plan_set(&second) == (journaled ? PERDURE_ERROR_ARGUMENT : 0));
  sure(perdure_retry_plan_remove() == 0);
  line("planned");
}

static void *end_level(void *token)
{
  sure(perdure_persistence_end(*(struct perdure_token *)token) == 0);
  return NULL;
}

static void persistence_misused(void)
{
  struct perdure_token level, region;
  pthread_t thread;
  sure(perdure_persistence_begin((enum perdure_persistence)0, &level) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_persistence_begin((enum perdure_persistence)4, &level) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_persistence_set((enum perdure_persistence)0) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_persistence_begin(PERDURE_PERSIST_NOTHING, NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_persistence_begin(PERDURE_PERSIST_REMOTE, &level) == 0);
  sure(!journaled || perdure_persistence_get() == PERDURE_PERSIST_REMOTE);
  sure(!journaled || perdure_atomic_begin(&region) == PERDURE_ERROR_PERSISTENCE);
  sure(pthread_create(&thread, NULL, end_level, &level) == 0);
  pthread_join(thread, NULL);
  sure(!journaled || perdure_persistence_end(level) == PERDURE_ERROR_TOKEN);
  sure(perdure_persistence_get() == PERDURE_PERSIST_SMART);
  sure(perdure_persistence_set(PERDURE_PERSIST_REMOTE) == 0 && perdure_persistence_set(PERDURE_PERSIST_SMART) == 0);
  sure(perdure_atomic_begin(&region) == 0);
  PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING)
    line("journaled in a region");
  sure(perdure_atomic_end(region) == 0);
  line("levels misused");
}

static void *end_region(void *region)
{
  sure(perdure_atomic_end(*(struct perdure_token *)region) == 0);
  return NULL;
}

static void regions_misused(void)
{
  struct perdure_token none = {0}, outer, inner;
  pthread_t thread;
  sure(perdure_atomic_begin(NULL) == PERDURE_ERROR_ARGUMENT);
  sure(perdure_atomic_end(none) == PERDURE_ERROR_TOKEN);
  sure(perdure_atomic_begin(&outer) == 0 && perdure_atomic_begin(&inner) == 0);
  sure(!journaled || perdure_atomic_end(outer) == PERDURE_ERROR_ORDER);
  sure(!journaled || perdure_idempotence_end(inner) == PERDURE_ERROR_TOKEN);
  sure(perdure_atomic_end(inner) == 0);
  sure(!journaled || perdure_atomic_end(inner) == PERDURE_ERROR_TOKEN);
  sure(pthread_create(&thread, NULL, end_region, &outer) == 0);
  pthread_join(thread, NULL);
  sure(!journaled || perdure_atomic_end(outer) == PERDURE_ERROR_TOKEN);
  sure(perdure_atomic_abort(none) == PERDURE_ERROR_TOKEN);
  sure(!journaled || perdure_atomic_abort(outer) == PERDURE_ERROR_TOKEN);
  line("regions misused");
}

static void fill_up(void)
{
  struct perdure_token tokens[PERDURE_SCOPES_MAX + 1];
  int begun = 0;
  while (begun <= PERDURE_SCOPES_MAX && perdure_idempotence_begin(1, &tokens[begun]) == 0)
    begun++;
  /* Two are what the thread has set. */
  sure(!journaled || begun == PERDURE_SCOPES_MAX - 2);
  while (begun > 0)
    sure(perdure_idempotence_end(tokens[--begun]) == 0);
  line("filled");
}

int main(int argc, char **argv)
{
  journaled = perdure_journal_index() != 0;
  keys();
  journal();
  blocks();
  misuse();
  regions_misused();
  plans(argc > 1);
  if (argc > 1) {
    persistence_misused(); /* what is made in every attempt, no replay may make */
    fill_up();
  }
  keys_are_those();
  puts("done");
  return 0;
}
