/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a command line by options.def. */
#include "cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define OPTION(NAME, letter, name, argument, commands, help) \
  [OPTION_##NAME] = {letter, name, argument, commands, help},
const struct option_row option_rows[OPTION_COUNT] = {
#include "cli/options.def"
};
#undef OPTION

bool option_belongs(enum option_id option, const struct command *command)
{
  const char *list = option_rows[option].commands;
  size_t length = strlen(command->name);

  if (strcmp(list, "*") == 0)
    return true;
  for (const char *at = list; (at = strstr(at, command->name)) != NULL; at += length)
    if (at > list && at[-1] == ' ' && at[length] == ' ')
      return true;
  return false;
}

/* getopt's value for an option: never a character. */
#define LONG_BASE 1000

static void say_usage(const struct command *command, const char *what)
{
  command_fail("%s: %s; usage: perdure %s %s", command->name, what, command->name, command->usage);
}

static int fail_option(const struct command *command, int value, char **argv)
{
  char what[200];
  const char *word = argv[optind - 1];

  if (value == ':')
    snprintf(what, sizeof what, "%.100s needs an argument", word);
  else if (optopt > 0 && optopt < LONG_BASE)
    snprintf(what, sizeof what, "-%c is no option of it", optopt);
  else
    snprintf(what, sizeof what, "%.100s is no option of it", word);
  say_usage(command, what);
  return -EINVAL;
}

/* Of an option that may be given several times: each a line. They last as long as the command does. */
static const char *add_line(const char *lines, const char *text)
{
  char *all;

  if (lines == NULL)
    return text;
  return asprintf(&all, "%s\n%s", lines, text) < 0 ? text : all;
}

int command_line_parse(const struct command *command, int argc, char **argv,
                       struct command_line *ret_line)
{
  struct command_line line = {.command = command};
  struct option long_options[OPTION_COUNT + 1] = {0};
  /* A command's own options are not ours; else options may stand behind what they are about. */
  char letters[2 * OPTION_COUNT + 4];
  size_t count = 0, length = (size_t)sprintf(letters, "%s", strstr(command->usage, "COMMAND") != NULL ? "+:" : ":");
  int value;

  for (int i = 0; i < OPTION_COUNT; i++) {
    const struct option_row *row = &option_rows[i];

    if (!option_belongs((enum option_id)i, command))
      continue;
    long_options[count++] = (struct option){
      row->name, row->argument != NULL ? required_argument : no_argument, NULL, LONG_BASE + i,
    };
    if (row->letter != 0)
      letters[length++] = row->letter;
  }
  letters[length] = '\0';
  opterr = 0;
  while ((value = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
    int option = value - LONG_BASE;

    if (value == '?' || value == ':')
      return fail_option(command, value, argv);
    for (int i = 0; option < 0 && i < OPTION_COUNT; i++)
      if (option_rows[i].letter == value)
        option = i;
    line.value[option] = option == OPTION_REPLICA ? add_line(line.value[option], optarg) : optarg;
    line.given[option] = true;
  }
  line.operand_count = argc - optind;
  line.operands = argv + optind;
  *ret_line = line;
  return 0;
}

bool command_line_operands(const struct command_line *line, int minimum, int maximum)
{
  if (line->operand_count < minimum)
    say_usage(line->command, "something is missing");
  else if (maximum >= 0 && line->operand_count > maximum)
    say_usage(line->command, "there are too many words");
  else
    return true;
  return false;
}
