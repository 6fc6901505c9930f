/* SPDX-License-Identifier: Apache-2.0 */
/* One lane: undisturbed runs first, then point after point as the sweep hands them out. Writes only
 * in the lane's directory, and moves what differs out of it. */
#include "supervisor/check_lane.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A difference is believed only if bare runs, made after it, do not differ there themselves: a
 * clock that shows seconds stands still between two runs in a row. */
#define CONFIRM_RUNS 2

static int send_message(const struct check_lane *lane, const struct check_message *message,
                        struct failure *failure)
{
  ssize_t sent;

  do
    sent = send(lane->socket, message, sizeof *message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? failure_set(failure, -errno, "the sweep has gone: %s", strerror(errno)) : 0;
}

/* The first difference, if there is one. */
struct first {
  bool any;
  char text[1400];
};

static bool take_first(const struct check_difference *difference, void *context)
{
  struct first *first = context;

  check_difference_print(difference, first->text, sizeof first->text);
  first->any = true;
  return false;
}

struct masking {
  struct check_lane *lane;
  bool new;
  int error;
  struct failure *failure;
};

/* Leaves out what two bare runs differ in, and says so. */
static bool mask_difference(const struct check_difference *difference, void *context)
{
  struct check_message message = {.kind = CHECK_MESSAGE_LEFT_OUT};
  struct masking *masking = context;
  bool new = false;

  masking->error = check_mask_add(&masking->lane->mask, difference, &new);
  if (masking->error < 0)
    failure_set(masking->failure, masking->error, "out of memory; free some");
  else if (new) {
    masking->new = true;
    check_mask_print(difference, message.text, sizeof message.text);
    masking->error = send_message(masking->lane, &message, masking->failure);
  }
  return masking->error == 0;
}

/* One more bare run. *ret_new: it differs from the first in something that was compared so far. */
static int learn_from_bare_run(struct check_lane *lane, bool *ret_new, struct failure *failure)
{
  struct masking masking = {.lane = lane, .failure = failure};
  struct check_outcome again;
  int error = check_bare_run(lane, "bare-again", &again, failure);

  if (error < 0)
    return error;
  error =
      check_outcome_compare(&lane->bare, &again, &lane->mask, mask_difference, &masking, failure);
  check_outcome_release(&again);
  if (error == 0)
    error = masking.error;
  if (error == 0)
    *ret_new = masking.new;
  return error;
}

/* Compares, and looks again for what differs by itself. The trees must not lie in lane-K/work. */
static int compare_for_sure(struct check_lane *lane, const struct check_outcome *expected,
                            const struct check_outcome *came, struct first *ret_first,
                            struct failure *failure)
{
  struct first first;
  int error;
  bool new;

  do {
    new = false;
    first = (struct first){0};
    error = check_outcome_compare(expected, came, &lane->mask, take_first, &first, failure);
    for (int run = 0; error == 0 && first.any && !new && run < CONFIRM_RUNS; run++)
      error = learn_from_bare_run(lane, &new, failure);
  } while (error == 0 && new);
  if (error == 0)
    *ret_first = first;
  return error;
}

/* perdure's own exit statuses, where the bare command has another. */
static int check_perdure_worked(const struct check_lane *lane, const struct check_outcome *outcome,
                                const char *last_line, struct failure *failure)
{
  static const char own[] = "perdure: ";

  if (outcome->status != 125 || lane->bare.status == 125)
    return 0;
  if (strncmp(last_line, own, sizeof own - 1) == 0)
    last_line += sizeof own - 1;
  return failure_set(failure, -EIO, "%s", last_line[0] != '\0' ? last_line : "perdure run failed");
}

/* Runs under perdure, with nothing killed; must be as bare. */
static int run_undisturbed(struct check_lane *lane, bool to_file, struct check_message *ready,
                           struct failure *failure)
{
  struct check_outcome *outcome = &lane->undisturbed[to_file];
  uint64_t points = 0;
  char last_line[512];
  struct first first;
  int error =
      check_undisturbed_run(lane, to_file, outcome, &points, last_line, sizeof last_line, failure);

  if (error == 0)
    error = check_perdure_worked(lane, outcome, last_line, failure);
  if (error == 0)
    error = compare_for_sure(lane, &lane->bare, outcome, &first, failure);
  if (error < 0)
    return error;
  if (points > ready->number)
    ready->number = points;
  if (first.any && ready->same) {
    ready->same = false;
    snprintf(ready->text, sizeof ready->text, "%s%s%.600s", first.text,
             last_line[0] != '\0' ? "; " : "", last_line);
  }
  return 0;
}

static int prepare(struct check_lane *lane, struct failure *failure)
{
  struct check_message ready = {.kind = CHECK_MESSAGE_READY, .same = true};
  bool new;
  int error = check_bare_run(lane, "bare", &lane->bare, failure);

  if (error < 0)
    return error;
  if (!lane->bare.by_command)
    lane->mask.stable = &lane->bare.tree;
  error = learn_from_bare_run(lane, &new, failure);
  for (int to_file = 0; error == 0 && to_file < 2; to_file++)
    error = run_undisturbed(lane, to_file != 0, &ready, failure);
  return error < 0 ? error : send_message(lane, &ready, failure);
}

static void keep_bytes(const char *directory, const char *name, const struct check_bytes *bytes)
{
  char path[PATH_MAX];
  FILE *file;

  check_lane_path(directory, name, path);
  file = fopen(path, "we");
  if (file == NULL)
    return;
  fwrite(bytes->bytes, 1, bytes->length, file);
  fclose(file);
}

/* Moves what a trial left to a place of its own, for a person to look at. What cannot be kept is
 * not: the difference is reported all the same. */
static void keep(struct check_lane *lane, uint64_t point, enum check_trial trial, const char *came,
                 const struct check_trial_end *end, char *ret_kept)
{
  char name[64], from[PATH_MAX], to[PATH_MAX], perdure[PATH_MAX];

  ret_kept[0] = '\0';
  if (lane->kept_count++ >= CHECK_SHOWN_MAX)
    return;
  snprintf(name, sizeof name, "point-%" PRIu64 "-trial-%d", point, (int)trial + 1);
  check_lane_path(lane->scratch, name, ret_kept);
  check_lane_path(ret_kept, "work", to);
  if (mkdir(ret_kept, 0700) < 0 || rename(came, to) < 0) {
    ret_kept[0] = '\0';
    return;
  }
  check_lane_path(ret_kept, "perdure", perdure);
  check_lane_path(perdure, "runs", to);
  check_lane_path(lane->perdure, "runs", from);
  mkdir(perdure, 0700);
  rename(from, to);
  if (end->ended) {
    keep_bytes(ret_kept, "stdout", &end->outcome.out);
    keep_bytes(ret_kept, "stderr", &end->outcome.err);
  }
}

static int try_once(struct check_lane *lane, uint64_t point, enum check_trial trial,
                    struct check_message *message, struct failure *failure)
{
  bool to_file = check_trial_to_file(point, trial);
  struct check_trial_end end = {0};
  char came[PATH_MAX];
  struct first first = {0};
  int error = check_trial_run(lane, point, trial, &end, failure);

  if (error < 0)
    return error;
  check_lane_path(lane->root, CHECK_CAME, came);
  message->trial = trial;
  message->reached = message->reached || end.reached;
  if (end.ended)
    error = compare_for_sure(lane, &lane->undisturbed[to_file], &end.outcome, &first, failure);
  if (error == 0 && (!end.ended || first.any)) {
    message->same = false;
    snprintf(message->text, sizeof message->text, "%s%s%.600s", end.ended ? first.text : end.text,
             end.last_line[0] != '\0' ? "; " : "", end.last_line);
    keep(lane, point, trial, end.ended ? came : lane->work, &end, message->kept);
  }
  check_outcome_release(&end.outcome);
  return error;
}

/* Both trials; the second only if the first is the same, as the point is different anyhow. */
static int try_point(struct check_lane *lane, uint64_t point, struct failure *failure)
{
  struct check_message message = {.kind = CHECK_MESSAGE_POINT, .number = point, .same = true};
  int error = 0;

  for (int trial = 0; error == 0 && message.same && trial < CHECK_TRIAL_COUNT; trial++)
    error = try_once(lane, point, (enum check_trial)trial, &message, failure);
  return error < 0 ? error : send_message(lane, &message, failure);
}

/* The next point; false: the sweep wants no more. */
static bool next_point(const struct check_lane *lane, uint64_t *ret_point)
{
  ssize_t length;

  do
    length = recv(lane->socket, ret_point, sizeof *ret_point, 0);
  while (length < 0 && errno == EINTR);
  return length == (ssize_t)sizeof *ret_point;
}

/* Standard input for the command: a regular file is read anew by each attempt, from where it
 * stands. Anything else can be read only once, and is not given to it. */
static void choose_stdin(struct check_lane *lane)
{
  static char path[64];
  struct stat status;
  int fd;

  lane->stdin_path = "/dev/null";
  if (fstat(STDIN_FILENO, &status) < 0 || !S_ISREG(status.st_mode))
    return;
  /* The commands get another standard input: the file stays known under this process's. */
  fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (fd < 0)
    return;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
  lane->stdin_path = path;
  lane->stdin_offset = lseek(STDIN_FILENO, 0, SEEK_CUR);
}

static int open_lane(struct check_lane *lane, unsigned number, struct failure *failure)
{
  char name[32];

  snprintf(name, sizeof name, "lane-%u", number);
  check_lane_path(lane->scratch, name, lane->root);
  check_lane_path(lane->scratch, "from", lane->from);
  check_lane_path(lane->root, "work", lane->work);
  check_lane_path(lane->root, "perdure", lane->perdure);
  check_lane_path(lane->root, "stdout", lane->stdout_file);
  if (mkdir(lane->root, 0700) < 0 || mkdir(lane->perdure, 0700) < 0)
    return failure_set(failure, -errno, "cannot make %s: %s", lane->root, strerror(errno));
  choose_stdin(lane);
  return check_attempt_prepare(failure);
}

int check_lane_run(const struct check_options *options, const char *scratch, unsigned number,
                   int socket)
{
  struct check_lane *lane = calloc(1, sizeof *lane);
  struct check_message failed = {.kind = CHECK_MESSAGE_FAILED};
  struct failure failure, ignored;
  uint64_t point;
  int error;

  /* When the sweep dies, SIGTERM ends the running command, as it does when the sweep sends it. */
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (lane == NULL)
    return 1;
  lane->options = options;
  lane->scratch = scratch;
  lane->socket = socket;
  error = open_lane(lane, number, &failure);
  if (error == 0)
    error = prepare(lane, &failure);
  while (error == 0 && next_point(lane, &point))
    error = try_point(lane, point, &failure);
  if (error < 0 && error != -EINTR) {
    strcpy(failed.text, failure.text);
    send_message(lane, &failed, &ignored);
  }
  return error < 0;
}
