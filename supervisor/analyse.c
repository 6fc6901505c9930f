/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a run's entries: streams, attempts, and which intents are open.
 *
 * An intent is open until its RESULT (an execve's: until START). At an ATTEMPT what is open is
 * carried: the supervisor's RESULT, with JOURNAL_FLAG_RESOLVED, may still close it. It does so before
 * it starts the program; so any other entry of the new attempt says that what is still carried did not
 * happen, and it is dropped. Only two kinds wait for an entry of their own stream: a remote change,
 * whose outcome stays unknown until somebody tells, and a sleep, whose deadline stays good. */
#include "supervisor/analysis.h"

#include <assert.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "journal/call_table.h"
#include "journal/hash.h"

#define STREAM_BUCKET_COUNT_FIRST 16u

int analysis_create(struct analysis **ret_analysis)
{
  struct analysis *analysis = calloc(1, sizeof *analysis);
  if (!analysis)
    return -ENOMEM;
  analysis->stdin_outer = -1;
  analysis->stream_bucket_count = STREAM_BUCKET_COUNT_FIRST;
  analysis->stream_buckets = malloc(STREAM_BUCKET_COUNT_FIRST * sizeof *analysis->stream_buckets);
  if (!analysis->stream_buckets || known_files_init(&analysis->files) != 0 ||
      analysis_skipping_create(analysis) != 0) {
    free(analysis->stream_buckets);
    free(analysis);
    return -ENOMEM;
  }
  memset(analysis->stream_buckets, 0xff,
         STREAM_BUCKET_COUNT_FIRST * sizeof *analysis->stream_buckets);
  *ret_analysis = analysis;
  return 0;
}

struct open_intent *open_intent_make(const struct journal_entry *entry)
{
  struct open_intent *intent = calloc(1, sizeof *intent);
  struct journal_entry *copy = malloc(entry->size);
  if (!intent || !copy) {
    free(intent);
    free(copy);
    return NULL;
  }
  memcpy(copy, entry, entry->size);
  intent->entry = copy;
  return intent;
}

void open_intent_free(struct open_intent *intent)
{
  free(intent->entry);
  free(intent->resolution);
  free(intent);
}

void analysis_free(struct analysis *analysis)
{
  if (!analysis)
    return;
  analysis_count_release(analysis);
  analysis_skipping_release(analysis);
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    for (struct open_intent *intent = analysis->streams[i].open, *below; intent; intent = below) {
      below = intent->below;
      open_intent_free(intent);
    }
  known_files_release(&analysis->files);
  old_bytes_release(&analysis->old);
  free(analysis->streams);
  free(analysis->stream_buckets);
  free(analysis->omitted);
  free(analysis->open);
  free(analysis->scopes);
  free(analysis->plans);
  analysis_skipped_release(analysis);
  free(analysis);
}

/* ---- what attempts leave behind ---- */

static int omit(struct analysis *analysis, uint32_t stream, uint64_t first, uint64_t last)
{
  if (analysis->omitted_count == analysis->omitted_room) {
    size_t room = analysis->omitted_room ? analysis->omitted_room * 2 : 16;
    struct omitted *grown = realloc(analysis->omitted, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    analysis->omitted = grown;
    analysis->omitted_room = room;
  }
  analysis->omitted[analysis->omitted_count++] =
      (struct omitted){.stream = stream, .first = first, .last = last};
  return 0;
}

static void intent_unlink(struct analysis *analysis, struct stream *stream,
                          struct open_intent *intent)
{
  struct open_intent **link = &stream->open;
  while (*link != intent)
    link = &(*link)->below;
  *link = intent->below;
  stream->open_count--;
  analysis->carried_count -= intent->carried;
}

/* The intent is as if it had never been. */
static int intent_drop(struct analysis *analysis, struct stream *stream, struct open_intent *intent)
{
  int error = omit(analysis, stream->number, intent->data_first, intent->entry->position);
  if (error)
    return error;
  intent_unlink(analysis, stream, intent);
  error = analysis_skipping_not_made(analysis, intent->entry, analysis->last_position);
  open_intent_free(intent);
  return error;
}

/* The intent's process is over. A program that was one step has been executed; what went into a pipe may have been read. */
static int intent_end(struct analysis *analysis, struct stream *stream, struct open_intent *intent)
{
  bool opaque = journal_find_segment(intent->entry, SEGMENT_OPAQUE, -1) != NULL;
  if (!opaque && !journal_has_channel(intent->entry))
    return intent_drop(analysis, stream, intent);
  if (opaque)
    stream->command_at = intent->entry->position;
  intent_unlink(analysis, stream, intent);
  open_intent_free(intent);
  return 0;
}

static bool waits_for_its_stream(const struct open_intent *intent)
{
  return change_of(intent->entry->call)->kind == CHANGE_SLEEP || change_remote(intent->entry);
}

/* An exchange that had begun is always gone on with, under its old intent: the program may have had a part
 * of the answer. And a write into a pipe by who had begun it: readers may have had a part of it. */
static bool is_gone_on_with(const struct open_intent *intent)
{
  return change_of(intent->entry->call)->kind == CHANGE_EXCHANGE || journal_has_channel(intent->entry);
}

/* Drops the stream's carried intents: all, or those that do not wait for their stream. */
static int drop_carried(struct analysis *analysis, struct stream *stream, bool all)
{
  for (struct open_intent *intent = stream->open, *below; intent; intent = below) {
    below = intent->below;
    if (!intent->carried || is_gone_on_with(intent) || (!all && waits_for_its_stream(intent)))
      continue;
    int error = intent_drop(analysis, stream, intent);
    if (error)
      return error;
  }
  return 0;
}

/* The program goes on, with an entry of `stream`. */
static int program_goes_on(struct analysis *analysis, struct stream *stream)
{
  if (!analysis->carried_count)
    return 0;
  bool first = !analysis->gone_on;
  analysis->gone_on = true;
  for (uint32_t i = 0; first && i < analysis->stream_count; i++) {
    int error = drop_carried(analysis, &analysis->streams[i], false);
    if (error)
      return error;
  }
  return drop_carried(analysis, stream, true);
}

static int drop_data(struct analysis *analysis, struct stream *stream)
{
  if (!stream->data_pending)
    return 0;
  stream->data_pending = false;
  analysis_count_drop(stream);
  return omit(analysis, stream->number, stream->data_first, stream->data_last);
}

/* ---- entries by kind ---- */

static int add_attempt(struct analysis *analysis, const struct journal_entry *entry)
{
  analysis->summary.attempt_count++;
  analysis->gone_on = false;
  old_bytes_settle_all(&analysis->old);
  analysis_skipping_attempt(analysis);
  for (uint32_t i = 0; i < analysis->stream_count; i++) {
    struct stream *stream = &analysis->streams[i];
    int error = drop_data(analysis, stream);
    if (error)
      return error;
    for (struct open_intent *intent = stream->open; intent; intent = intent->below) {
      analysis->carried_count += !intent->carried;
      intent->carried = true;
    }
  }
  return analysis_count_attempt(analysis, entry);
}

static int add_intent(struct analysis *analysis, struct stream *stream, const struct journal_entry *entry, uint64_t seq)
{
  if (stream->open_count == OPEN_INTENT_DEPTH_MAX)
    return -EBADMSG;
  int error = analysis_files_intent(analysis, entry);
  if (error)
    return error;
  struct open_intent *intent = open_intent_make(entry);
  if (!intent)
    return -ENOMEM;
  intent->below = stream->open;
  intent->data_first = stream->data_pending ? stream->data_first : entry->position;
  intent->seq = seq;
  intent->idempotence = analysis_idempotence(analysis, stream->number);
  stream->open = intent;
  stream->open_count++;
  return 0;
}

/* The latest open intent of that call; or the one at that position, of several exchanges. */
static struct open_intent *find_open(const struct stream *stream, unsigned call, uint64_t exchange)
{
  struct open_intent *intent = stream->open;
  while (intent && (intent->entry->call != call ||
                    (exchange != JOURNAL_EXCHANGE_LATEST && intent->entry->position != exchange)))
    intent = intent->below;
  return intent;
}

static uint64_t exchange_of(const struct journal_entry *entry)
{
  return entry->call == CALL_ID_EXCHANGE ? journal_exchange_of(entry) : JOURNAL_EXCHANGE_LATEST;
}

/* The stream that has begun what `entry` ends: exchanges of a multi handle may end in another thread. */
static struct stream *stream_of_intent(const struct analysis *analysis, struct stream *stream,
                                       const struct journal_entry *entry)
{
  uint64_t exchange = exchange_of(entry);
  if (exchange == JOURNAL_EXCHANGE_LATEST || find_open(stream, entry->call, exchange))
    return stream;
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    if (find_open(&analysis->streams[i], entry->call, exchange))
      return &analysis->streams[i];
  return stream;
}

static int add_result(struct analysis *analysis, struct stream *stream, const struct journal_entry *entry)
{
  stream = stream_of_intent(analysis, stream, entry);
  struct open_intent *intent = find_open(stream, entry->call, exchange_of(entry));
  if (!intent)
    return -EBADMSG;
  if (entry->result >= 0) {
    int error = analysis_files_changed(analysis, intent->entry, entry);
    if (error)
      return error;
  }
  analysis_count_written(analysis, intent->entry, entry->result);
  int error = entry->result < 0 ? analysis_skipping_not_made(analysis, intent->entry, entry->position) : 0;
  intent_unlink(analysis, stream, intent);
  open_intent_free(intent);
  return error;
}

/* A fork says which stream the child will have. */
static int add_fork(struct analysis *analysis, const struct journal_entry *intent)
{
  uint32_t child;
  struct stream *made = NULL;
  int error = analysis_fork_stream(intent, &child) ? analysis_stream_get(analysis, child, &made) : 0;
  if (error || !made)
    return error;
  return analysis_skipping_fork(analysis, made, analysis_stream(analysis, intent->stream), intent);
}

/* An exec has closed its own intent, and has ended the process's other threads in theirs: in no
 * replay do these get further. */
static int add_start(struct analysis *analysis, struct stream *stream, const struct journal_entry *entry)
{
  struct open_intent *top = stream->open;
  analysis_scopes_leave(analysis, stream->process);
  if (top && change_of(top->entry->call)->kind == CHANGE_EXEC) {
    stream->command_at = top->entry->position;
    intent_unlink(analysis, stream, top);
    open_intent_free(top);
  }
  for (uint32_t i = 0; i < analysis->stream_count; i++)
    while (analysis->streams[i].process == stream->process && analysis->streams[i].open) {
      int error = intent_drop(analysis, &analysis->streams[i], analysis->streams[i].open);
      if (error)
        return error;
    }
  stream->has_image = true;
  return analysis_count_start(analysis, entry);
}

static int add_data(struct analysis *analysis, struct stream *stream, const struct journal_entry *entry)
{
  if (!stream->data_pending)
    stream->data_first = entry->position;
  stream->data_pending = true;
  stream->data_last = entry->position;
  return analysis_count_data(analysis, stream, entry);
}

/* Does this RESULT close an intent of an earlier attempt? The supervisor's does; and a sleep's, which
 * goes on with its old intent. */
static bool closes_carried(const struct stream *stream, const struct journal_entry *entry)
{
  if (entry->kind != JOURNAL_RESULT)
    return false;
  const struct open_intent *intent = find_open(stream, entry->call, JOURNAL_EXCHANGE_LATEST);
  return intent && intent->carried && change_of(entry->call)->kind == CHANGE_SLEEP;
}

/* A new thread has its stream from the call that makes it, before it has an entry of its own. *stream, its
 * maker's, may move. */
static int name_stream(struct analysis *analysis, struct stream **stream, const struct journal_entry *entry)
{
  if (entry->call != SYS_clone || !(entry_arg(entry, 0) & CLONE_THREAD) || entry->result < 0 ||
      entry->result >= UINT32_MAX - 1)
    return 0;
  struct stream *made;
  uint32_t maker = (*stream)->number, process = (*stream)->process;
  int error = analysis_stream_get(analysis, (uint32_t)entry->result, &made);
  if (error)
    return error;
  made->process = process;
  *stream = analysis_stream(analysis, maker);
  return 0;
}

static int add_of_program(struct analysis *analysis, struct stream *stream,
                          const struct journal_entry *entry, uint64_t seq)
{
  int error = 0;
  if (!analysis->started && entry->kind != JOURNAL_START)
    analysis->summary.beginning_lost = true;
  /* What is kept on the way says nothing about the program's own calls. */
  if (entry->kind != JOURNAL_KEEP && !closes_carried(stream, entry))
    error = program_goes_on(analysis, stream);
  if (error)
    return error;
  error = analysis_skipping_see(analysis, stream, entry);
  if (error)
    return error;
  switch (entry->kind) {
  case JOURNAL_DATA:
    return add_data(analysis, stream, entry);
  case JOURNAL_KEEP:
    return analysis_files_keep(analysis, entry);
  case JOURNAL_INTENT:
    error = add_intent(analysis, stream, entry, seq);
    if (!error)
      error = add_fork(analysis, entry);
    stream = analysis_stream(analysis, entry->stream);
    break;
  case JOURNAL_RESULT:
    error = add_result(analysis, stream, entry);
    break;
  case JOURNAL_COMPLETE:
    error = analysis_process_waited(analysis, entry);
    if (!error)
      error = name_stream(analysis, &stream, entry);
    if (!error && entry->call == CALL_ID_CALLBACK && entry_arg(entry, 0) == JOURNAL_CALLBACK_AGAIN)
      analysis_resolve_again(analysis, stream, entry);
    if (!error)
      error = analysis_count_complete(analysis, stream, entry);
    if (!error)
      error = analysis_files_observed(analysis, entry);
    if (!error)
      error = analysis_scopes_complete(analysis, entry);
    break;
  case JOURNAL_START:
    error = add_start(analysis, stream, entry);
    break;
  case JOURNAL_EXIT:
    if (stream->process == 0)
      analysis_count_exit(analysis, entry);
    analysis_process_exit(analysis, stream, entry);
    break;
  case JOURNAL_CHILD:
    analysis_process_begin(stream, entry);
    break;
  case JOURNAL_SIGNAL:
    analysis_signal_came(analysis, entry);
    break;
  }
  /* What DATA was for has come. */
  stream->data_pending = false;
  analysis_count_drop(stream);
  return error;
}

static int add_entry(struct analysis *analysis, const struct journal_entry *entry, uint64_t seq)
{
  struct stream *stream;
  if (analysis->summary.entry_count && entry->position < analysis->end_position)
    return -EBADMSG;
  if (entry->position > UINT64_MAX / 2 || !entry_segments_sound(entry))
    return -EBADMSG;
  analysis->summary.entry_count++;
  analysis->last_position = entry->position;
  analysis->end_position = entry->position + entry->size;
  if (entry->kind == JOURNAL_NOTE)
    return 0;
  if (entry->kind == JOURNAL_ATTEMPT)
    return add_attempt(analysis, entry);
  if (analysis_skips(analysis, entry->position))
    return analysis_add_skipped(analysis, entry);
  if (entry->kind == JOURNAL_RESOLVE)
    return analysis_resolve(analysis, entry);
  int error = analysis_stream_get(analysis, entry->stream, &stream);
  if (error)
    return error;
  analysis->summary.ended_count += entry->kind == JOURNAL_COMPLETE || entry->kind == JOURNAL_RESULT ||
                                   entry->kind == JOURNAL_START || entry->kind == JOURNAL_EXIT;
  if (entry->kind == JOURNAL_RESULT && entry->arg_count & JOURNAL_FLAG_RESOLVED)
    return add_result(analysis, stream, entry);
  analysis->last_stream = entry->stream;
  return add_of_program(analysis, stream, entry, seq);
}

int analysis_add(struct analysis *analysis, const struct journal_entry *entry, uint64_t seq,
                 struct failure *failure)
{
  assert(!analysis->ended);
  int error = add_entry(analysis, entry, seq);
  switch (error) {
  case 0:
    return 0;
  case -EBADMSG:
    return failure_set(failure, error,
                       "the journal is damaged: entry %llu (%s, stream %u, call %u) contradicts those before it",
                       (unsigned long long)seq, journal_kind_name(entry->kind), entry->stream,
                       entry->call);
  case -ENOTSUP:
    return failure_set(failure, error,
                       "entry %llu of the journal: two threads read standard input at the same time, "
                       "and their order cannot be told",
                       (unsigned long long)seq);
  default:
    return failure_set(failure, error, "cannot analyse entry %llu of the journal: %s",
                       (unsigned long long)seq, strerror(-error));
  }
}

/* ---- the end ---- */

static int end(struct analysis *analysis)
{
  for (uint32_t i = 0; i < analysis->stream_count; i++) {
    struct stream *stream = &analysis->streams[i];
    int error = drop_data(analysis, stream);
    /* The process has ended, and with it what its other threads had begun. */
    while (!error && analysis_process_over(analysis, stream) && stream->open)
      error = intent_end(analysis, stream, stream->open);
    if (error)
      return error;
  }
  int error = analysis_index(analysis);
  if (error)
    return error;
  old_bytes_index(&analysis->old);
  analysis_scopes_end(analysis);
  analysis->summary.unfinished_count = analysis->open_count;
  analysis->summary.running_count = analysis_processes_running(analysis);
  if (analysis->stdin_state)
    analysis->summary.stdin_hash = XXH3_64bits_digest(analysis->stdin_state);
  return 0;
}

int analysis_end(struct analysis *analysis, struct failure *failure)
{
  assert(!analysis->ended);
  int error = end(analysis);
  if (error)
    return failure_set(failure, error, "cannot analyse the journal: %s", strerror(-error));
  analysis->ended = true;
  return 0;
}

void analysis_summary(const struct analysis *analysis, struct analysis_summary *ret_summary)
{
  assert(analysis->ended);
  *ret_summary = analysis->summary;
}
