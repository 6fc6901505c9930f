/* SPDX-License-Identifier: Apache-2.0 */
/* perdure status: what is known of one run. */
#include "cli/command.h"
#include "cli/run_text.h"
#include "supervisor/store_look.h"

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
  if (info->store == NULL) {
    printf("journal:    %s\n", place->directory);
    return;
  }
  printf("store:      %s\n", info->store);
  printf("%s %s\n", info->live ? "held by:   " : "last owner:", info->owner);
  printf("epoch:      %" PRIu64 "\n", info->epoch);
}

/* Of a run in a store no more than this is read. */
static int find(const struct command_line *line, struct run_place *ret_place, struct run_info *ret_info, struct failure *failure)
{
  const char *id = line->operands[0], *store = NULL;
  bool secrets = line->given[OPTION_SECRETS];
  int error = line->given[OPTION_ARCHIVE] ? command_place(line, id, ret_place, failure)
                                          : command_where(line, id, ret_place, &store, failure);

  if (error < 0)
    return error;
  return store != NULL ? store_look_info(store, id, secrets, ret_info, failure) : run_info_read(ret_place, secrets, ret_info, failure);
}

int cmd_status(const struct command_line *line)
{
  struct run_place place;
  struct failure failure;
  struct run_info info;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (find(line, &place, &info, &failure) < 0)
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
