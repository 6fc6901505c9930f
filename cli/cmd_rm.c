/* SPDX-License-Identifier: Apache-2.0 */
/* perdure rm: removes runs, those that it can. */
#include "cli/command.h"

int cmd_rm(const struct command_line *line)
{
  struct run_place place;
  struct failure failure;
  int status = 0;

  if (!command_line_operands(line, 1, -1))
    return RUN_EXIT_FAILED;
  for (int i = 0; i < line->operand_count; i++)
    if (command_place(line, line->operands[i], &place, &failure) < 0 || run_remove(&place, &failure) < 0)
      status = command_fail("%s", failure.text);
  return status;
}
