/* SPDX-License-Identifier: Apache-2.0 */
/* perdure interrupt: stops a run that is live, and says what has become of it. */
#include "cli/command.h"
#include "supervisor/run_interrupt.h"

#include <inttypes.h>

static void print_outcome(const struct run_place *place, const struct run_info *info)
{
  if (info->state == RUN_STATE_FINISHED)
    printf("%s: it had finished with status %d before it could be interrupted\n", place->id, info->exit_status);
  else if (info->live)
    printf("%s: it was interrupted, and somebody goes on with it already\n", place->id);
  else if (info->state == RUN_STATE_UNFINISHED)
    printf("%s: interrupted after %" PRIu64 " entries; `perdure resume %s` goes on with it\n", place->id,
           info->entry_count, place->id);
  else
    printf("%s: it has stopped by itself, %s; `perdure status %s` says how it stands\n", place->id,
           run_state_name(info->state), place->id);
}

int cmd_interrupt(const struct command_line *line)
{
  struct run_place place;
  struct run_info info;
  struct failure failure;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 || run_interrupt(&place, &failure) < 0 ||
      run_info_read(&place, false, &info, &failure) < 0)
    return command_fail("%s", failure.text);
  print_outcome(&place, &info);
  run_info_release(&info);
  return command_finish_output(0);
}
