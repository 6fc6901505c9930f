/* SPDX-License-Identifier: Apache-2.0 */
/* A run's life: from a command line to the program's exit status, over as many attempts as it takes.
 *
 * In the order in which an attempt goes through them:
 *   run_place     where the run lies, and under which name
 *   run_lock      nobody else supervises it, and nothing of an earlier attempt lives
 *   run_recipe    how the program is started: recorded once, the same in every attempt
 *   run_prepare   a new run's store and tail; or run_resume: what the journal says, and the feed
 *   run_outer     what the run was started with: standard input, output, and other descriptors
 *   run_spawn     the program's process
 *   run_progress  which commands have ended and which one runs, for whoever wants to know meanwhile
 *   run_wait      signals and job control while it runs
 *   run_conclude  how it ended: the state, the line for a person, the exit status
 *   run_failure   it has exited with a failure: what failed, and from where it can be tried again
 *   run_retry     it has died or failed: is there to be another attempt, and when
 *
 * A crash at any line leaves a run that run_start() goes on with: the state in the store moves only
 * after the journal is whole there, and a new attempt's tail replaces the old one by rename, after
 * the old one is in the store.
 */
#ifndef PERDURE_SUPERVISOR_RUN_H
#define PERDURE_SUPERVISOR_RUN_H

#include "supervisor/run_place.h"
#include "supervisor/store.h"

#include <stdarg.h>

#include <stdbool.h>

/* Exit statuses that are perdure's own. */
enum run_exit {
  RUN_EXIT_DIVERGED = 120,
  RUN_EXIT_UNKNOWN = 121,
  RUN_EXIT_FAILED = 125,
  RUN_EXIT_NOT_EXECUTABLE = 126,
  RUN_EXIT_NOT_FOUND = 127,
};

enum run_state {
#define RUN_STATE(NAME, name, why) RUN_STATE_##NAME,
#include "supervisor/run_states.def"
#undef RUN_STATE
};
/* Static string. */
const char *run_state_name(enum run_state state);
/* -1: no such state. */
int run_state_named(const char *name);

enum run_output {
#define RUN_OUTPUT(NAME, name, why) RUN_OUTPUT_##NAME,
#include "supervisor/run_output.def"
#undef RUN_OUTPUT
};
const char *run_output_name(enum run_output output);
int run_output_named(const char *name);
/* enum tail_sync by its name; -1: no such. */
int run_sync_named(const char *name);
const char *run_sync_name(unsigned sync);

/* How loud a line is: SAY_ERROR always, SAY_NOTICE unless quiet, SAY_DETAIL if asked for. */
enum run_loudness { SAY_ERROR, SAY_NOTICE, SAY_DETAIL };

/* Says one line, made as by vprintf(). */
void say_list(void (*say)(enum run_loudness loudness, const char *line, void *context), void *context,
              enum run_loudness loudness, const char *format, va_list arguments);

/* The commands of a live run. */
struct run_progress {
  uint64_t done;       /* have ended, in all attempts */
  const char *running; /* the one that began last of those that run, quoted for a shell; "": none */
};

struct run_options {
  const char *id;        /* NULL: made from the command */
  const char *directory; /* perdure's directory; NULL: from the environment */
  const char *shim;      /* absolute path of the shim */
  char *const *argv;     /* the command; NULL: the recorded one (resume) */
  int sync;              /* enum tail_sync; -1: as recorded, for a new run `remote` */
  int output;            /* enum run_output; -1: as recorded, for a new run `auto` */
  bool not_idempotent;   /* a remote change of unknown outcome stops the run */
  bool keyless;          /* no Idempotency-Key is added; of a new run only */
  const char *retry;     /* as retry_policy_parse() takes it; NULL: as recorded, else the default */
  const char *retry_rules; /* the text of a file for retry_rules_parse(); NULL: as recorded, else none */
  bool retry_exit;       /* a program that exits with another status than 0 is tried again too; false: as recorded */
  bool detach;           /* a program that has exited leaves what it has started, and the run is over; false: as recorded */
  bool from_failure;     /* resume: of a run that has exited so, what failed is forgotten and runs again */
  bool replayable;       /* what is kept of changed files stays after the end; of a new run only */
  const char *store;     /* another store (redis_address.h); NULL: as recorded, else none */
  const char *replicas;  /* directories of replicas, one to a line; NULL: as recorded, else none */
  unsigned lease_ms;     /* how long this machine is that one's owner of the run without a word; 0: the default */
  unsigned before_remote; /* 1: that one's primary (where there is one) has a remote change's intent before it is made, 2: a replica too, ...; 0: nobody */
  bool stop_on_store_loss; /* rather than wait */
  uint64_t crash_at;     /* kill point that this attempt dies at, from 1; 0: none */
  /* One line for a person, without a newline; also called from the drain's thread. */
  void (*say)(enum run_loudness loudness, const char *line, void *context);
  /* Told again and again, from another thread, how far the run's commands are; NULL at the attempt's end. NULL: nobody wants
   * to know. */
  void (*progress)(const struct run_progress *progress, void *context);
  void *context;
};

/* Starts, goes on with, or reports the run, and waits until its program ends. Returns 0 and the exit
 * status for the caller to exit with; or -errno, failure says why, and *ret_status is the status for
 * it (125, 126, 127). Call it before anything else opens a descriptor. The process is changed for
 * good: working directory, umask, signal mask, limits, child subreaper. */
int run_start(const struct run_options *options, int *ret_status, struct failure *failure);

/* Replays a finished run's journal in verify mode: nothing of the run changes, nothing runs for real.
 * *ret_same: every call came again as it is recorded; if not, `say` got the reason. Uses say, shim,
 * directory and id of the options. -EBUSY: the run is live; -EINVAL: it has not finished. */
int run_verify_replay(const struct run_options *options, bool *ret_same, struct failure *failure);

/* Appends what to do to a failure that does not say it yet. */
void run_advise(struct failure *failure, const char *advice);
/* The same, with what helps against `error` (negative errno). */
void run_advise_for(struct failure *failure, int error);

/* Removes a run and everything of it; ends what is left of its processes unless it has finished.
 * -EBUSY: its supervisor lives. A crash inside: the store goes first, so that what is left counts as
 * a run that never began. */
int run_remove(const struct run_place *place, struct failure *failure);

#endif
