/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes the run has made, and which of them are over. */
#include "supervisor/analysis.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

bool analysis_process_over(const struct analysis *analysis, const struct stream *stream)
{
  if (stream->process == 0)
    return analysis->summary.exited;
  const struct stream *first = analysis_stream(analysis, stream->process);
  return first && first->over;
}

void analysis_process_begin(struct stream *stream, const struct journal_entry *child)
{
  stream->process = stream->number;
  stream->pid = (int32_t)entry_arg(child, 0);
}

/* The output of argument `arg`, or NULL where it is not of that size. */
static const void *output_of(const struct journal_entry *entry, int arg, size_t size)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, arg);
  return segment && segment->length == size ? segment->data : NULL;
}

/* As a shell has it: 128 and the signal's number for one that was killed. */
static int status_of(const siginfo_t *info)
{
  return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

int32_t analysis_ended_child(const struct journal_entry *wait, int *ret_status)
{
  if (wait->call == SYS_wait4) {
    const void *told = output_of(wait, 1, sizeof(int));
    int status = 0;
    if (told)
      memcpy(&status, told, sizeof status);
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return wait->result > 0 && (WIFEXITED(status) || WIFSIGNALED(status)) ? (int32_t)wait->result : 0;
  }
  const void *told = output_of(wait, 2, sizeof(siginfo_t));
  siginfo_t info;
  if (wait->call != SYS_waitid || wait->result != 0 || !told || entry_arg(wait, 3) & WNOWAIT)
    return 0;
  memcpy(&info, told, sizeof info);
  *ret_status = status_of(&info);
  bool ended = info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
  return ended ? info.si_pid : 0;
}

int analysis_process_waited(struct analysis *analysis, const struct journal_entry *wait)
{
  int status;
  int32_t pid = analysis_ended_child(wait, &status);
  for (uint32_t i = analysis->stream_count; pid && i-- > 0;) {
    struct stream *stream = &analysis->streams[i];
    if (stream->pid != pid || stream->waited)
      continue;
    stream->over = true;
    stream->waited = true;
    stream->waited_at = wait->position;
    analysis_scopes_leave(analysis, stream->process);
    return analysis_skipping_waited(analysis, stream, wait);
  }
  return 0;
}

void analysis_process_exit(struct analysis *analysis, const struct stream *stream, const struct journal_entry *exit)
{
  /* With the first process the run ends: what was open then, it may be gone on with from. */
  if (exit->call != SYS_exit && stream->process)
    analysis_scopes_leave(analysis, stream->process);
  struct stream *first = stream->process ? analysis_stream(analysis, stream->process) : NULL;
  if (first && exit->call != SYS_exit)
    first->over = true;
}

/* Does the intent send that signal? */
static bool sends(const struct journal_entry *intent, int number)
{
  bool to_thread = intent->call == SYS_tgkill || intent->call == SYS_rt_tgsigqueueinfo;
  bool sending = to_thread || intent->call == SYS_kill || intent->call == SYS_tkill || intent->call == SYS_rt_sigqueueinfo;
  return sending && (int)entry_arg(intent, to_thread ? 2 : 1) == number;
}

void analysis_signal_came(struct analysis *analysis, const struct journal_entry *signal)
{
  const void *told = output_of(signal, 1, sizeof(siginfo_t));
  siginfo_t info;
  if (!told)
    return;
  memcpy(&info, told, sizeof info);
  for (uint32_t i = 0; i < analysis->stream_count; i++) {
    const struct stream *stream = &analysis->streams[i];
    const struct stream *first = stream->process ? analysis_stream(analysis, stream->process) : NULL;
    int32_t pid = first ? first->pid : analysis->summary.pid_seen;
    for (struct open_intent *intent = stream->open; intent; intent = intent->below)
      intent->delivered = intent->delivered || (pid == info.si_pid && sends(intent->entry, (int)entry_arg(signal, 0)));
  }
}

uint32_t analysis_ended_commands(const struct analysis *analysis, uint64_t *ret_newest, uint32_t newest_max)
{
  uint32_t count = 0, newest = 0;
  for (uint32_t i = analysis->stream_count; i-- > 0;) {
    const struct stream *stream = &analysis->streams[i];
    if (!stream->pid || !stream->over || !stream->command_at)
      continue;
    count++;
    if (newest < newest_max)
      ret_newest[newest++] = stream->command_at;
  }
  return count;
}

uint32_t analysis_processes_running(const struct analysis *analysis)
{
  uint32_t count = 0;
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    count += analysis->streams[i].pid && !analysis->streams[i].over;
  return count;
}

bool analysis_fork_stream(const struct journal_entry *intent, uint32_t *ret_stream)
{
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_CHILD, -1);
  struct journal_child child;
  if (!segment)
    return false;
  memcpy(&child, segment->data, sizeof child);
  *ret_stream = child.stream;
  return true;
}

struct stream *analysis_forked(const struct analysis *analysis, const struct journal_entry *intent)
{
  uint32_t child;
  return analysis_fork_stream(intent, &child) ? analysis_stream(analysis, child) : NULL;
}

int analysis_child_began(const struct analysis *analysis, const struct journal_entry *intent, int64_t *ret_result)
{
  const struct stream *stream = analysis_forked(analysis, intent);
  if (!stream || !stream->pid)
    return 0;
  *ret_result = stream->pid;
  return 1;
}
