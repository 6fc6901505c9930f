/* SPDX-License-Identifier: Apache-2.0 */
/* perdure ps: the commands of a run as a tree. */
#include "cli/command.h"
#include "supervisor/run_commands.h"

#include <inttypes.h>
#include <string.h>

/* Of one that has no end in the journal. */
static const char *open_state(const struct run_command *command, bool live)
{
  return command->taken_back ? "ended" : live ? "running" : "unfinished";
}

static const char *state_of(const struct run_command *command, bool live, char room[24])
{
  if (!command->ended)
    return open_state(command, live);
  if (command->status > 128)
    snprintf(room, 24, "SIG%s", sigabbrev_np(command->status - 128) != NULL ? sigabbrev_np(command->status - 128) : "?");
  else
    snprintf(room, 24, "%d", command->status);
  return room;
}

static double seconds_of(const struct run_command *command)
{
  return command->ended_ns > command->began_ns ? (double)(command->ended_ns - command->began_ns) / 1e9 : 0;
}

static void print_line(const struct run_command *command, bool live)
{
  char state[24];
  printf("%7d  %-10s %9.3f s  %7" PRIu64 "  %8u  %*s%s%s%s\n", command->pid, state_of(command, live, state),
         seconds_of(command), command->changes, command->attempts, (int)(2 * command->depth), "",
         command->words != NULL ? command->words : "(as its parent)", command->opaque ? "  [one step]" : "",
         command->taken_back ? "  [taken back]" : "");
}

static void print_object(const struct run_commands *tree, size_t i, bool live)
{
  const struct run_command *command = &tree->list[i];
  printf("%s{\"process\":%d,\"parent\":%d,\"state\":\"%s\",", i > 0 ? ",\n " : "", command->pid,
         i == 0 ? 0 : tree->list[command->parent].pid, command->ended ? "ended" : open_state(command, live));
  if (command->ended)
    printf("\"status\":%d,", command->status);
  printf("\"began_ns\":%" PRIu64 ",\"duration_ns\":%" PRIu64 ",\"changes\":%" PRIu64
         ",\"attempts\":%u,\"one_step\":%s,\"taken_back\":%s,\"command\":", command->began_ns,
         command->ended_ns > command->began_ns ? command->ended_ns - command->began_ns : 0, command->changes,
         command->attempts, command->opaque ? "true" : "false", command->taken_back ? "true" : "false");
  if (command->words != NULL)
    command_json_string(stdout, command->words, strlen(command->words));
  else
    fputs("null", stdout);
  putchar('}');
}

/* Each with its children behind it, in the order in which they began. */
static void print_tree(const struct run_commands *tree, size_t root, bool live)
{
  print_line(&tree->list[root], live);
  for (size_t i = root + 1; i < tree->count; i++)
    if (tree->list[i].parent == root)
      print_tree(tree, i, live);
}

int command_print_tree(const struct command_line *line, const struct run_place *place, struct run_reader *reader)
{
  struct run_rewound rewound;
  struct run_commands tree;
  struct run_info info;
  struct failure failure;

  if (run_info_read(place, line->given[OPTION_SECRETS], &info, &failure) < 0)
    return command_fail("%s", failure.text);
  int error = run_rewound_load(run_reader_store(reader), &rewound, &failure);
  if (error == 0) {
    error = run_commands_load(reader, info.command, &rewound, &tree, &failure);
    run_rewound_release(&rewound);
  }
  if (error < 0) {
    run_info_release(&info);
    return command_fail("%s", failure.text);
  }
  if (line->given[OPTION_JSON]) {
    putchar('[');
    for (size_t i = 0; i < tree.count; i++)
      print_object(&tree, i, info.live);
    puts("]");
  } else {
    puts("PROCESS  STATUS            TIME  CHANGES  ATTEMPTS  COMMAND");
    if (tree.count > 0)
      print_tree(&tree, 0, info.live);
  }
  run_commands_release(&tree);
  run_info_release(&info);
  return command_finish_output(0);
}

int cmd_ps(const struct command_line *line)
{
  struct run_reader *reader;
  struct run_place place;
  struct failure failure;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      command_reader(line, &place, 1, &reader, &failure) < 0)
    return command_fail("%s", failure.text);
  int status = command_print_tree(line, &place, reader);
  run_reader_close(reader);
  return status;
}
