/* SPDX-License-Identifier: Apache-2.0 */
/* What the analysis holds; analyse*.c fill it, look.c and publish*.c read it. Nobody else includes it.
 *
 * Memory: one struct stream a thread, open intents with a copy of their entry, known files, old bytes'
 * places, and a struct omitted for each intent that an attempt left behind. Nothing that grows with
 * the number of entries. */
#ifndef PERDURE_SUPERVISOR_ANALYSIS_H
#define PERDURE_SUPERVISOR_ANALYSIS_H

#include "supervisor/change.h"
#include "supervisor/known_files.h"
#include "supervisor/old_bytes.h"
#include "supervisor/recover.h"

/* Exchanges that a multi handle has under way at once; and a signal handler's calls may come between an
 * intent and its result, and be interrupted in turn. */
#define OPEN_INTENT_DEPTH_MAX 4160u

struct open_intent {
  struct journal_entry *entry; /* a copy */
  struct open_intent *below;   /* of the same stream, older */
  uint64_t data_first;         /* position of the first DATA that belongs to it, or of itself */
  uint64_t seq;
  enum idempotence idempotence; /* what the program said when it began */
  struct journal_entry *resolution; /* a copy of its RESOLVE; NULL: nobody has said what became of it */
  bool carried; /* of an earlier attempt, and its stream has not gone on since */
  bool delivered; /* a signal, and its target has handled it since */
  bool settled; /* recovery has found that it happened, and it has taken effect */
  int64_t result;
};

struct stream {
  struct open_intent *open; /* the latest */
  uint32_t number;
  uint32_t open_count;
  uint32_t next_in_bucket; /* index, UINT32_MAX: none */
  uint32_t process; /* number of its first thread's stream; of threads nobody has told of: the first's */
  int32_t pid;      /* of a first thread: as the program knows it; 0: the process has not begun */
  uint32_t parent;  /* of a first thread: the process that has made it */
  uint32_t batch;   /* of a first thread: what it was made in (analyse_skipped.c); 0: none */
  uint32_t making;  /* of a first thread: the batch that it is making */
  bool needs_image; /* of a first thread: it was to have a program of its own */
  bool has_image;
  bool skipped;     /* its entries are not fed */
  uint64_t command_at; /* of a first thread: position of the intent that has executed its newest program; 0: none */
  uint64_t born;    /* position: what was last when it was first told of */
  uint64_t waited_at; /* position of the wait */
  bool waited;      /* of a first thread: its parent knows how it ended */
  bool over;        /* of a first thread: the process has exited, or has been waited for */
  bool data_pending;       /* DATA, and what it belongs to has not come */
  uint64_t data_first, data_last;
  struct stdin_ahead *ahead; /* standard input's bytes in pending DATA, or NULL */
};

/* Entries of `stream` at positions [first, last] that are as if they had never been. */
struct omitted {
  uint32_t stream;
  uint64_t first, last;
};

/* A scope of the control API that is open, or what a thread has set (token 0). */
struct scope {
  uint32_t stream, kind; /* enum journal_scope */
  uint64_t token;        /* position of the entry that began it */
  uint64_t values[JOURNAL_SCOPE_VALUES];
};

struct outer_identity {
  uint64_t device, inode;
  uint32_t outer; /* index in the summary's list */
};

struct analysis {
  struct analysis_summary summary;
  struct known_files files;
  struct old_bytes old;
  uint64_t last_position;
  uint32_t last_stream; /* of the last entry of the program's */
  uint64_t end_position; /* behind the last entry */
  bool ended, started;
  bool gone_on;           /* the program has, since the last attempt began */
  uint32_t carried_count; /* open intents that are carried */

  struct stream *streams;
  uint32_t stream_count, stream_room;
  uint32_t *stream_buckets;
  uint32_t stream_bucket_count;

  struct omitted *omitted; /* after analysis_end: by stream, first */
  size_t omitted_count, omitted_room;

  struct scope *scopes;
  size_t scope_count, scope_room;
  struct defined_plan {
    uint64_t id;
    struct retry_plan plan;
  } *plans; /* that the program has put together */
  size_t plan_count;

  struct skipped {
    uint64_t begin, end; /* entries between the two, without them */
    bool stands;         /* what they did to files has not been taken back */
  } *skipped;
  size_t skipped_count;
  struct open_intent *forgotten; /* intents in there that have no result yet, the latest first */

  struct open_intent **open; /* after analysis_end: by position */
  size_t open_count;

  struct outer_identity *outer; /* all identities that outer objects have had, over the attempts */
  uint32_t outer_count, outer_room;
  int stdin_outer; /* index of descriptor 0 when it is a pipe or socket, or -1 */
  uint64_t output_sequential[TAIL_OUTER_MAX]; /* where a write at the description's offset goes */
  struct skipping *skipping;
  bool skips;        /* analysis_skip_finished() has been called */
  bool skips_output; /* also what has written output */
  void *stdin_state; /* XXH3_state_t */
};

/* ---- analyse_segments.c ---- */

/* Do all segments have the lengths that their types ask for? */
bool entry_segments_sound(const struct journal_entry *entry);
/* Copies the struct out of the first such segment (arg -1: of any argument). False: there is none. */
bool entry_file(const struct journal_entry *entry, int arg, struct journal_file *ret_file);
bool entry_written(const struct journal_entry *entry, struct journal_written *ret_written);
/* The absolute path in the FULL_PATH segment of `arg`, not terminated, or NULL. */
const char *entry_path(const struct journal_entry *entry, int arg, size_t *ret_length);
/* The first of the entry's segments, or NULL. */
const struct journal_segment *entry_segments(const struct journal_entry *entry);
static inline struct file_id file_id_of(const struct journal_file *file)
{
  return (struct file_id){file->device, file->inode, file->birth_ns};
}

/* ---- analyse.c ---- */

/* With a copy of the entry; NULL: out of memory. */
struct open_intent *open_intent_make(const struct journal_entry *entry);
void open_intent_free(struct open_intent *intent);

/* ---- analyse_files.c ---- */

/* An intent has been written: what it is about to change proves nothing by its times any more. */
int analysis_files_intent(struct analysis *analysis, const struct journal_entry *intent);
/* A change has succeeded. outcome: its RESULT, or NULL where recovery found that it happened. */
int analysis_files_changed(struct analysis *analysis, const struct journal_entry *intent,
                           const struct journal_entry *outcome);
/* A call that changes nothing has run: what it opened or read. */
int analysis_files_observed(struct analysis *analysis, const struct journal_entry *entry);
int analysis_files_keep(struct analysis *analysis, const struct journal_entry *entry);

/* ---- analyse_summary.c ---- */

int analysis_count_start(struct analysis *analysis, const struct journal_entry *start);
int analysis_count_attempt(struct analysis *analysis, const struct journal_entry *attempt);
int analysis_count_data(struct analysis *analysis, struct stream *stream,
                        const struct journal_entry *data);
/* -ENOTSUP: standard input's order cannot be told. */
int analysis_count_complete(struct analysis *analysis, struct stream *stream,
                            const struct journal_entry *entry);
void analysis_count_written(struct analysis *analysis, const struct journal_entry *intent,
                            int64_t result);
void analysis_count_exit(struct analysis *analysis, const struct journal_entry *exit);
/* Forgets bytes of pending DATA. */
void analysis_count_drop(struct stream *stream);
void analysis_count_release(struct analysis *analysis);

/* ---- analyse_scopes.c ---- */

/* A call of the control API has run; others are none of its business. */
int analysis_scopes_complete(struct analysis *analysis, const struct journal_entry *entry);
/* The process (the number of its first stream) ends, or runs another program: its scopes are gone, and what regions of it did is
 * final. */
void analysis_scopes_leave(struct analysis *analysis, uint32_t process);
/* The journal's end: puts the retry policy that holds for the last entry's thread into the summary. */
void analysis_scopes_end(struct analysis *analysis);
/* What holds now for the stream's calls, or NULL: nothing was said. */
const struct scope *analysis_scope(const struct analysis *analysis, uint32_t stream, unsigned kind);
enum idempotence analysis_idempotence(const struct analysis *analysis, uint32_t stream);

/* ---- analyse_regions.c ---- */

/* An entry of a region that was taken back, or of what is forgotten. */
int analysis_add_skipped(struct analysis *analysis, const struct journal_entry *entry);
void analysis_skipped_release(struct analysis *analysis);

/* ---- analyse_resolve.c ---- */

int analysis_resolve(struct analysis *analysis, const struct journal_entry *resolve);
/* The exchange of that callback has been sent again: it is as unknown as it was the first time. */
void analysis_resolve_again(struct analysis *analysis, const struct stream *stream, const struct journal_entry *again);
/* The RESOLVE whose segments the entry, an intent that is gone on with, gets in the feed; NULL: none. A request
 * that is sent again needs none. */
const struct journal_entry *analysis_resolution(const struct analysis *analysis, const struct journal_entry *entry);

/* ---- analyse_streams.c ---- */

/* The stream of that number, or NULL. */
struct stream *analysis_stream(const struct analysis *analysis, uint32_t number);
/* The same, made when it is the first time. Valid until the next new one. */
int analysis_stream_get(struct analysis *analysis, uint32_t number, struct stream **ret_stream);

/* ---- analyse_processes.c ---- */

/* Has the process ended that the stream is of? */
bool analysis_process_over(const struct analysis *analysis, const struct stream *stream);
/* CHILD. */
void analysis_process_begin(struct stream *stream, const struct journal_entry *child);
/* The child that the call has told the end of, and its status as a shell has it; 0: it has told none, or is another
 * call. */
int32_t analysis_ended_child(const struct journal_entry *wait, int *ret_status);
/* A wait that has told an end: that child is over. */
int analysis_process_waited(struct analysis *analysis, const struct journal_entry *wait);
void analysis_process_exit(struct analysis *analysis, const struct stream *stream, const struct journal_entry *exit);
/* SIGNAL: what was sent by an open intent has come. */
void analysis_signal_came(struct analysis *analysis, const struct journal_entry *signal);
/* How many have begun and are not over. */
uint32_t analysis_processes_running(const struct analysis *analysis);
/* Is it a fork's intent? *ret_stream: the number of the stream that the child has or will have. */
bool analysis_fork_stream(const struct journal_entry *intent, uint32_t *ret_stream);
/* The stream of the child that a fork's intent is about, or NULL. */
struct stream *analysis_forked(const struct analysis *analysis, const struct journal_entry *intent);
/* Has the child of that fork's intent begun? 1: *ret_result is its number; 0: no. */
int analysis_child_began(const struct analysis *analysis, const struct journal_entry *intent, int64_t *ret_result);

/* ---- analyse_skipped.c ---- */

int analysis_skipping_create(struct analysis *analysis);
void analysis_skipping_release(struct analysis *analysis);
/* The walk tells of: each entry of the program; a fork's intent; a child's end; an intent
 * that has made no child, if it is a fork's; ATTEMPT. */
int analysis_skipping_see(struct analysis *analysis, const struct stream *stream, const struct journal_entry *entry);
int analysis_skipping_fork(struct analysis *analysis, struct stream *child, const struct stream *maker,
                           const struct journal_entry *intent);
int analysis_skipping_waited(struct analysis *analysis, const struct stream *child, const struct journal_entry *wait);
int analysis_skipping_not_made(struct analysis *analysis, const struct journal_entry *intent, uint64_t position);
void analysis_skipping_attempt(struct analysis *analysis);
/* Are the stream's entries not fed? */
bool analysis_stream_skipped(const struct analysis *analysis, uint32_t number);
/* Is that entry about a child that is left out (JOURNAL_FLAG_SKIPPED)? */
bool analysis_entry_skips(const struct analysis *analysis, const struct journal_entry *entry);

/* ---- analyse_end.c ---- */

/* Sorts what is left out, collects what is open. */
int analysis_index(struct analysis *analysis);
/* Is the entry one that the feed leaves out because an attempt left it behind? */
bool analysis_omits(const struct analysis *analysis, uint32_t stream, uint64_t position);
/* The open intent of `position`, or NULL. */
const struct open_intent *analysis_open_intent(const struct analysis *analysis, uint64_t position);
/* What a person has said of it; NULL: nothing that still counts. */
const struct journal_resolution *open_intent_resolution(const struct open_intent *intent);
/* The verdicts that say "happened" take effect on the files. Doing it again changes nothing. */
int analysis_settle(struct analysis *analysis, const struct verdict *verdicts, size_t count);

#endif
