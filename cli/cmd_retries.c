/* SPDX-License-Identifier: Apache-2.0 */
/* perdure retries: the ends of a run's attempts, what the retry policy said, and what comes next. */
#include "cli/attempt_text.h"
#include "cli/command.h"
#include "cli/run_text.h"
#include "supervisor/store_retry.h"

#include <inttypes.h>

struct view {
  unsigned last;    /* attempt that has ended; 0: none has */
  bool again, given_up; /* what was decided then; neither: nothing was */
  int64_t begins_ns;    /* the next one, if again */
};

static void print_attempt(const struct store_failed_attempt *failed, void *context)
{
  struct view *view = context;
  char when[32];

  run_text_time(failed->ended_ns, when);
  printf("%3u  %s  ", failed->number, when);
  attempt_text_end(stdout, failed);
  putchar('\n');
  *view = (struct view){
    .last = failed->number, .again = failed->decided && failed->retry.again,
    .given_up = failed->decided && !failed->retry.again,
    .begins_ns = failed->ended_ns + (int64_t)failed->retry.delay_ns,
  };
}

static void print_next(const struct run_place *place, const struct run_info *info, const struct view *view)
{
  const char *id = place->id;
  char when[32];

  fputs("next: ", stdout);
  switch (info->state) {
  case RUN_STATE_RUNNING:
    run_text_time(view->begins_ns, when);
    if (view->again && view->last == info->attempt_count)
      printf("attempt %u begins at %s", view->last + 1, when);
    else
      printf("attempt %" PRIu64 " is running", info->attempt_count);
    break;
  case RUN_STATE_UNFINISHED:
    printf("nothing by itself, %s; the same command, or `perdure resume %s`, goes on with it",
           view->given_up ? "the policy has given up" : "nobody supervises it", id);
    break;
  case RUN_STATE_DIVERGED:
  case RUN_STATE_FAILED:
    printf("nothing by itself: it stopped for a reason that no further attempt removes; when that is gone, `perdure resume %s` "
           "goes on with it", id);
    break;
  case RUN_STATE_UNKNOWN:
    printf("nothing until somebody says what became of a remote change: `perdure resume %s` names it, `perdure resolve` answers",
           id);
    break;
  case RUN_STATE_FINISHED:
    printf("nothing, it has ended with status %d", info->exit_status);
    if (info->exit_status != 0)
      printf("; `perdure resume --from-failure %s` runs again what failed", id);
    break;
  }
  putchar('\n');
}

int cmd_retries(const struct command_line *line)
{
  struct run_place place;
  struct run_info info;
  struct failure failure;
  struct view view = {0};
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
  error = store_retry_each(store, print_attempt, &view, &failure);
  store_close(store);
  if (error == 0)
    error = run_info_read(&place, false, &info, &failure);
  if (error < 0)
    return command_fail("%s", failure.text);
  print_next(&place, &info, &view);
  run_info_release(&info);
  return command_finish_output(0);
}
