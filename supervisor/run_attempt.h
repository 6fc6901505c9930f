/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt of a run, as the files run_*.c hand it on. */
#ifndef PERDURE_SUPERVISOR_RUN_ATTEMPT_H
#define PERDURE_SUPERVISOR_RUN_ATTEMPT_H

#include "supervisor/drain.h"
#include "supervisor/recover.h"
#include "supervisor/replica.h"
#include "supervisor/run.h"
#include "supervisor/run_lock.h"
#include "supervisor/run_outer.h"
#include "supervisor/run_read.h"
#include "supervisor/run_recipe.h"
#include "supervisor/run_retry.h"
#include "supervisor/run_spawn.h"
#include "supervisor/run_wait.h"

struct run_attempt {
  const struct run_options *options;
  struct run_place place;
  struct run_lock lock;
  struct run_inherited_state inherited;
  struct run_descriptors open_before; /* what this process has inherited */
  struct run_descriptors descriptors; /* what the program is to have */
  struct run_recipe recipe;
  struct store *store;                /* NULL: none open */
  struct tail_file tail;              /* header NULL: none open */
  char **environment;
  int lock_number;
  bool spawned;       /* the program has been executed */
  bool exited_before; /* its exit is in the journal, of an earlier attempt: output is given again */
  unsigned number;    /* 1 for the first attempt */
  uint64_t first_seq; /* of the attempt's first entry */
  uint32_t noted_before; /* TAIL_NOTED_* that were said in earlier attempts */
  unsigned sync;
  enum run_output output;
  bool idempotent;    /* a remote change of unknown outcome is made again */
  struct run_retry retry;
  bool retry_exit;    /* an exit status that is not 0 is a failure like a death */
  struct run_range left_out[2]; /* what this attempt leaves out and those before did not: an unfinished region, a failure */
  size_t left_out_count;
  bool detach;        /* what outlives the program is left, and the run is finished without it */
  bool keyless;       /* no Idempotency-Key is added to requests */
  struct replication *replication; /* NULL: the run has no other store */
  char store_url[2048];            /* of that one */
  char *replica_paths[TAIL_REPLICAS_MAX]; /* directories of the run's replicas */
  struct replica *replicas[TAIL_REPLICAS_MAX]; /* NULL: it does not run */
  unsigned replica_count;
  int64_t born_ns;    /* when the run's own store was made, as it was found; 0: there was none */
  struct acknowledgements acknowledgements;
};

void run_say(const struct run_attempt *attempt, enum run_loudness loudness, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* run_prepare.c: a new run up to where its program can be spawned. *ret_status as run_start(). On
 * failure the run's directory is empty again. */
int run_prepare(struct run_attempt *attempt, int *ret_status, struct failure *failure);
/* Is the program one that perdure can run, and is everything there that it needs? */
int run_check_program(struct run_attempt *attempt, int *ret_status, struct failure *failure);

/* run_resume.c: an existing run, its store open, up to where its program can be spawned again.
 * *ret_over: nothing is to be spawned; *ret_status is the exit status, and it has been said why. */
int run_resume(struct run_attempt *attempt, bool *ret_over, int *ret_status, struct failure *failure);
/* What the last attempt left in its tail goes to the store, and is on disk there. *ret_tail: that tail, for the caller to
 * close; untouched where there is none. -ENOENT: there should be one. */
int run_drain_left(const struct run_place *place, struct store *store, enum run_state state, struct tail_file *ret_tail,
                   struct failure *failure);
/* Analyses all of the store. */
int run_analyse(struct store *store, struct analysis **ret_analysis, struct failure *failure);
/* The entries up to last_seq alone. */
int run_analyse_until(struct store *store, uint64_t last_seq, struct analysis **ret_analysis, struct failure *failure);
/* What it comes to, no more. */
int run_summarize(struct store *store, struct analysis_summary *ret_summary, struct failure *failure);
/* The same without what lies in these ranges. */
int run_analyse_without(struct store *store, const struct run_range *ranges, size_t count, struct analysis **ret_analysis,
                        struct failure *failure);
/* Where the entries begin in the feed at `path`. */
int run_feed_cursor(const char *path, uint64_t *ret_cursor, struct failure *failure);

/* run_regions.c: atomic regions that were taken back. */
/* What the store says was taken back in earlier attempts is left out of the analysis. */
int run_regions_skip(struct store *store, struct analysis *analysis, struct failure *failure);
int run_ranges_skip(struct analysis *analysis, const struct run_range *ranges, size_t count, struct failure *failure);
/* Takes back what is unfinished, and analyses again without it. On failure *analysis may be NULL: it is freed. */
int run_regions_undo(struct run_attempt *attempt, struct analysis **analysis, struct failure *failure);
/* In the transaction in which the attempt begins: a crash before it leaves the region unfinished, and taking it back
 * again changes nothing. */
int run_regions_remember(struct run_attempt *attempt, struct failure *failure);

/* run_failure.c: what failed at the end of a run that has exited. */
struct failed_effect;
/* analysis: of all that counts. *ret_left: the analysis without what is to be forgotten, for the caller to free; NULL where
 * ret_failed->kind is FAILED_NOTHING. by_hand: somebody asked for it, and what others have done since, or what must not be
 * done twice, is no reason against it. */
int run_failure_find(struct run_attempt *attempt, const struct analysis *analysis, bool by_hand,
                     struct failed_effect *ret_failed, struct analysis **ret_left, struct failure *failure);
#define RUN_FAILURE_TEXT_SIZE 1024
/* "the command false", "the request ...": for a line. */
void run_failure_text(struct run_attempt *attempt, const struct failed_effect *failed, char ret_text[RUN_FAILURE_TEXT_SIZE]);
/* After run_regions_undo(): forgets what failed and what followed, from this attempt on, says so, and analyses again. On failure
 * *analysis may be NULL: it is freed. */
int run_failure_forget(struct run_attempt *attempt, const struct failed_effect *failed, struct analysis **analysis,
                       struct failure *failure);
/* The status is that of a shell whose command somebody ended by a signal. */
bool run_failure_was_ended(int status);

/* run_tail.c: what the new tail begins with. */
struct run_beginning {
  enum tail_mode mode;
  uint64_t base;
  uint64_t feed_size;
  uint64_t feed_cursor; /* where the feed's entries begin */
  uint32_t stream_next;
  uint32_t noted;
  int32_t pid_seen;
  const struct analysis_summary *summary; /* NULL: a new run */
  const struct run_outer_before *before;  /* NULL: a new run */
  const struct verdict *verdicts;         /* those that happened get their RESULT */
  size_t verdict_count;
};
/* Makes the attempt's tail under another name, complete with ATTEMPT and RESULT entries, and renames
 * it: a crash leaves the old tail or the new one whole. */
int run_tail_make(struct run_attempt *attempt, const struct run_beginning *beginning,
                  struct failure *failure);

/* run_conclude.c: after the end of the program and the drain: state, lines, tidying. */
int run_conclude(struct run_attempt *attempt, const struct run_end *end, int *ret_status,
                 struct failure *failure);
/* The program has exited, and that or what it did last cannot be stored, because of `why`. Returns `error`. */
int run_fail_unstored(const struct run_attempt *attempt, int error, const struct failure *why, int *ret_status,
                      struct failure *failure);
/* Writes down that the program has exited, and removes what only an unfinished run needs. */
int run_finish(struct run_attempt *attempt, int exit_status, struct failure *failure);
/* Removes what a finished run does not need: run_place_tidy(). */
int run_tidy(struct run_attempt *attempt, struct failure *failure);
/* Does it keep what verify --replay needs of changed files after its end? */
int run_get_replayable(struct store *store, bool *ret_replayable, struct failure *failure);
int run_set_state(struct store *store, enum run_state state, struct failure *failure);
/* -ENOENT: the store was never finished: the run never began. */
int run_get_state(struct store *store, enum run_state *ret_state, struct failure *failure);

/* run_skipped.c: says which commands have ended and are not run again; nothing where there are none. */
void run_skipped_say(const struct run_attempt *attempt, const struct analysis *analysis);

/* run_report.c: says in one line why the shim stopped the program; the exit status for it. */
int run_report_say(const struct run_attempt *attempt, const struct tail_report *report);
/* A copy of the entry at `position`, its secrets hidden, for the caller to free. */
int run_report_find(struct store *store, uint64_t position, struct journal_entry **ret_entry, uint64_t *ret_seq);
/* The entry at `position`, as log prints it, with its seq. */
int run_report_entry(struct store *store, uint64_t position, uint64_t *ret_seq, char *ret_line,
                     size_t size);

/* run_verify.c uses it too: supervises the prepared program to its end. drained: the tail goes into
 * the store meanwhile, and whole at the end. */
int run_attempt_run(struct run_attempt *attempt, bool drained, struct run_end *ret_end,
                    int *ret_status, struct failure *failure);
/* The place, and the owner's lock. */
int run_attempt_open(struct run_attempt *attempt, const struct run_options *options,
                     struct failure *failure);
void run_attempt_release(struct run_attempt *attempt);

#endif
