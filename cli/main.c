/* SPDX-License-Identifier: Apache-2.0 */
/* perdure: dispatch. */
#include "cli/command.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND(name, usage, summary, about) {#name, usage, summary, about, cmd_##name},
const struct command commands[] = {
#include "cli/commands.def"
  {NULL, NULL, NULL, NULL, NULL},
};
#undef COMMAND

const struct command *command_find(const char *name)
{
  for (const struct command *command = commands; command->name != NULL; command++)
    if (strcmp(command->name, name) == 0)
      return command;
  return NULL;
}

/* Closed standard descriptors must not become files of ours, into which somebody prints. The program
 * gets them closed, as they were. */
static void fill_standard_descriptors(void)
{
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
      _exit(RUN_EXIT_FAILED);
}

int main(int argc, char **argv)
{
  const struct command *command;
  struct command_line line;
  const char *name = argc > 1 ? argv[1] : "";

  fill_standard_descriptors();
  if (strcmp(name, "--version") == 0) {
    puts("perdure " PERDURE_VERSION);
    return command_finish_output(0);
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
    name = "help";
  if (name[0] == '\0')
    return command_fail("no command: nothing to do; `perdure help` lists the commands");
  command = command_find(name);
  if (command == NULL)
    return command_fail("'%s' is not a command of perdure's: it is unknown; `perdure help` lists them, "
                        "`perdure run -- %s` runs a program", name, name);
  if (command_line_parse(command, argc - 1, argv + 1, &line) < 0)
    return RUN_EXIT_FAILED;
  return command->run(&line);
}
