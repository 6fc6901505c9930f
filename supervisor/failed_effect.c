/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/failed_effect.h"

#include "journal/call_table.h"
#include "supervisor/analysis.h"
#include "supervisor/failed_remote.h"
#include "supervisor/run_info.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

/* By number of a process's first stream. */
struct process {
  uint32_t maker;
  int32_t pid;
  uint64_t fork;      /* position of the INTENT that made it; 0: none of the run's */
  uint64_t unit;      /* the same of the first command of its pipeline */
  uint64_t ended;     /* position of the wait that told its end; 0: none */
  uint64_t exited;    /* of its EXIT; 0: none */
  uint64_t executing; /* of its latest execve's INTENT */
  uint64_t base;      /* of the one that executed its last command in its own place; 0: none */
  uint32_t newest;    /* that it has made; itself: none */
  int status, exit_status;
  bool feeds;         /* a pipe was made just before it */
  bool joined;        /* another command of its pipeline follows */
  bool has_image;     /* it has executed something */
  bool piped, waited; /* it has made a pipe, has waited, since it made the newest */
};

struct failed_search {
  const struct analysis *analysis;
  struct process *processes;
  uint32_t count;
  struct failed_remote remote;
  struct failed_effect failed;
  uint64_t unit; /* of a failed command: its pipeline; 0: it was executed in its maker's place */
};

int failed_search_create(const struct analysis *analysis, struct failed_search **ret_search)
{
  struct analysis_summary summary;
  struct failed_search *search = calloc(1, sizeof *search);
  analysis_summary(analysis, &summary);
  if (search) {
    search->analysis = analysis;
    search->count = summary.stream_next + 1;
    search->processes = calloc(search->count, sizeof *search->processes);
  }
  if (!search || !search->processes) {
    free(search);
    return -ENOMEM;
  }
  for (uint32_t i = 0; i < search->count; i++)
    search->processes[i].newest = search->processes[i].maker = i;
  *ret_search = search;
  return 0;
}

void failed_search_free(struct failed_search *search)
{
  if (!search)
    return;
  failed_remote_release(&search->remote);
  free(search->processes);
  free(search);
}

static struct process *process_of(struct failed_search *search, uint32_t stream, uint32_t *ret_number)
{
  const struct stream *known = analysis_stream(search->analysis, stream);
  if (!known || known->process >= search->count)
    return NULL;
  *ret_number = known->process;
  return &search->processes[known->process];
}

/* ---- the walk ---- */

static void add_fork(struct failed_search *search, struct process *maker, uint32_t number, const struct journal_entry *intent)
{
  uint32_t child;
  if (!analysis_fork_stream(intent, &child) || child >= search->count || child == number)
    return;
  struct process *made = &search->processes[child], *before = &search->processes[maker->newest];
  *made = (struct process){
      .maker = number, .newest = child, .fork = intent->position, .unit = intent->position, .feeds = maker->piped};
  if (maker->newest != number && before->feeds && !maker->waited) {
    made->unit = before->unit;
    before->joined = true;
  }
  maker->newest = child;
  maker->piped = maker->waited = false;
}

static void add_execution(struct process *process, uint32_t number, const struct journal_entry *intent)
{
  process->executing = intent->position;
  if (!journal_find_segment(intent, SEGMENT_OPAQUE, -1))
    return;
  process->has_image = true;
  if (process->newest != number)
    process->base = intent->position;
}

static void add_start(struct process *process, uint32_t number)
{
  if (!process->executing)
    return; /* the run's beginning */
  process->has_image = true;
  if (process->newest != number)
    process->base = process->executing;
  process->executing = 0;
}

static void add_wait(struct failed_search *search, struct process *maker, uint32_t number, const struct journal_entry *wait)
{
  int status;
  int32_t pid = analysis_ended_child(wait, &status);
  for (uint32_t i = search->count; pid && i-- > 0;) {
    struct process *child = &search->processes[i];
    if (child->pid != pid || child->ended || child->maker != number || !child->fork)
      continue;
    child->ended = wait->position;
    child->status = status;
    maker->waited = true;
    return;
  }
}

void failed_search_add(struct failed_search *search, const struct journal_entry *entry)
{
  uint32_t number;
  struct process *process = process_of(search, entry->stream, &number);
  if (!process)
    return;
  switch (entry->kind) {
  case JOURNAL_CHILD:
    process->pid = (int32_t)entry_arg(entry, 0);
    break;
  case JOURNAL_INTENT:
    if (change_of(entry->call)->kind == CHANGE_EXEC)
      add_execution(process, number, entry);
    else
      add_fork(search, process, number, entry);
    break;
  case JOURNAL_START:
    add_start(process, number);
    break;
  case JOURNAL_COMPLETE:
    if ((entry->call == SYS_pipe || entry->call == SYS_pipe2) && entry->result == 0)
      process->piped = true;
    else
      add_wait(search, process, number, entry);
    break;
  case JOURNAL_EXIT:
    if (entry->call == SYS_exit)
      break;
    process->exited = entry->position;
    process->exit_status = (int)entry->result & 0xff;
    break;
  }
  if (number == 0)
    failed_remote_add(&search->remote, entry);
}

/* ---- what failed ---- */

/* The process's command that ended last of those that count as failed, or the process itself: none. */
static uint32_t last_failed(const struct failed_search *search, uint32_t number)
{
  const struct process *processes = search->processes;
  uint32_t last = number;
  for (uint32_t i = 0; i < search->count; i++)
    if (processes[i].fork > processes[number].base && processes[i].maker == number && processes[i].ended && processes[i].status != 0 &&
        (!processes[i].joined || processes[i].status == processes[number].exit_status) &&
        (last == number || processes[i].ended > processes[last].ended))
      last = i;
  return last;
}

static uint64_t commands_after(const struct failed_search *search, uint32_t number, uint64_t position)
{
  uint64_t count = 0;
  for (uint32_t i = 0; i < search->count; i++)
    count += search->processes[i].fork > position && search->processes[i].maker == number;
  return count;
}

static bool blame_executed(struct failed_search *search, uint32_t number, uint64_t *ret_ended)
{
  const struct process *process = &search->processes[number];
  search->failed = (struct failed_effect){
      .kind = FAILED_COMMAND, .position = process->base, .stream = number, .status = process->exit_status};
  search->unit = 0;
  *ret_ended = process->exited;
  return true;
}

/* How a process whose commands are looked at came to its status; false: none of its commands is to blame. */
static bool find_command(struct failed_search *search, uint32_t number, uint64_t *ret_ended)
{
  const struct process *process = &search->processes[number];
  struct failed_effect *failed = &search->failed;
  /* What a command executes is not gone into; the run's own program is. */
  if (process->base && number != 0)
    return blame_executed(search, number, ret_ended);
  uint32_t last = last_failed(search, number);
  const struct process *command = &search->processes[last];
  if (last == number || (command->status != process->exit_status && commands_after(search, number, command->ended)))
    return false;
  /* Numbers grow from maker to child: this ends. */
  bool copy = command->unit == command->fork && !command->joined && command->exited && (!command->has_image || command->base);
  uint64_t ended;
  if (!copy || last < number || command->exit_status == 0 || !find_command(search, last, &ended)) {
    *failed = (struct failed_effect){.kind = FAILED_COMMAND, .position = command->unit, .stream = last, .status = command->status};
    search->unit = command->unit;
  }
  *ret_ended = command->ended;
  return true;
}

/* An own exchange or connection that failed after `ended`; false: there is none, or more has come of it. */
static bool find_remote(struct failed_search *search, uint64_t ended)
{
  const struct failed_remote *remote = &search->remote;
  if (!remote->failed || remote->ended < ended || remote->ended < search->processes[0].base || commands_after(search, 0, remote->ended))
    return false;
  if (!remote->position) {
    search->failed = (struct failed_effect){
        .why = "the connection that broke had brought answers before: what was asked on it would be asked again"};
    return true;
  }
  search->failed = (struct failed_effect){
      .kind = remote->exchange ? FAILED_EXCHANGE : FAILED_CONNECTION, .position = remote->position, .status = remote->status,
      .answered = remote->answered};
  return true;
}

struct failed_effect *failed_search_end(struct failed_search *search)
{
  const struct process *first = &search->processes[0];
  uint64_t ended = 0;
  if (!first->exited || first->exit_status == 0) {
    search->failed = (struct failed_effect){.why = first->exited ? "it ended with status 0" : "it has not ended"};
    return &search->failed;
  }
  bool command = find_command(search, 0, &ended);
  if (!find_remote(search, ended) && !command && !(first->base && blame_executed(search, 0, &ended)))
    search->failed = (struct failed_effect){
        .why = "no command, and no request or connection of its own, is what failed last"};
  if (search->failed.kind == FAILED_COMMAND)
    search->failed.commands_after = commands_after(search, 0, ended);
  return &search->failed;
}

/* ---- the second walk ---- */

/* Is the process the failed command, or one that it has made? */
static bool is_inside(const struct failed_search *search, uint32_t number)
{
  const struct process *processes = search->processes;
  const struct failed_effect *failed = &search->failed;
  while (number < search->count) {
    if (search->unit ? processes[number].unit == search->unit : number == failed->stream)
      return true;
    /* A child that was made before is not of the program that was executed later. */
    if (processes[number].maker == number || processes[number].fork < failed->position)
      return false;
    number = processes[number].maker;
  }
  return false;
}

static bool is_own(struct failed_search *search, const struct journal_entry *intent, uint32_t number)
{
  switch (search->failed.kind) {
  case FAILED_COMMAND:
    return is_inside(search, number);
  case FAILED_EXCHANGE:
    return intent->position == search->failed.position;
  default:
    return number == 0 && intent->call != CALL_ID_EXCHANGE && (int)entry_arg(intent, 0) == search->remote.fd;
  }
}

/* The words of a command that the script has itself: not of those that it executes in its turn. */
static void add_words(struct failed_search *search, struct process *process, uint32_t number, const struct journal_entry *intent)
{
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_COMMAND, -1);
  struct failed_effect *failed = &search->failed;
  bool is_command = search->unit ? process->unit == search->unit : number == failed->stream;
  size_t length = strlen(failed->words);
  if (failed->kind != FAILED_COMMAND || !is_command || !segment || process->executing == UINT64_MAX)
    return;
  process->executing = UINT64_MAX; /* its first words are those that count */
  char *words = run_info_quote_words((const char *)segment->data, segment->length);
  if (words)
    snprintf(failed->words + length, sizeof failed->words - length, "%s%s", length ? " | " : "", words);
  free(words);
}

void failed_search_weigh(struct failed_search *search, const struct journal_entry *entry)
{
  uint32_t number;
  struct process *process = process_of(search, entry->stream, &number);
  if (!process || entry->position < search->failed.position || entry->kind != JOURNAL_INTENT)
    return;
  if (search->failed.kind != FAILED_COMMAND && entry->position == search->failed.position)
    search->failed.stream = entry->stream;
  if (change_of(entry->call)->kind == CHANGE_EXEC)
    add_words(search, process, number, entry);
  if (!change_remote(entry))
    return;
  if (is_own(search, entry, number))
    search->failed.own_changes++;
  else
    search->failed.other_changes++;
}
