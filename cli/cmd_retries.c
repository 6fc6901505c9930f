/* SPDX-License-Identifier: Apache-2.0 */
/* perdure retries: the ends of a run's attempts, and what the retry policy said. */
#include "cli/command.h"
#include "cli/run_text.h"
#include "supervisor/retry.h"
#include "supervisor/store_retry.h"

#include <inttypes.h>
#include <string.h>

static void print_decision(const struct store_failed_attempt *failed)
{
  const struct store_retry *retry = &failed->retry;
  char delay[RETRY_DURATION_SIZE];

  if (!failed->decided)
    return;
  printf("  at call %" PRIu64 ", failure %u of %u: ", retry->place, retry->failure, retry->max_attempts);
  retry_duration_text(retry->delay_ns, delay);
  if (retry->again)
    printf("again after %s", delay);
  else
    fputs("no further attempt", stdout);
}

static void print_attempt(const struct store_failed_attempt *failed, void *context)
{
  bool killed = strcmp(failed->ended, "killed") == 0;
  char when[32];

  run_text_time(failed->ended_ns, when);
  printf("%3u  %s  %s", failed->number, when, failed->ended);
  if (killed)
    printf(" by signal %d (%s)", failed->status, strsignal(failed->status));
  else if (strcmp(failed->ended, "exited") == 0)
    printf(" with status %d", failed->status);
  print_decision(failed);
  putchar('\n');
}

int cmd_retries(const struct command_line *line)
{
  struct run_place place;
  struct failure failure;
  struct store *store;
  char path[PATH_MAX];
  int error;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0)
    return command_fail("%s", failure.text);
  run_place_path(&place, "run.db", path);
  if (store_open(path, true, &store, &failure) < 0)
    return command_fail("%s", failure.text);
  error = store_retry_each(store, print_attempt, NULL, &failure);
  store_close(store);
  return error < 0 ? command_fail("%s", failure.text) : command_finish_output(0);
}
