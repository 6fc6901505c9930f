/* SPDX-License-Identifier: Apache-2.0 */
/* perdure run: a command, durably. */
#include "cli/command.h"

int cmd_run(const struct command_line *line)
{
  struct run_options options;
  struct failure failure;
  char shim[PATH_MAX];
  int status;

  if (!command_line_operands(line, 1, -1))
    return RUN_EXIT_FAILED;
  command_shim(shim);
  if (!command_run_options(line, shim, &options))
    return RUN_EXIT_FAILED;
  options.argv = line->operands;
  if (run_start(&options, &status, &failure) < 0)
    command_fail("%s", failure.text);
  return status;
}
