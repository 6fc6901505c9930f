/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: from a run's journal to the feed that the next attempt replays.
 *
 * Three steps, as in ARIES, before the program starts, nobody of an earlier attempt alive:
 *   analyse  walk the entries once: which intents are open, where each file is now, which referenced
 *            bytes were changed later and where their old ones lie. Pure: entries in, struct analysis
 *            out, no file is looked at.
 *   look     for each open intent, compare the world with what the intent says it was before
 *            (injected `struct world`): it happened -> its result; it did not -> run it again;
 *            it is half done -> put back (an append's surplus is cut off), then run it again.
 *   publish  write the feed (feed.h).
 *
 * A crash at any line is harmless: the feed is written to a temporary name and renamed; looking
 * changes nothing but cutting an append back to where it began, and removing the empty file of an
 * exclusive create or the dead socket of a bind, which can be repeated.
 *
 * What is found to have happened has to be in the journal before the program runs: the caller appends
 * a RESULT with JOURNAL_FLAG_RESOLVED for each VERDICT_HAPPENED (its stream, call, result), the ATTEMPT
 * before or behind them, and only then starts the program.
 */
#ifndef PERDURE_SUPERVISOR_RECOVER_H
#define PERDURE_SUPERVISOR_RECOVER_H

#include "journal/feed.h"
#include "journal/retry_rules.h"
#include "journal/tail.h"
#include "supervisor/store.h"

struct analysis;

/* One entry after the other, in order; then analysis_end. The entries are valid (entry.h); their
 * meaning is checked here. -EBADMSG: they contradict each other (a RESULT without INTENT, ...), failure
 * says which seq; the analysis can only be freed then. -ENOMEM. */
int analysis_create(struct analysis **ret_analysis);
int analysis_add(struct analysis *analysis, const struct journal_entry *entry, uint64_t seq,
                 struct failure *failure);
/* Before the first entry: what lies between the entry at `begin` and the position `end` is left out, because it
 * was taken back. */
int analysis_skip(struct analysis *analysis, uint64_t begin, uint64_t end);
/* The same of what failed and is to be tried again: what it did to files stands, nothing else of it counts. Where both are
 * said of an entry, it was taken back. */
int analysis_forget(struct analysis *analysis, uint64_t begin, uint64_t end);
bool analysis_skips(const struct analysis *analysis, uint64_t position);
/* After the last: is an atomic region open? The outermost one's beginning. */
bool analysis_open_region(const struct analysis *analysis, uint64_t *ret_begin);
int analysis_end(struct analysis *analysis, struct failure *failure);
void analysis_free(struct analysis *analysis);

/* After the end: may a remote change of the stream be made twice, where `unsaid` holds of what the program has not said? */
bool analysis_repeats(const struct analysis *analysis, uint32_t stream, bool unsaid);

/* How many commands have ended: processes that the run has made, and that have executed a program. Up to newest_max of them go to
 * ret_newest, those that began last first: positions of the intents that have executed them. */
uint32_t analysis_ended_commands(const struct analysis *analysis, uint64_t *ret_newest, uint32_t newest_max);

/* What the command needs to know of a run. */
struct analysis_summary {
  uint64_t entry_count;
  uint32_t attempt_count;
  bool exited;           /* an EXIT of the first process is there */
  int exit_status;
  uint32_t running_count; /* other processes that have begun, and of whose end nothing is known */
  uint64_t stdin_consumed; /* bytes read from descriptor 0's outer object, when that is a pipe or socket */
  uint64_t stdin_hash;     /* XXH3-64 (streamed) of those bytes */
  uint64_t output_written[TAIL_OUTER_MAX]; /* bytes written to each outer object, by its index in START's descriptors */
  uint64_t output_end[TAIL_OUTER_MAX];     /* highest file offset written, for an outer regular file; seeks are not followed */
  uint32_t outer_count;
  struct journal_descriptor outer[TAIL_OUTER_MAX]; /* the first START's descriptors */
  uint64_t unfinished_count;
  uint64_t ended_count;  /* of the program's calls, those that have their end in the journal */
  bool retry_said;       /* by the program, and it holds for the thread whose entry is the last */
  uint64_t retry_values[JOURNAL_SCOPE_VALUES];
  const struct retry_plan *retry_plan; /* that they refer to, or NULL; the analysis' own */
  uint32_t stream_next;  /* one above the highest stream seen */
  int32_t pid_seen;      /* args[0] of the first START */
  bool beginning_lost;   /* the program has entries before its START: it must not be taken for one that never began */
};
/* After the end: children that are over, and that nothing needs, are left out of the feed. output_again: output is
 * given again, so that those which made some are needed. */
void analysis_skip_finished(struct analysis *analysis, bool output_again);
void analysis_summary(const struct analysis *analysis, struct analysis_summary *ret_summary);

/* How recovery sees the world; the unit tests have one of their own. */
struct world {
  /* lstat-like by absolute path. 0, or -ENOENT, -errno. */
  int (*look)(void *context, const char *path, struct journal_file *ret_file);
  /* target of a symlink, NUL-terminated into size bytes. */
  int (*look_link)(void *context, const char *path, char *ret_target, size_t size);
  /* XXH3-64 of length bytes at offset; -ENODATA when the file is shorter. */
  int (*hash)(void *context, const char *path, uint64_t offset, uint64_t length, uint64_t *ret_hash);
  /* has the file an extended attribute of that name? 1, 0 or -errno. follow: through a symlink. */
  int (*look_attribute)(void *context, const char *path, const char *name, bool follow);
  /* cuts the file back to size bytes. */
  int (*cut)(void *context, const char *path, uint64_t size);
  /* removes the name of a file. */
  int (*remove)(void *context, const char *path);
  void *context;
};
extern const struct world world_real;

enum verdict_kind {
  VERDICT_HAPPENED, /* result holds what it returned */
  VERDICT_REPEAT,   /* it did not happen, or repeating it as it is gives the same */
  VERDICT_UNKNOWN,  /* a remote change: nobody can tell */
};
/* Whether the program said that the change may be made again, in a scope or by a set. */
enum idempotence { IDEMPOTENCE_UNSAID, IDEMPOTENCE_ON, IDEMPOTENCE_OFF };
struct verdict {
  uint64_t position; /* of the intent */
  uint32_t stream;
  uint16_t call;
  enum verdict_kind kind;
  enum idempotence idempotence;
  int64_t result;
};
/* Verdicts for all open intents, malloc'ed for the caller, in the journal's order. */
int recover_look(const struct analysis *analysis, const struct world *world,
                 struct verdict **ret_verdicts, size_t *ret_count, struct failure *failure);

/* Writes the feed of `store` to `path`. Memory does not grow with the number of entries beyond what
 * the analysis holds. kept_directory: absolute path of the run's kept/. What happened takes effect in
 * the analysis: its files are where the changes have put them. -EBADMSG: the store holds other entries
 * than were analysed; on any failure `path` is what it was. */
int recover_publish(struct analysis *analysis, struct store *store, const struct verdict *verdicts,
                    size_t verdict_count, const char *kept_directory, const char *path,
                    uint64_t *ret_size, struct failure *failure);

#endif
