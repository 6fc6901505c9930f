/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the command, bare or under perdure, in the lane's copy, and takes what it leaves. Writes
 * only in the lane's directory, which is made anew for each run. */
#include "supervisor/check_lane.h"

#include "supervisor/run_place.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_NAME "check"
/* A kill point that never comes: with one, the points of several threads are counted exactly. */
#define CRASH_AT_NEVER UINT64_MAX

static int fail_memory(struct failure *failure)
{
  return failure_set(failure, -ENOMEM, "out of memory; free some");
}

void check_lane_path(const char *directory, const char *name, char *ret_path)
{
  int length = snprintf(ret_path, PATH_MAX, "%s/%s", directory, name);

  assert(length < PATH_MAX); /* the scratch directory's path is checked to leave room */
}

/* The lane's copy as it was in the beginning. */
static int reset_work(struct check_lane *lane, struct failure *failure)
{
  int error = check_tree_remove(lane->work, failure);

  return error < 0 ? error : check_tree_copy(lane->from, lane->work, NULL, failure);
}

/* That, and no run, and no output. */
static int reset_all(struct check_lane *lane, struct failure *failure)
{
  char runs[PATH_MAX];
  int error;

  check_lane_path(lane->perdure, "runs", runs);
  error = check_tree_remove(runs, failure);
  if (error == 0)
    error = check_tree_remove(lane->stdout_file, failure);
  return error < 0 ? error : reset_work(lane, failure);
}

static bool is_variable(const char *entry, const char *name)
{
  size_t length = strlen(name);

  return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/* The environment with PWD as a shell would set it, without what is perdure's alone; crash_at 0:
 * none. One block for free(). */
static char **make_environment(const struct check_lane *lane, bool bare, uint64_t crash_at)
{
  size_t count = 0;
  char **copy, *directory, *kill_point;

  while (environ[count] != NULL)
    count++;
  copy = malloc((count + 2) * sizeof *copy + PATH_MAX + 64);
  if (copy == NULL)
    return NULL;
  directory = (char *)(copy + count + 2);
  kill_point = directory + sprintf(directory, "PWD=%s", lane->work) + 1;
  sprintf(kill_point, "PERDURE_CRASH_AT=%" PRIu64, crash_at);
  count = 0;
  for (char **entry = environ; *entry != NULL; entry++) {
    /* Another store: these are trials, and all of one name. */
    if (is_variable(*entry, "PERDURE_CRASH_AT") || is_variable(*entry, "PERDURE_STORE") ||
        (bare && (is_variable(*entry, "PERDURE_SHIM") || is_variable(*entry, "PERDURE_RUN"))))
      continue;
    copy[count++] = is_variable(*entry, "PWD") ? directory : *entry;
  }
  if (crash_at > 0)
    copy[count++] = kill_point;
  copy[count] = NULL;
  return copy;
}

static int run_in_work(struct check_lane *lane, struct check_attempt *attempt, bool bare,
                       uint64_t crash_at, struct check_end *ret_end, struct failure *failure)
{
  char **environment = make_environment(lane, bare, crash_at);
  int error;

  if (environment == NULL)
    return fail_memory(failure);
  attempt->environment = environment;
  attempt->directory = lane->work;
  attempt->timeout_s = lane->options->timeout_s;
  error = check_attempt_run(attempt, ret_end, failure);
  free(environment);
  return error;
}

/* `perdure run`, this same executable, with the command behind it. */
static int run_under_perdure(struct check_lane *lane, bool to_file, uint64_t crash_at,
                             struct check_end *ret_end, struct failure *failure)
{
  const char *before[] = {"perdure", "run", "--quiet", "--no-retry", "--dir", lane->perdure, "--id", RUN_NAME};
  size_t fixed = sizeof before / sizeof *before, count = 0, at = 0;
  struct check_attempt attempt = {
    .program = "/proc/self/exe", .stdin_path = lane->stdin_path, .stdin_offset = lane->stdin_offset,
    .stdout_path = to_file ? lane->stdout_file : NULL,
  };
  const char **argv;
  int error;

  while (lane->options->command[count] != NULL)
    count++;
  argv = calloc(fixed + count + 4, sizeof *argv);
  if (argv == NULL)
    return fail_memory(failure);
  for (; at < fixed; at++)
    argv[at] = before[at];
  if (lane->options->sync != NULL) {
    argv[at++] = "--sync";
    argv[at++] = lane->options->sync;
  }
  argv[at++] = "--";
  for (size_t i = 0; i < count; i++)
    argv[at++] = lane->options->command[i];
  attempt.argv = (char *const *)argv;
  error = run_in_work(lane, &attempt, false, crash_at, ret_end, failure);
  free(argv);
  return error;
}

static int read_file(const char *path, struct check_bytes *ret_bytes, struct failure *failure)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct check_bytes bytes = {0};
  struct stat status;

  if (fd < 0 || fstat(fd, &status) < 0 || status.st_size > CHECK_OUTPUT_BYTES_MAX ||
      (bytes.bytes = malloc((size_t)status.st_size + 1)) == NULL ||
      read(fd, bytes.bytes, (size_t)status.st_size) != status.st_size) {
    int error = failure_set(failure, errno != 0 ? -errno : -EIO, "cannot read %s: %s", path,
                            strerror(errno));

    free(bytes.bytes);
    if (fd >= 0)
      close(fd);
    return error;
  }
  close(fd);
  bytes.length = (size_t)status.st_size;
  *ret_bytes = bytes;
  return 0;
}

/* Runs the --compare command where the command ran. */
static int run_compare(struct check_lane *lane, struct check_outcome *outcome,
                       struct failure *failure)
{
  char *const argv[] = {(char *)"sh", (char *)"-c", (char *)lane->options->compare, NULL};
  struct check_attempt attempt = {.program = "/bin/sh", .argv = argv, .stdin_path = "/dev/null"};
  struct check_end end;
  int error = run_in_work(lane, &attempt, true, 0, &end, failure);

  if (error < 0)
    return error;
  if (end.ending == CHECK_HUNG)
    error = failure_set(failure, -ETIMEDOUT, "the --compare command does not end within %u s",
                        lane->options->timeout_s);
  outcome->by_command = true;
  outcome->compared = end.out;
  outcome->compared_status = end.ending == CHECK_KILLED ? 128 + end.status : end.status;
  end.out = (struct check_bytes){0};
  check_end_release(&end);
  return error;
}

/* Takes the outcome of a run that has ended in the lane's copy, which is moved to lane-K/NAME. The
 * end's bytes become the outcome's. */
static int take_outcome(struct check_lane *lane, struct check_end *end, const char *name,
                        bool to_file, struct check_outcome *ret_outcome, char *ret_last_line,
                        size_t size, struct failure *failure)
{
  struct check_outcome outcome = {.err = end->err, .out = end->out};
  char path[PATH_MAX];
  int error = 0;

  *end = (struct check_end){.ending = end->ending, .status = end->status};
  outcome.status = end->ending == CHECK_KILLED ? 128 + end->status : end->status;
  check_strip_own_lines(&outcome.err, ret_last_line, size);
  if (to_file)
    error = read_file(lane->stdout_file, &outcome.out, failure);
  if (error == 0 && lane->options->compare != NULL)
    error = run_compare(lane, &outcome, failure);
  check_lane_path(lane->root, name, path);
  if (error == 0)
    error = check_tree_remove(path, failure);
  if (error == 0 && rename(lane->work, path) < 0)
    error = failure_set(failure, -errno, "cannot rename %s: %s", lane->work, strerror(errno));
  if (error == 0 && !outcome.by_command)
    error = check_tree_list(path, &outcome.tree, failure);
  if (error < 0)
    check_outcome_release(&outcome);
  else
    *ret_outcome = outcome;
  return error;
}

static int check_started(const struct check_lane *lane, const struct check_end *end,
                         const char *under, struct failure *failure)
{
  if (end->ending == CHECK_NO_START)
    return failure_set(failure, -end->status, "cannot execute %s: %s", lane->options->command[0],
                       strerror(end->status));
  if (end->ending == CHECK_HUNG)
    return failure_set(
        failure, -ETIMEDOUT,
        "the command, or something that it has started, does not end "
        "within %u s%s, undisturbed; give it less to do, or more time with --timeout",
        lane->options->timeout_s, under);
  return 0;
}

/* Moves a trial's journal from one name in the lane to another. There may be none. */
static int move_runs(struct check_lane *lane, const char *from_name, const char *to_name,
                     struct failure *failure)
{
  char from[PATH_MAX], to[PATH_MAX];

  check_lane_path(lane->root, from_name, from);
  check_lane_path(lane->root, to_name, to);
  if (rename(from, to) < 0 && errno != ENOENT)
    return failure_set(failure, -errno, "cannot rename %s: %s", from, strerror(errno));
  return 0;
}

int check_bare_run(struct check_lane *lane, const char *name, struct check_outcome *ret_outcome,
                   struct failure *failure)
{
  struct check_attempt attempt = {
    .program = lane->options->command[0], .argv = lane->options->command,
    .stdin_path = lane->stdin_path, .stdin_offset = lane->stdin_offset,
  };
  struct check_end end = {0};
  char ignored[8];
  int error = reset_work(lane, failure);

  /* A later bare run finds the lane as the first one did: without a journal beside it. */
  if (error == 0)
    error = move_runs(lane, "perdure/runs", "runs-aside", failure);
  if (error == 0)
    error = run_in_work(lane, &attempt, true, 0, &end, failure);
  if (error == 0)
    error = check_started(lane, &end, "", failure);
  if (error == 0)
    error = take_outcome(lane, &end, name, false, ret_outcome, ignored, sizeof ignored, failure);
  check_end_release(&end);
  return error < 0 ? error : move_runs(lane, "runs-aside", "perdure/runs", failure);
}

static int read_kill_points(const struct check_lane *lane, const char *last_line,
                            uint64_t *ret_points, struct failure *failure)
{
  struct run_place place;
  struct store *store;
  char path[PATH_MAX];
  int64_t points;
  int error = run_place_find(lane->perdure, RUN_NAME, &place, failure);

  if (error < 0)
    return error;
  run_place_path(&place, "run.db", path);
  error = store_open(path, true, &store, failure);
  if (error < 0)
    return last_line[0] != '\0' ? failure_set(failure, error, "%s", last_line) : error;
  error = store_meta_number(store, "crash_points", &points, failure);
  store_close(store);
  if (error == 0)
    *ret_points = (uint64_t)points;
  return error;
}

int check_undisturbed_run(struct check_lane *lane, bool to_file, struct check_outcome *ret_outcome,
                          uint64_t *ret_points, char *ret_last_line, size_t size,
                          struct failure *failure)
{
  struct check_end end;
  int error = reset_all(lane, failure);

  if (error == 0)
    error = run_under_perdure(lane, to_file, CRASH_AT_NEVER, &end, failure);
  if (error < 0)
    return error;
  error = check_started(lane, &end, " under perdure", failure);
  if (error == 0)
    error = take_outcome(lane, &end, to_file ? "file" : "pipe", to_file, ret_outcome, ret_last_line,
                         size, failure);
  check_end_release(&end);
  if (error < 0)
    return error;
  error = read_kill_points(lane, ret_last_line, ret_points, failure);
  if (error < 0)
    check_outcome_release(ret_outcome);
  return error;
}

/* A trial that no attempt brought to an end: why. */
static void say_ending(const struct check_lane *lane, const struct check_end *end, unsigned number,
                       char *ret_text, size_t size)
{
  if (end->ending == CHECK_HUNG)
    snprintf(ret_text, size, "hung: attempt %u did not end within %u s", number,
             lane->options->timeout_s);
  else
    snprintf(ret_text, size, "attempt %u of perdure was killed by signal %d", number, end->status);
}

int check_trial_run(struct check_lane *lane, uint64_t point, enum check_trial trial,
                    struct check_trial_end *ret_end, struct failure *failure)
{
  uint64_t kills[] = {point, trial == CHECK_KILLED_TWICE ? check_second_point(point) : 0, 0};
  unsigned planned = trial == CHECK_KILLED_TWICE ? 2 : 1;
  bool to_file = check_trial_to_file(point, trial);
  int error = reset_all(lane, failure);

  for (unsigned i = 0; error == 0; i++) {
    struct check_trial_end trial_end = {.reached = i > 0};
    struct check_end end;

    error = run_under_perdure(lane, to_file, kills[i], &end, failure);
    if (error < 0)
      return error;
    if (end.ending == CHECK_KILLED && end.status == SIGKILL && i < planned) {
      check_end_release(&end);
      continue;
    }
    trial_end.ended = end.ending == CHECK_ENDED;
    if (trial_end.ended)
      error = take_outcome(lane, &end, CHECK_CAME, to_file, &trial_end.outcome, trial_end.last_line,
                           sizeof trial_end.last_line, failure);
    else if (end.ending == CHECK_NO_START)
      error = failure_set(failure, -end.status, "cannot execute perdure: %s", strerror(end.status));
    else
      say_ending(lane, &end, i + 1, trial_end.text, sizeof trial_end.text);
    check_end_release(&end);
    if (error == 0)
      *ret_end = trial_end;
    return error;
  }
  return error;
}
