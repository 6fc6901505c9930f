/* SPDX-License-Identifier: Apache-2.0 */
/* What went in and out at the descriptors that the run was started with, for the command.
 *
 * They are other objects in each attempt: the first START names the first attempt's, an ATTEMPT with
 * DESCRIPTOR segments its own, matched by number. */
#include "supervisor/analysis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "journal/hash.h"

/* Standard input's bytes lie in DATA entries before the entry that says that they were read, and if
 * that never comes, they were not: so they are hashed on the side first. */
struct stdin_ahead {
  XXH3_state_t *state;
  uint64_t base; /* stdin_consumed when it began */
  uint64_t length;
};

static int add_outer(struct analysis *analysis, const struct journal_file *file, uint32_t outer)
{
  if (analysis->outer_count == analysis->outer_room) {
    uint32_t room = analysis->outer_room ? analysis->outer_room * 2 : TAIL_OUTER_MAX;
    struct outer_identity *grown = realloc(analysis->outer, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    analysis->outer = grown;
    analysis->outer_room = room;
  }
  analysis->outer[analysis->outer_count++] =
      (struct outer_identity){.device = file->device, .inode = file->inode, .outer = outer};
  return 0;
}

static int stdin_begin(struct analysis *analysis, int outer)
{
  XXH3_state_t *state = XXH3_createState();
  if (!state)
    return -ENOMEM;
  XXH3_64bits_reset(state);
  analysis->stdin_state = state;
  analysis->stdin_outer = outer;
  return 0;
}

static int start_outer(struct analysis *analysis, const struct journal_descriptor *descriptor)
{
  struct analysis_summary *summary = &analysis->summary;
  if (summary->outer_count == TAIL_OUTER_MAX)
    return 0;
  uint32_t outer = summary->outer_count++;
  summary->outer[outer] = *descriptor;
  analysis->output_sequential[outer] = descriptor->offset;
  bool stream = S_ISFIFO(descriptor->file.mode) || S_ISSOCK(descriptor->file.mode);
  int error = add_outer(analysis, &descriptor->file, outer);
  if (!error && descriptor->fd == 0 && stream && analysis->stdin_outer < 0)
    error = stdin_begin(analysis, (int)outer);
  return error;
}

int analysis_count_start(struct analysis *analysis, const struct journal_entry *start)
{
  bool first = !analysis->started;
  if (first)
    analysis->summary.pid_seen = (int32_t)entry_arg(start, 0);
  analysis->started = true;
  const struct journal_segment *segment = entry_segments(start);
  for (; segment; segment = journal_next_segment(start, segment)) {
    struct journal_descriptor descriptor;
    if (segment->type != SEGMENT_DESCRIPTOR)
      continue;
    memcpy(&descriptor, segment->data, sizeof descriptor);
    struct file_id id = file_id_of(&descriptor.file);
    uint32_t file;
    int error = S_ISREG(descriptor.file.mode) ? known_files_add(&analysis->files, &id, &file) : 0;
    size_t length;
    const char *path = entry_path(start, descriptor.fd, &length);
    if (!error && S_ISREG(descriptor.file.mode) && path)
      error = known_files_name(&analysis->files, file, path, length);
    if (!error && first)
      error = start_outer(analysis, &descriptor);
    if (error)
      return error;
  }
  return 0;
}

int analysis_count_attempt(struct analysis *analysis, const struct journal_entry *attempt)
{
  const struct journal_segment *segment =
      journal_find_segment(attempt, SEGMENT_DESCRIPTOR, -1);
  /* Numbers of pipes are used again: those of earlier attempts mean nothing now. */
  if (segment)
    analysis->outer_count = 0;
  for (; segment; segment = journal_next_segment(attempt, segment)) {
    struct journal_descriptor descriptor;
    if (segment->type != SEGMENT_DESCRIPTOR)
      continue;
    memcpy(&descriptor, segment->data, sizeof descriptor);
    for (uint32_t i = 0; i < analysis->summary.outer_count; i++) {
      if (analysis->summary.outer[i].fd != descriptor.fd)
        continue;
      int error = add_outer(analysis, &descriptor.file, i);
      if (error)
        return error;
    }
  }
  return 0;
}

/* Hashes the entry's output of argument 1. Returns its length. */
static uint64_t hash_output(XXH3_state_t *state, const struct journal_entry *entry)
{
  uint64_t length = 0;
  const struct journal_segment *segment = entry_segments(entry);
  for (; segment; segment = journal_next_segment(entry, segment))
    if (segment->type == SEGMENT_OUTPUT && segment->arg == 1) {
      XXH3_64bits_update(state, segment->data, segment->length);
      length += segment->length;
    }
  return length;
}

int analysis_count_data(struct analysis *analysis, struct stream *stream,
                        const struct journal_entry *data)
{
  if (analysis->stdin_outer < 0)
    return 0;
  if (!stream->ahead) {
    struct stdin_ahead *ahead = calloc(1, sizeof *ahead);
    XXH3_state_t *state = ahead ? XXH3_createState() : NULL;
    if (!state) {
      free(ahead);
      return -ENOMEM;
    }
    XXH3_copyState(state, analysis->stdin_state);
    ahead->state = state;
    ahead->base = analysis->summary.stdin_consumed;
    stream->ahead = ahead;
  }
  stream->ahead->length += hash_output(stream->ahead->state, data);
  return 0;
}

void analysis_count_drop(struct stream *stream)
{
  if (!stream->ahead)
    return;
  XXH3_freeState(stream->ahead->state);
  free(stream->ahead);
  stream->ahead = NULL;
}

static bool from_stdin(const struct analysis *analysis, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_SOURCE, -1);
  struct journal_source source;
  if (!segment || analysis->stdin_outer < 0 || entry->result <= 0)
    return false;
  if (entry->call == SYS_recvfrom && entry_arg(entry, 3) & MSG_PEEK)
    return false;
  memcpy(&source, segment->data, sizeof source);
  for (uint32_t i = 0; i < analysis->outer_count; i++) {
    const struct outer_identity *outer = &analysis->outer[i];
    if (outer->outer == (uint32_t)analysis->stdin_outer && outer->device == source.device &&
        outer->inode == source.inode)
      return true;
  }
  return false;
}

int analysis_count_complete(struct analysis *analysis, struct stream *stream,
                            const struct journal_entry *entry)
{
  struct analysis_summary *summary = &analysis->summary;
  if (!from_stdin(analysis, entry))
    return 0;
  if (stream->ahead) {
    if (stream->ahead->base != summary->stdin_consumed)
      return -ENOTSUP; /* another thread has read in between: whose bytes came first? */
    XXH3_copyState(analysis->stdin_state, stream->ahead->state);
    summary->stdin_consumed += stream->ahead->length;
  }
  summary->stdin_consumed += hash_output(analysis->stdin_state, entry);
  return 0;
}

void analysis_count_written(struct analysis *analysis, const struct journal_entry *intent,
                            int64_t result)
{
  struct analysis_summary *summary = &analysis->summary;
  struct journal_written written;
  if (result <= 0 || !entry_written(intent, &written))
    return;
  for (uint32_t i = 0; i < analysis->outer_count; i++) {
    uint32_t outer = analysis->outer[i].outer;
    if (analysis->outer[i].device != written.device || analysis->outer[i].inode != written.inode)
      continue;
    summary->output_written[outer] += (uint64_t)result;
    if (!S_ISREG(summary->outer[outer].file.mode))
      continue;
    uint64_t begin =
        written.offset < 0 ? analysis->output_sequential[outer] : (uint64_t)written.offset;
    uint64_t end = begin + (uint64_t)result;
    if (written.offset < 0 || written.append)
      analysis->output_sequential[outer] = end;
    if (end > summary->output_end[outer])
      summary->output_end[outer] = end;
  }
}

void analysis_count_exit(struct analysis *analysis, const struct journal_entry *exit)
{
  if (exit->call == SYS_exit)
    return; /* of one thread */
  analysis->summary.exited = true;
  analysis->summary.exit_status = (int)(exit->result & 0xff);
}

void analysis_count_release(struct analysis *analysis)
{
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    analysis_count_drop(&analysis->streams[i]);
  if (analysis->stdin_state)
    XXH3_freeState(analysis->stdin_state);
  free(analysis->outer);
}
