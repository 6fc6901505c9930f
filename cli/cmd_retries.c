/* SPDX-License-Identifier: Apache-2.0 */
/* perdure retries: the ends of a run's attempts, and what the retry policy said. */
#include "cli/attempt_text.h"
#include "cli/command.h"
#include "cli/run_text.h"

static void print_attempt(const struct store_failed_attempt *failed, void *context)
{
  char when[32];

  run_text_time(failed->ended_ns, when);
  printf("%3u  %s  ", failed->number, when);
  attempt_text_end(stdout, failed);
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
