/* SPDX-License-Identifier: Apache-2.0 */
/* perdure help: from commands.def and options.def; so is the completion for bash. */
#include "cli/command.h"

#include <string.h>

static void print_commands(void)
{
  puts("perdure: run a program so that it survives its own death\n\nusage: perdure COMMAND [ARG...]\n");
  for (const struct command *command = commands; command->name != NULL; command++)
    printf("  %-9s %s\n", command->name, command->summary);
  puts("\n`perdure help COMMAND` explains one.\n\n"
       "Exit status of run and resume: the program's; 128+n when signal n killed it; 120 when it\n"
       "diverged from its journal; 121 when nobody can tell whether a remote change happened; 125 when\n"
       "perdure failed; 126 when the program cannot be executed; 127 when it is not found. The other\n"
       "commands: 0, 1 where their help says so, 125.");
}

static void print_options(const struct command *command)
{
  puts("\nOptions:");
  for (int i = 0; i < OPTION_COUNT; i++) {
    const struct option_row *row = &option_rows[i];
    char words[64];

    if (!option_belongs((enum option_id)i, command))
      continue;
    snprintf(words, sizeof words, "%c%c%s --%s%s%s", row->letter != 0 ? '-' : ' ',
             row->letter != 0 ? row->letter : ' ', row->letter != 0 ? "," : " ", row->name,
             row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
    printf("  %-29s %s\n", words, row->help);
  }
}

static void print_command(const struct command *command)
{
  printf("perdure %s: %s\n\nusage: perdure %s %s\n\n%s\n", command->name, command->summary,
         command->name, command->usage, command->about);
  print_options(command);
}

/* bash: options of the word's command; values where the argument lists them; ids of runs. */
static void print_completion(void)
{
  puts("# completion of perdure for bash, made by `perdure help --completion`\n"
       "_perdure()\n"
       "{\n"
       "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
       "  if ((COMP_CWORD == 1)); then\n"
       "    words='");
  for (const struct command *command = commands; command->name != NULL; command++)
    printf("      %s\n", command->name);
  puts("    '\n"
       "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
       "    return\n"
       "  fi\n"
       "  case $before in");
  for (int i = 0; i < OPTION_COUNT; i++)
    if (option_rows[i].argument != NULL && strchr(option_rows[i].argument, '|') != NULL)
      printf("  --%s) COMPREPLY=($(IFS='|'; compgen -W '%s' -- \"$word\")); return ;;\n",
             option_rows[i].name, option_rows[i].argument);
  puts("  esac\n"
       "  case ${COMP_WORDS[1]} in");
  for (const struct command *command = commands; command->name != NULL; command++) {
    printf("  %s) words='", command->name);
    for (int i = 0; i < OPTION_COUNT; i++)
      if (option_belongs((enum option_id)i, command))
        printf(" --%s", option_rows[i].name);
    printf("'");
    if (strstr(command->usage, "ID") != NULL)
      printf("; [[ $word == -* ]] || words=$(perdure ls 2>/dev/null | tail -n +2 | cut -d' ' -f1)");
    puts(" ;;");
  }
  puts("  esac\n"
       "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
       "}\n"
       "complete -o default -F _perdure perdure");
}

int cmd_help(const struct command_line *line)
{
  const struct command *command;

  if (!command_line_operands(line, 0, 1))
    return RUN_EXIT_FAILED;
  if (line->given[OPTION_COMPLETION]) {
    print_completion();
  } else if (line->operand_count == 0) {
    print_commands();
  } else {
    command = command_find(line->operands[0]);
    if (command == NULL)
      return command_fail("there is no help for '%.60s': it is not a command of perdure's; `perdure "
                          "help` lists them", line->operands[0]);
    print_command(command);
  }
  return command_finish_output(0);
}
