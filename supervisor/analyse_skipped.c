/* SPDX-License-Identifier: Apache-2.0 */
/* Which children need not be made again.
 *
 * A batch is what a process has made from when it had no child to when it has none again. It can be left out
 * when all that it leaves behind is in files, in entries of the process that made it, or in the offsets that the
 * wait has noted: when every process of it is over; nobody else did anything meanwhile; no pipe that it
 * used was used by others or holds anything; and it did nothing to what it may have inherited that replay makes
 * by doing it again. All else is made again and replays, which is always right, and slower. */
#include "supervisor/analysis.h"
#include "supervisor/inherited.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define OPEN_MAX 32u      /* batches at a time that are looked at */
#define WRITTEN_MAX 64u   /* files that a batch has written */
#define USERS_MAX 16u    /* processes that have used a pipe */

struct pipe_use {
  uint64_t inode;
  uint64_t begin;      /* position: made, or empty behind a batch; UINT64_MAX: made in an earlier attempt */
  uint64_t end;        /* of the batch that alone has used it since; 0: none */
  uint32_t batch;      /* that one's number */
  uint64_t left;       /* bytes in it */
  uint32_t flows_to[USERS_MAX]; /* processes that have read from it without their bytes being recorded */
  uint32_t flows_to_count;
  uint32_t users[USERS_MAX];   /* processes */
  uint32_t user_count; /* more than fit: others too */
};

struct batch {
  uint32_t process; /* that has made it */
  uint32_t unwaited;
  bool open, fit;
  bool output; /* it has written to what the run was started with */
  uint64_t begin, end;
  uint32_t written_count;
  struct file_id written[WRITTEN_MAX];
};

struct skipping {
  struct batch *batches;
  uint32_t batch_count, batch_room;
  uint32_t open[OPEN_MAX], open_count;
  struct pipe_use *pipes;
  uint32_t pipe_count, pipe_room;
  uint32_t pipe_first; /* of this attempt */
};

static struct stream *first_of(const struct analysis *analysis, uint32_t process)
{
  return analysis_stream(analysis, process);
}

/* Is `process` made by `ancestor`, or by one that is? */
static bool descends(const struct analysis *analysis, uint32_t process, uint32_t ancestor)
{
  while (process && process != ancestor) {
    const struct stream *stream = first_of(analysis, process);
    if (!stream || !stream->batch || stream->parent == process)
      return false;
    process = stream->parent;
    if (process == ancestor)
      return true;
  }
  return false;
}

/* ---- pipes ---- */

static struct pipe_use *pipe_find(const struct skipping *skipping, uint64_t inode)
{
  for (uint32_t i = skipping->pipe_count; i-- > skipping->pipe_first;)
    if (skipping->pipes[i].inode == inode)
      return &skipping->pipes[i];
  return NULL;
}

static struct pipe_use *pipe_add(struct skipping *skipping, uint64_t inode, uint64_t position)
{
  if (skipping->pipe_count == skipping->pipe_room) {
    uint32_t room = skipping->pipe_room ? skipping->pipe_room * 2 : 16;
    struct pipe_use *grown = realloc(skipping->pipes, room * sizeof *grown);
    if (!grown)
      return NULL;
    skipping->pipes = grown;
    skipping->pipe_room = room;
  }
  struct pipe_use *pipe = &skipping->pipes[skipping->pipe_count++];
  *pipe = (struct pipe_use){.inode = inode, .begin = position};
  return pipe;
}

/* The count grows past what fits. */
static void note_process(uint32_t list[USERS_MAX], uint32_t *count, uint32_t process)
{
  for (uint32_t i = 0; i < *count && i < USERS_MAX; i++)
    if (list[i] == process)
      return;
  if (*count < USERS_MAX)
    list[*count] = process;
  ++*count;
}

static void pipe_used_by(struct pipe_use *pipe, uint32_t process)
{
  note_process(pipe->users, &pipe->user_count, process);
}

static bool writes(unsigned call)
{
  switch (call) {
  case SYS_write:
  case SYS_writev:
  case SYS_pwrite64:
  case SYS_pwritev:
  case SYS_pwritev2:
    return true;
  }
  return false;
}

static int see_pipe(struct skipping *skipping, uint32_t process, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_CHANNEL, -1);
  struct journal_source channel;
  if (!segment)
    return 0;
  memcpy(&channel, segment->data, sizeof channel);
  if (!channel.inode)
    return 0;
  bool made = entry->call == SYS_pipe || entry->call == SYS_pipe2;
  struct pipe_use *pipe = made ? NULL : pipe_find(skipping, channel.inode);
  if (!pipe)
    pipe = pipe_add(skipping, channel.inode, made ? entry->position : UINT64_MAX);
  if (!pipe)
    return -ENOMEM;
  if (made || entry->result < 0)
    return 0;
  pipe_used_by(pipe, process);
  if (journal_flows(entry) && entry->kind == JOURNAL_COMPLETE)
    note_process(pipe->flows_to, &pipe->flows_to_count, process);
  /* A read may be journaled before the write that it is from: what is left is right when both are. */
  pipe->left += writes(entry->call) ? (uint64_t)entry->result : -(uint64_t)entry->result;
  return 0;
}

/* ---- what a child does ---- */

static bool is_outer(const struct analysis *analysis, const struct journal_written *written)
{
  for (uint32_t i = 0; i < analysis->outer_count; i++)
    if (analysis->outer[i].device == written->device && analysis->outer[i].inode == written->inode)
      return true;
  return false;
}

static void note_written(struct batch *batch, const struct file_id *id)
{
  for (uint32_t i = 0; i < batch->written_count; i++)
    if (!memcmp(&batch->written[i], id, sizeof *id))
      return;
  if (batch->written_count == WRITTEN_MAX)
    batch->fit = false;
  else
    batch->written[batch->written_count++] = *id;
}

static void see_member(const struct analysis *analysis, struct batch *batch, const struct journal_entry *entry)
{
  struct journal_written written;
  struct journal_file file;
  /* What it held, and who has it open, is made again by all that had it open. */
  bool named_pipe = entry_file(entry, 0, &file) && S_ISFIFO(file.mode);
  if (inherited_changes(entry) || named_pipe)
    batch->fit = false;
  if (entry->kind != JOURNAL_INTENT)
    return;
  if (entry_written(entry, &written)) {
    note_written(batch, &(struct file_id){written.device, written.inode, written.birth_ns});
    batch->output |= is_outer(analysis, &written);
  } else if (change_of(entry->call)->kind == CHANGE_RESIZE && entry_file(entry, -1, &file)) {
    struct file_id id = file_id_of(&file);
    note_written(batch, &id);
  }
}

/* ---- batches ---- */

static struct batch *batch_of(const struct analysis *analysis, uint32_t number)
{
  return number ? &analysis->skipping->batches[number - 1] : NULL;
}

static int batch_begin(struct analysis *analysis, struct stream *first, uint64_t position)
{
  struct skipping *skipping = analysis->skipping;
  if (skipping->batch_count == skipping->batch_room) {
    uint32_t room = skipping->batch_room ? skipping->batch_room * 2 : 16;
    struct batch *grown = realloc(skipping->batches, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    skipping->batches = grown;
    skipping->batch_room = room;
  }
  bool looked_at = skipping->open_count < OPEN_MAX;
  skipping->batches[skipping->batch_count] =
      (struct batch){.process = first->process, .open = true, .fit = looked_at, .begin = position};
  first->making = ++skipping->batch_count;
  if (looked_at)
    skipping->open[skipping->open_count++] = first->making;
  return 0;
}

/* Have only the batch and its maker used the pipe? */
static bool is_private(const struct analysis *analysis, const struct batch *batch, const struct pipe_use *pipe,
                       bool *ret_used)
{
  *ret_used = false;
  for (uint32_t i = 0; i < pipe->user_count && i < USERS_MAX; i++)
    *ret_used |= descends(analysis, pipe->users[i], batch->process);
  if (!*ret_used)
    return true;
  if (pipe->user_count > USERS_MAX || pipe->flows_to_count > USERS_MAX || pipe->begin == UINT64_MAX)
    return false;
  /* Its maker's bytes come from it. */
  for (uint32_t i = 0; i < pipe->flows_to_count; i++)
    if (pipe->flows_to[i] == batch->process)
      return false;
  for (uint32_t i = 0; i < pipe->user_count; i++)
    if (pipe->users[i] != batch->process && !descends(analysis, pipe->users[i], batch->process))
      return false;
  return pipe->left == 0;
}

static bool pipes_fit(const struct analysis *analysis, const struct batch *batch)
{
  const struct skipping *skipping = analysis->skipping;
  bool used;
  for (uint32_t i = skipping->pipe_first; i < skipping->pipe_count; i++)
    if (skipping->pipes[i].user_count && !skipping->pipes[i].end && !is_private(analysis, batch, &skipping->pipes[i], &used))
      return false;
  return true;
}

/* Are all that the batch has made, and those have made, over? And has each had its own program that was to
 * have one: what else it told its maker is in its maker's memory. */
static bool members_fit(const struct analysis *analysis, const struct batch *batch)
{
  for (uint32_t i = analysis->stream_count; i-- > 0 && analysis->streams[i].born >= batch->begin;) {
    const struct stream *stream = &analysis->streams[i];
    if (stream->pid && descends(analysis, stream->number, batch->process) &&
        (!stream->over || (stream->needs_image && !stream->has_image)))
      return false;
  }
  return true;
}

/* The pipes that the batch has used are empty now, and their next use begins. */
static int close_pipes(struct analysis *analysis, const struct batch *batch, uint32_t number)
{
  struct skipping *skipping = analysis->skipping;
  bool used;
  for (uint32_t i = skipping->pipe_first, count = skipping->pipe_count; i < count; i++) {
    struct pipe_use *pipe = &skipping->pipes[i];
    if (!pipe->user_count || pipe->end || !is_private(analysis, batch, pipe, &used) || !used)
      continue;
    pipe->end = batch->end;
    pipe->batch = number;
    if (!pipe_add(skipping, pipe->inode, batch->end + 1))
      return -ENOMEM;
  }
  return 0;
}

static int batch_end(struct analysis *analysis, struct stream *first, uint64_t position)
{
  struct skipping *skipping = analysis->skipping;
  struct batch *batch = batch_of(analysis, first->making);
  for (uint32_t i = 0; i < skipping->open_count; i++)
    if (skipping->open[i] == first->making)
      skipping->open[i] = skipping->open[--skipping->open_count];
  uint32_t number = first->making;
  first->making = 0;
  batch->open = false;
  batch->end = position;
  batch->fit = batch->fit && members_fit(analysis, batch) && pipes_fit(analysis, batch);
  return batch->fit ? close_pipes(analysis, batch, number) : 0;
}

static int batch_less(struct analysis *analysis, uint32_t number, uint64_t position)
{
  struct batch *batch = batch_of(analysis, number);
  struct stream *first = batch ? first_of(analysis, batch->process) : NULL;
  if (batch && batch->open && batch->unwaited && --batch->unwaited == 0 && first)
    return batch_end(analysis, first, position);
  return 0;
}

/* ---- what the walk tells ---- */

int analysis_skipping_create(struct analysis *analysis)
{
  analysis->skipping = calloc(1, sizeof *analysis->skipping);
  return analysis->skipping ? 0 : -ENOMEM;
}

void analysis_skipping_release(struct analysis *analysis)
{
  if (!analysis->skipping)
    return;
  free(analysis->skipping->batches);
  free(analysis->skipping->pipes);
  free(analysis->skipping);
}

/* The child's stream exists. */
int analysis_skipping_fork(struct analysis *analysis, struct stream *child, const struct stream *maker,
                           const struct journal_entry *intent)
{
  struct stream *first = first_of(analysis, maker->process);
  /* Numbers grow: nobody descends from itself. */
  if (child->number <= maker->number || child->batch)
    return -EBADMSG;
  if (!first)
    return 0;
  int error = first->making ? 0 : batch_begin(analysis, first, intent->position);
  if (error)
    return error;
  struct batch *batch = batch_of(analysis, first->making);
  /* Another thread may do anything meanwhile. */
  if (maker->number != maker->process)
    batch->fit = false;
  batch->unwaited++;
  child->parent = maker->process;
  child->process = child->number;
  child->batch = first->making;
  child->needs_image = intent->call == SYS_clone && entry_arg(intent, 0) & CLONE_VM;
  return 0;
}

int analysis_skipping_waited(struct analysis *analysis, const struct stream *child, const struct journal_entry *wait)
{
  struct batch *batch = batch_of(analysis, child->batch);
  if (batch && !journal_find_segment(wait, SEGMENT_OFFSETS, -1))
    batch->fit = false;
  return batch_less(analysis, child->batch, wait->position);
}

int analysis_skipping_not_made(struct analysis *analysis, const struct journal_entry *intent, uint64_t position)
{
  struct stream *child = analysis_forked(analysis, intent);
  if (!child || child->pid)
    return 0;
  uint32_t batch = child->batch;
  child->batch = 0;
  return batch_less(analysis, batch, position);
}

int analysis_skipping_see(struct analysis *analysis, const struct stream *stream, const struct journal_entry *entry)
{
  struct skipping *skipping = analysis->skipping;
  for (uint32_t i = 0; i < skipping->open_count; i++) {
    struct batch *batch = batch_of(analysis, skipping->open[i]);
    if (!batch->fit)
      continue;
    if (stream->process == batch->process)
      batch->fit = stream->number == stream->process;
    else if (descends(analysis, stream->process, batch->process))
      see_member(analysis, batch, entry);
    else
      batch->fit = false;
  }
  return see_pipe(skipping, stream->process, entry);
}

void analysis_skipping_attempt(struct analysis *analysis)
{
  struct skipping *skipping = analysis->skipping;
  for (uint32_t i = 0; i < skipping->open_count; i++)
    batch_of(analysis, skipping->open[i])->fit = false;
  skipping->pipe_first = skipping->pipe_count;
}

/* ---- the outcome ---- */

/* Is that a file whose bytes replay makes from its writes? */
static bool is_built(const struct analysis *analysis, const struct file_id *id)
{
  uint32_t file = known_files_find(&analysis->files, id);
  return file != KNOWN_FILE_NONE && known_file_ghost(&analysis->files.files[file]);
}

static bool is_skipped(const struct analysis *analysis, const struct batch *batch, bool output_again)
{
  if (!batch || batch->open || !batch->fit || (batch->output && output_again))
    return false;
  for (uint32_t i = 0; i < batch->written_count; i++)
    if (is_built(analysis, &batch->written[i]))
      return false;
  return true;
}

void analysis_skip_finished(struct analysis *analysis, bool output_again)
{
  for (uint32_t i = 0; i < analysis->stream_count; i++) {
    struct stream *stream = &analysis->streams[i];
    const struct stream *up = first_of(analysis, stream->process);
    /* With it or with one that it descends from. */
    for (; up && up->number && !stream->skipped; up = first_of(analysis, up->parent))
      stream->skipped = is_skipped(analysis, batch_of(analysis, up->batch), output_again);
  }
  analysis->skips = true;
  analysis->skips_output = !output_again;
}

bool analysis_stream_skipped(const struct analysis *analysis, uint32_t number)
{
  const struct stream *stream = analysis->skips ? analysis_stream(analysis, number) : NULL;
  return stream && stream->skipped;
}

/* The other side of the pipe is left out. */
static bool is_gone(const struct analysis *analysis, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_CHANNEL, -1);
  const struct skipping *skipping = analysis->skipping;
  struct journal_source channel;
  if (!segment)
    return false;
  memcpy(&channel, segment->data, sizeof channel);
  for (uint32_t i = skipping->pipe_count; i-- > 0;) {
    const struct pipe_use *pipe = &skipping->pipes[i];
    if (pipe->inode == channel.inode && pipe->begin <= entry->position)
      return entry->position <= pipe->end && is_skipped(analysis, batch_of(analysis, pipe->batch), !analysis->skips_output);
  }
  return false;
}

static bool waits_for_skipped(const struct analysis *analysis, const struct journal_entry *wait)
{
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    if (analysis->streams[i].waited && analysis->streams[i].waited_at == wait->position)
      return analysis->streams[i].skipped;
  return false;
}

bool analysis_entry_skips(const struct analysis *analysis, const struct journal_entry *entry)
{
  uint32_t child;
  if (!analysis->skips)
    return false;
  switch (entry->call) {
  case SYS_wait4:
  case SYS_waitid:
    return waits_for_skipped(analysis, entry);
  case SYS_fork:
  case SYS_vfork:
  case SYS_clone:
    return analysis_fork_stream(entry, &child) && analysis_stream_skipped(analysis, child);
  case SYS_pipe:
  case SYS_pipe2:
    return false;
  default:
    return is_gone(analysis, entry);
  }
}
