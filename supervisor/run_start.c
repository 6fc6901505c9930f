/* SPDX-License-Identifier: Apache-2.0 */
/* From the command line to the program's exit status: run_start(). See run.h for what a crash leaves. */
#include "supervisor/replication.h"
#include "supervisor/run_interrupt.h"
#include "supervisor/run_leave.h"
#include "supervisor/run_progress.h"
#include "supervisor/run_replicas.h"
#include "supervisor/run_replication.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void say_list(void (*say)(enum run_loudness loudness, const char *line, void *context), void *context,
              enum run_loudness loudness, const char *format, va_list arguments)
{
  char line[4096];

  vsnprintf(line, sizeof line, format, arguments);
  say(loudness, line, context);
}

void run_say(const struct run_attempt *attempt, enum run_loudness loudness, const char *format, ...)
{
  va_list arguments;

  va_start(arguments, format);
  say_list(attempt->options->say, attempt->options->context, loudness, format, arguments);
  va_end(arguments);
}

int run_attempt_open(struct run_attempt *attempt, const struct run_options *options,
                     struct failure *failure)
{
  char base[PATH_MAX], made_id[RUN_ID_SIZE], *cwd;
  const char *id = options->id;
  int error;

  *attempt = (struct run_attempt){
    .options = options, .tail.fd = -1, .lock = {.owner_fd = -1, .tree_fd = -1},
  };
  run_inherit(&attempt->inherited);
  error = run_outer_inherited(&attempt->open_before, failure);
  if (error == 0)
    error = run_place_base(options->directory, base, failure);
  if (error < 0)
    return error;
  if (id == NULL) {
    cwd = getcwd(NULL, 0);
    if (cwd == NULL)
      return failure_set(failure, -errno, "the working directory is gone: %s; go to another one",
                         strerror(errno));
    run_id_make(options->argv, cwd, made_id);
    free(cwd);
    id = made_id;
  }
  error = options->argv == NULL ? run_place_existing(base, id, &attempt->place, failure)
                                : run_place_find(base, id, &attempt->place, failure);
  return error < 0 ? error : run_lock_own(&attempt->place, &attempt->lock, failure);
}

void run_attempt_release(struct run_attempt *attempt)
{
  if (attempt->tail.header != NULL)
    tail_file_close(&attempt->tail);
  store_close(attempt->store);
  run_replicas_forget(attempt);
  free(attempt->environment);
  free(attempt->retry.rules);
  run_recipe_release(&attempt->recipe);
  run_lock_release(&attempt->lock);
}

static void drain_reported(const struct failure *failure, void *context)
{
  const struct run_attempt *attempt = context;

  if (failure != NULL)
    run_say(attempt, SAY_ERROR, "run %s: %s; nothing is lost: the program waits when the tail is full, "
            "and goes on when it works again", attempt->place.id, failure->text);
  else
    run_say(attempt, SAY_ERROR, "run %s: the journal can be stored again", attempt->place.id);
}

/* Shows the run's processes that this one lives, until supervisor_rests(). */
static int supervisor_lives(struct tail_header *header)
{
  pthread_mutexattr_t kind;
  int error = pthread_mutexattr_init(&kind);

  if (error != 0)
    return -error;
  pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
  error = pthread_mutex_init(&header->supervisor_lives, &kind);
  pthread_mutexattr_destroy(&kind);
  return error != 0 ? -error : -pthread_mutex_lock(&header->supervisor_lives);
}

static void supervisor_rests(struct tail_header *header)
{
  pthread_mutex_unlock(&header->supervisor_lives);
}

/* With --detach: has the program exited for good, and have those that it has left come past their replay? */
static bool leaves(const void *context, const struct run_end *end)
{
  const struct run_attempt *attempt = context;

  return attempt->detach && !end->killed && atomic_load(&attempt->tail.header->report.code) == TAIL_REPORT_NONE &&
         !run_retry_wants_exit(attempt, end->status) && run_leave_possible(attempt->tail.header);
}

int run_attempt_run(struct run_attempt *attempt, bool drained, struct run_end *ret_end,
                    int *ret_status, struct failure *failure)
{
  struct run_spawn spawn = {
    .recipe = &attempt->recipe, .open_before = &attempt->open_before,
    .descriptors = &attempt->descriptors, .inherited = &attempt->inherited,
    .lock_fd = attempt->lock.tree_fd, .lock_number = attempt->lock_number,
  };
  struct drain *drain = NULL;
  struct failure drain_failure;
  char tail_path[PATH_MAX];
  pid_t pid;
  int error, drain_error = 0;

  run_place_path(&attempt->place, "tail", tail_path);
  error = run_environment_make(&attempt->recipe, tail_path, &attempt->environment, failure);
  if (error < 0)
    return error;
  spawn.environment = attempt->environment;
  run_supervise();
  error = supervisor_lives(attempt->tail.header);
  if (error < 0)
    return failure_set(failure, error, "cannot supervise the run: %s; free some memory", strerror(-error));
  if (drained)
    error = drain_start(&attempt->tail, attempt->store, drain_reported, attempt, &drain, failure);
  if (error == 0 && drained)
    error = run_replication_start(attempt, failure);
  if (error < 0) {
    struct failure ignored;

    supervisor_rests(attempt->tail.header);
    if (drain != NULL)
      drain_stop(drain, &ignored);
    return error;
  }
  error = run_spawn(&spawn, &pid, ret_status, failure);
  if (error == 0) {
    attempt->spawned = true;
    if (attempt->replication)
      replication_watch(attempt->replication, pid);
    const struct run_leaving leaving = {leaves, attempt};
    struct run_progress_thread *progress = run_progress_start(attempt);
    error = run_wait(pid, &leaving, ret_end, failure);
    run_progress_stop(progress);
    if (error == 0 && ret_end->left)
      run_leave(attempt->tail.header);
    if (error < 0) { /* it must not go on unwatched */
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
    }
    /* The rest of the tree dies with it: it must not go on while its journal is concluded. */
    if (error < 0 || ret_end->killed || ret_end->interrupted) {
      struct failure ignored;

      run_lock_end_tree(&attempt->place, &attempt->lock, &ignored);
    }
  }
  supervisor_rests(attempt->tail.header);
  if (drain != NULL)
    drain_error = drain_stop(drain, &drain_failure);
  if (error == 0 && run_replication_halt(attempt, &drain_failure) < 0) {
    *ret_status = RUN_EXIT_FAILED;
    return failure_set(failure, -ESTALE, "run %s: %.800s; it is ended here, and nothing more of it is done", attempt->place.id,
                       drain_failure.text);
  }
  if (error == 0 && drain_error < 0)
    return run_fail_unstored(attempt, drain_error, &drain_failure, ret_status, failure);
  return error;
}

static bool same_command(char *const *given, char *const *recorded)
{
  /* A text without #! is recorded as what execvp makes of it. */
  if (strcmp(recorded[0], "/bin/sh") == 0 && strcmp(given[0], "/bin/sh") != 0 && recorded[1] != NULL) {
    given++;
    recorded += 2;
  }
  for (; *given != NULL && *recorded != NULL; given++, recorded++)
    if (strcmp(*given, *recorded) != 0)
      return false;
  return *given == NULL && *recorded == NULL;
}

static int check_command(struct run_attempt *attempt, struct failure *failure)
{
  char **recorded;
  int error;

  if (attempt->options->argv == NULL || attempt->options->id == NULL)
    return 0;
  error = store_strings(attempt->store, "argument", &recorded, failure);
  if (error < 0)
    return error;
  if (recorded[0] != NULL && !same_command(attempt->options->argv, recorded))
    error = failure_set(failure, -EINVAL, "run %s was begun with another command (%.200s ...): it "
                        "cannot go on with this one; give another --id, or `perdure rm %s` first",
                        attempt->place.id, recorded[0], attempt->place.id);
  free(recorded);
  return error;
}

enum begin { BEGIN_NEW, BEGIN_AGAIN, BEGIN_NOTHING };

/* What is to be done about what lies in the run's directory. */
static int look_at_run(struct run_attempt *attempt, enum begin *ret_begin, int *ret_status,
                       struct failure *failure)
{
  enum run_state state;
  char path[PATH_MAX];
  int64_t status;
  int error;

  *ret_begin = BEGIN_NEW;
  run_place_path(&attempt->place, "run.db", path);
  if (access(path, F_OK) < 0 && errno == ENOENT)
    return 0;
  error = store_open(path, false, &attempt->store, failure);
  if (error == 0)
    error = run_get_state(attempt->store, &state, failure);
  if (error == -ENOENT && attempt->store != NULL && attempt->options->argv != NULL)
    return 0; /* made, and died before the program was started */
  if (error == 0)
    error = check_command(attempt, failure);
  if (error < 0) {
    run_advise_for(failure, error);
    return error;
  }
  *ret_begin = BEGIN_AGAIN;
  if (state != RUN_STATE_FINISHED || attempt->options->from_failure)
    return 0;
  if (attempt->options->id == NULL) {
    *ret_begin = BEGIN_NEW;
    return 0;
  }
  error = store_meta_number(attempt->store, "exit_status", &status, failure);
  if (error == 0)
    error = run_tidy(attempt, failure);
  if (error < 0)
    return error;
  *ret_begin = BEGIN_NOTHING;
  *ret_status = (int)status;
  run_say(attempt, SAY_NOTICE, "run %s has finished with status %d already; nothing is run",
          attempt->place.id, (int)status);
  return 0;
}

/* One attempt. */
static int begin_and_run(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  struct run_end end;
  enum begin begin = BEGIN_NOTHING;
  bool over = false;
  int error = run_replication_begin(attempt, failure);

  if (error == 0)
    error = look_at_run(attempt, &begin, ret_status, failure);
  attempt->retry.again = false;
  if (error < 0 || begin == BEGIN_NOTHING)
    return error;
  if (begin == BEGIN_NEW) {
    store_close(attempt->store);
    attempt->store = NULL;
    error = run_prepare(attempt, ret_status, failure);
  } else {
    error = run_resume(attempt, &over, ret_status, failure);
  }
  if (error < 0 || over)
    return error;
  error = run_attempt_run(attempt, true, &end, ret_status, failure);
  if (error == 0) {
    *ret_status = RUN_EXIT_FAILED;
    return run_conclude(attempt, &end, ret_status, failure);
  }
  if (begin == BEGIN_NEW && !attempt->spawned) { /* nothing has begun */
    struct failure ignored;

    store_meta_number(attempt->store, "created_ns", &attempt->born_ns, &ignored);
    store_close(attempt->store);
    attempt->store = NULL;
    run_replication_finish(attempt);
    run_replicas_reset(attempt, &ignored);
    run_place_clear(&attempt->place, &ignored);
  }
  return error;
}

/* The same, with the run's other store. */
static int one_attempt(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  int error = begin_and_run(attempt, ret_status, failure);

  run_replication_finish(attempt);
  return error;
}

/* Attempts, until one ends as it is to end, or the policy or a person ends the waiting. */
static int run_attempts(struct run_attempt *attempt, int *ret_status, struct failure *failure)
{
  int signal, error = one_attempt(attempt, ret_status, failure);

  while (error == 0 && attempt->retry.again) {
    if (!run_retry_wait(attempt, &signal)) {
      if (signal == RUN_INTERRUPT_SIGNAL) {
        *ret_status = RUN_INTERRUPTED_STATUS;
        run_say(attempt, SAY_NOTICE, "run %s: interrupted while it waited; the same command goes on with it",
                attempt->place.id);
        break;
      }
      *ret_status = 128 + signal;
      run_say(attempt, SAY_NOTICE, "run %s: ended by signal %d (%s) while it waited; the same command goes on "
              "with it", attempt->place.id, signal, strsignal(signal));
      break;
    }
    *ret_status = RUN_EXIT_FAILED;
    error = run_retry_prepare(attempt, failure);
    if (error == 0)
      error = one_attempt(attempt, ret_status, failure);
  }
  return error;
}

int run_start(const struct run_options *options, int *ret_status, struct failure *failure)
{
  struct run_attempt *attempt = malloc(sizeof *attempt);
  int error;

  *ret_status = RUN_EXIT_FAILED;
  if (attempt == NULL)
    return failure_set(failure, -ENOMEM, "cannot start: out of memory; free some");
  error = run_attempt_open(attempt, options, failure);
  run_interrupt_expect();
  if (error == 0)
    error = run_attempts(attempt, ret_status, failure);
  if (error < 0)
    run_advise_for(failure, error);
  if (attempt->lock.owner_fd >= 0)
    run_place_forget_empty(&attempt->place);
  run_attempt_release(attempt);
  free(attempt);
  return error;
}
