/* SPDX-License-Identifier: Apache-2.0 */
/* perdure status: what is known of one run. */
#include "cli/command.h"
#include "cli/run_text.h"

#include <inttypes.h>

static void print_lines(const struct run_place *place, const struct run_info *info)
{
  char began[32];

  run_text_time(info->created_ns, began);
  printf("id:         %s\n", place->id);
  printf("state:      %s\n", run_state_name(info->state));
  if (info->supervisor_pid > 0)
    printf("supervisor: process %d\n", (int)info->supervisor_pid);
  if (info->state == RUN_STATE_FINISHED)
    printf("exit:       %d\n", info->exit_status);
  printf("attempts:   %" PRIu64 "\n", info->attempt_count);
  printf("entries:    %" PRIu64 "\n", info->entry_count);
  printf("began:      %s\n", began);
  printf("sync:       %s\n", run_sync_name(info->sync));
  printf("cwd:        %s\n", info->cwd);
  printf("command:    %s\n", info->command);
  printf("journal:    %s\n", place->directory);
}

int cmd_status(const struct command_line *line)
{
  struct run_place place;
  struct failure failure;
  struct run_info info;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      run_info_read(&place, line->given[OPTION_SECRETS], &info, &failure) < 0)
    return command_fail("%s", failure.text);
  if (line->given[OPTION_JSON]) {
    run_text_json(stdout, &place, &info);
    putchar('\n');
  } else {
    print_lines(&place, &info);
  }
  run_info_release(&info);
  return command_finish_output(0);
}
