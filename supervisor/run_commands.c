/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over the entries. Writes nothing. */
#include "supervisor/run_commands.h"

#include "journal/call_table.h"
#include "supervisor/analysis.h"
#include "supervisor/run_info.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define NONE SIZE_MAX

static size_t *stream_place(struct run_commands *commands, uint32_t stream)
{
  if (stream >= commands->stream_room) {
    size_t room = 2 * (size_t)stream + 64;
    size_t *grown = realloc(commands->of_stream, room * sizeof *grown);
    if (grown == NULL)
      return NULL;
    for (size_t i = commands->stream_room; i < room; i++)
      grown[i] = NONE;
    commands->of_stream = grown;
    commands->stream_room = room;
  }
  return &commands->of_stream[stream];
}

static struct run_command *process_of(struct run_commands *commands, uint32_t stream)
{
  size_t index = stream < commands->stream_room ? commands->of_stream[stream] : NONE;
  return index == NONE ? NULL : &commands->list[index];
}

/* A process whose first thread has that stream; `parent` may be its own index. */
static struct run_command *add_process(struct run_commands *commands, uint32_t stream, size_t parent)
{
  size_t *place = stream_place(commands, stream);
  if (place != NULL && commands->count == commands->room) {
    size_t room = commands->room == 0 ? 16 : 2 * commands->room;
    struct run_command *grown = realloc(commands->list, room * sizeof *grown);
    if (grown == NULL)
      return NULL;
    commands->list = grown;
    commands->room = room;
  }
  if (place == NULL)
    return NULL;
  *place = commands->count;
  struct run_command *made = &commands->list[commands->count++];
  *made = (struct run_command){.parent = parent, .first_attempt = commands->attempt};
  made->depth = parent == *place ? 0 : commands->list[parent].depth + 1;
  return made;
}

static bool is_taken_back(const struct run_commands *commands, const struct journal_entry *entry)
{
  return commands->rewound != NULL && run_rewound_has(commands->rewound, entry->position);
}

static int add_child(struct run_commands *commands, const struct journal_entry *intent)
{
  const struct run_command *maker = process_of(commands, intent->stream);
  uint32_t stream;
  if (maker == NULL || !analysis_fork_stream(intent, &stream))
    return 0;
  struct run_command *made = add_process(commands, stream, (size_t)(maker - commands->list));
  if (made == NULL)
    return -ENOMEM;
  made->began_ns = intent->time_ns;
  made->taken_back = is_taken_back(commands, intent);
  return 0;
}

static int take_words(struct run_command *command, const struct journal_entry *intent)
{
  const struct journal_segment *words = journal_find_segment(intent, SEGMENT_COMMAND, -1);
  if (words == NULL || words->length == 0)
    return 0;
  char *text = run_info_quote_words((const char *)words->data, words->length);
  if (text == NULL)
    return -ENOMEM;
  free(command->words);
  command->words = text;
  command->opaque = journal_find_segment(intent, SEGMENT_OPAQUE, -1) != NULL;
  return 0;
}

static void take_end(struct run_commands *commands, const struct journal_entry *wait)
{
  int status;
  int32_t pid = analysis_ended_child(wait, &status);
  for (size_t i = commands->count; pid != 0 && i-- > 0;) {
    struct run_command *command = &commands->list[i];
    if (command->pid != pid)
      continue;
    if (is_taken_back(commands, wait) && !command->taken_back)
      return;
    command->status = status;
    if (!command->ended)
      command->ended_ns = wait->time_ns;
    command->ended = true;
    return;
  }
}

static int take_intent(struct run_commands *commands, struct run_command *command, const struct journal_entry *entry)
{
  const struct call_row *row = call_table_find(entry->call);
  bool executes = entry->call == SYS_execve || entry->call == SYS_execveat;
  bool changes = row != NULL && (row->class == CALL_CLASS_CHANGE_LOCAL || row->class == CALL_CLASS_CHANGE_REMOTE) &&
                 !journal_has_channel(entry);
  command->changes += changes || journal_find_segment(entry, SEGMENT_OPAQUE, -1) != NULL;
  return executes ? take_words(command, entry) : add_child(commands, entry);
}

static int take_thread(struct run_commands *commands, const struct journal_entry *clone)
{
  if (clone->call != SYS_clone || !(entry_arg(clone, 0) & CLONE_THREAD) || clone->result < 0 ||
      clone->result >= UINT32_MAX - 1)
    return 0;
  size_t process = commands->of_stream[clone->stream], *place = stream_place(commands, (uint32_t)clone->result);
  if (place == NULL)
    return -ENOMEM;
  *place = process;
  return 0;
}

/* Of a command that has not been taken back itself: what it began there, and how that ended. */
static int take_taken_back(struct run_commands *commands, const struct journal_entry *entry)
{
  if (entry->kind == JOURNAL_INTENT)
    return add_child(commands, entry);
  if (entry->kind == JOURNAL_COMPLETE)
    take_end(commands, entry);
  return 0;
}

static int take(struct run_commands *commands, const struct journal_entry *entry)
{
  if (entry->kind == JOURNAL_ATTEMPT) {
    commands->attempt = (unsigned)entry->result;
    return 0;
  }
  if (entry->kind == JOURNAL_START && commands->count == 0) {
    struct run_command *first = add_process(commands, entry->stream, 0);
    if (first == NULL)
      return -ENOMEM;
    first->began_ns = entry->time_ns;
    first->pid = (int32_t)entry_arg(entry, 0);
  }
  struct run_command *command = process_of(commands, entry->stream);
  if (command == NULL)
    return 0;
  if (is_taken_back(commands, entry) && !command->taken_back)
    return take_taken_back(commands, entry);
  if (command->attempts == 0 || commands->attempt >= command->first_attempt + command->attempts)
    command->attempts = commands->attempt - command->first_attempt + 1;
  if (!command->ended)
    command->ended_ns = entry->time_ns;
  switch (entry->kind) {
  case JOURNAL_CHILD:
    command->pid = (int32_t)entry_arg(entry, 0);
    return 0;
  case JOURNAL_INTENT:
    return take_intent(commands, command, entry);
  case JOURNAL_COMPLETE:
    take_end(commands, entry);
    return take_thread(commands, entry);
  case JOURNAL_EXIT:
    command->ended = true;
    command->status = (int)entry->result;
    return 0;
  }
  return 0;
}

int run_commands_read(struct run_commands *commands, struct run_reader *reader, struct failure *failure)
{
  const struct journal_entry *entry;
  uint64_t seq;
  int error;

  if (commands->attempt == 0)
    commands->attempt = 1;
  while ((error = run_reader_next(reader, &entry, &seq, failure)) == 0 && entry != NULL)
    if (take(commands, entry) < 0)
      return failure_set(failure, -ENOMEM, "cannot read the commands of the run: out of memory; free some");
  return error;
}

int run_commands_load(struct run_reader *reader, const char *command, const struct run_rewound *rewound,
                      struct run_commands *ret_commands, struct failure *failure)
{
  struct run_commands commands = {.rewound = rewound};
  int error = run_commands_read(&commands, reader, failure);

  if (error == 0 && commands.count > 0 && commands.list[0].words == NULL) {
    commands.list[0].words = strdup(command);
    if (commands.list[0].words == NULL)
      error = failure_set(failure, -ENOMEM, "cannot read the commands of the run: out of memory; free some");
  }
  if (error < 0) {
    run_commands_release(&commands);
    return error;
  }
  *ret_commands = commands;
  return 0;
}

void run_commands_release(struct run_commands *commands)
{
  for (size_t i = 0; i < commands->count; i++)
    free(commands->list[i].words);
  free(commands->list);
  free(commands->of_stream);
  *commands = (struct run_commands){0};
}
