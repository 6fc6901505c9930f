/* SPDX-License-Identifier: Apache-2.0 */
/* The sweep: lanes are started, points handed out, answers gathered. Writes the scratch directory
 * alone, which a crash leaves behind; lanes end when this process does. */
#include "supervisor/check.h"

#include "supervisor/check_lane.h"
#include "supervisor/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANES_MAX 64u
#define NAMES_ROOM 256 /* for the longest path below the scratch directory that is perdure's own */

struct sweep {
  const struct check_options *options;
  struct check_report *report;
  unsigned lane_count, ready_count;
  struct lane_process {
    pid_t pid;
    int socket; /* -1: it has ended, or is to */
  } lanes[LANES_MAX];
  int signals_fd;
  uint64_t handed_out, done;
  uint64_t asked_for, turn;
  int64_t end_ns; /* of the time for it, on the monotonic clock */
  struct failure *failure;
};

static int fail(struct failure *failure, const char *what)
{
  return failure_set(failure, -errno, "cannot %s: %s", what, strerror(errno));
}

static int fail_memory(struct failure *failure)
{
  return failure_set(failure, -ENOMEM, "out of memory; free some");
}

static int make_scratch(const struct check_options *options, char *ret_scratch,
                        struct failure *failure)
{
  const char *parent = getenv("TMPDIR");
  char template[PATH_MAX], from[PATH_MAX];
  struct stat status;
  int error;

  if (parent == NULL || parent[0] == '\0')
    parent = "/tmp";
  if (snprintf(template, sizeof template, "%s/perdure-check-XXXXXX", parent) >=
      (int)sizeof template)
    return failure_set(failure, -ENAMETOOLONG,
                       "the path of $TMPDIR is too long; give a shorter one");
  if (mkdtemp(template) == NULL || realpath(template, ret_scratch) == NULL ||
      stat(ret_scratch, &status) < 0)
    return failure_set(failure, -errno,
                       "cannot make a directory in %s: %s; give another one with TMPDIR", parent,
                       strerror(errno));
  if (strlen(ret_scratch) >= PATH_MAX - NAMES_ROOM)
    error = failure_set(failure, -ENAMETOOLONG,
                        "the path %.200s is too long; give a shorter TMPDIR", ret_scratch);
  else {
    check_lane_path(ret_scratch, "from", from);
    error = check_tree_copy(options->from != NULL ? options->from : ".", from, &status, failure);
  }
  if (error < 0) {
    struct failure ignored;

    check_tree_remove(ret_scratch, &ignored);
    ret_scratch[0] = '\0';
  }
  return error;
}

static int start_lane(struct sweep *sweep, unsigned number)
{
  int sockets[2], status;
  pid_t pid;

  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
    return fail(sweep->failure, "make a socket for a lane");
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    /* Another lane's end of the socket must not stay open here: it would never see the sweep go. */
    for (unsigned i = 0; i < sweep->lane_count; i++)
      close(sweep->lanes[i].socket);
    close(sockets[0]);
    close(sweep->signals_fd);
    status = check_lane_run(sweep->options, sweep->report->scratch, number, sockets[1]);
    _exit(status);
  }
  close(sockets[1]);
  if (pid < 0) {
    close(sockets[0]);
    return fail(sweep->failure, "start a lane");
  }
  sweep->lanes[sweep->lane_count++] = (struct lane_process){pid, sockets[0]};
  return 0;
}

static int start_lanes(struct sweep *sweep)
{
  const struct check_options *options = sweep->options;
  unsigned count = options->jobs < LANES_MAX ? options->jobs : LANES_MAX;
  int error = 0;

  if (options->point > 0)
    count = 1;
  else if (options->points > 0 && options->points < count)
    count = (unsigned)options->points;
  for (unsigned number = 1; error == 0 && number <= count; number++)
    error = start_lane(sweep, number);
  return error;
}

/* Gives the lane its next point, or sends it home. */
static int hand_out(struct sweep *sweep, struct lane_process *lane)
{
  const struct check_options *options = sweep->options;
  struct check_report *report = sweep->report;
  uint64_t point;

  if (options->within_s > 0 && sweep->handed_out > 0 && sweep->handed_out < report->points && clock_ns(CLOCK_MONOTONIC) >= sweep->end_ns) {
    report->points = sweep->handed_out;
    report->time_was_up = true;
  }
  if (sweep->handed_out == report->points) {
    close(lane->socket);
    lane->socket = -1;
    return 0;
  }
  point = options->point > 0
              ? options->point
              : check_point_at(report->total, options->points, check_point_next(sweep->asked_for, &sweep->turn));
  if (send(lane->socket, &point, sizeof point, MSG_NOSIGNAL) < 0)
    return fail(sweep->failure, "reach a lane");
  sweep->handed_out++;
  return 0;
}

static void tell_progress(const struct sweep *sweep)
{
  struct check_progress progress = {
    .points = sweep->report->points, .done = sweep->done, .different = sweep->report->different,
  };

  if (sweep->options->progress != NULL)
    sweep->options->progress(&progress, sweep->options->context);
}

/* All lanes have made their undisturbed runs: the points are known. */
static int begin_points(struct sweep *sweep)
{
  struct check_report *report = sweep->report;
  int error = 0;

  if (report->total == 0)
    return failure_set(sweep->failure, -ENODATA,
                       "the undisturbed run has no kill points: perdure journaled "
                       "nothing of it");
  sweep->asked_for = sweep->options->point > 0 ? 1 : check_point_count(report->total, sweep->options->points);
  report->points = sweep->asked_for;
  tell_progress(sweep);
  for (unsigned i = 0; error == 0 && i < sweep->lane_count; i++)
    error = hand_out(sweep, &sweep->lanes[i]);
  return error;
}

static int take_ready(struct sweep *sweep, const struct check_message *message)
{
  struct check_report *report = sweep->report;

  if (message->number > report->total)
    report->total = message->number;
  if (!message->same && report->uncrashed == NULL) {
    report->uncrashed = strdup(message->text);
    if (report->uncrashed == NULL)
      return fail_memory(sweep->failure);
  }
  return ++sweep->ready_count == sweep->lane_count ? begin_points(sweep) : 0;
}

static int take_left_out(struct sweep *sweep, const struct check_message *message)
{
  struct check_report *report = sweep->report;
  char **grown;

  for (size_t i = 0; i < report->left_out_count; i++)
    if (strcmp(report->left_out[i], message->text) == 0)
      return 0; /* another lane has found it too */
  grown = reallocarray(report->left_out, report->left_out_count + 2, sizeof *grown);
  if (grown == NULL)
    return fail_memory(sweep->failure);
  report->left_out = grown;
  grown[report->left_out_count] = strdup(message->text);
  if (grown[report->left_out_count] == NULL)
    return fail_memory(sweep->failure);
  grown[++report->left_out_count] = NULL;
  return 0;
}

static int show(struct sweep *sweep, const struct check_message *message)
{
  struct check_report *report = sweep->report;
  size_t at = report->shown_count;
  struct check_shown shown = {
    .point = message->number, .trial = message->trial,
    .to_file = check_trial_to_file(message->number, message->trial),
    .second = message->trial == CHECK_KILLED_TWICE ? check_second_point(message->number) : 0,
    .text = strdup(message->text), .kept = strdup(message->kept),
  };

  if (shown.text == NULL || shown.kept == NULL) {
    free(shown.text);
    free(shown.kept);
    return fail_memory(sweep->failure);
  }
  for (; at > 0 && report->shown[at - 1].point > shown.point; at--)
    report->shown[at] = report->shown[at - 1];
  report->shown[at] = shown;
  report->shown_count++;
  return 0;
}

static int take_point(struct sweep *sweep, struct lane_process *lane,
                      const struct check_message *message)
{
  struct check_report *report = sweep->report;
  int error = 0;

  if (message->same)
    report->same++;
  else if (report->different++ < CHECK_SHOWN_MAX)
    error = show(sweep, message);
  if (!message->reached)
    report->not_reached++;
  sweep->done++;
  tell_progress(sweep);
  return error < 0 ? error : hand_out(sweep, lane);
}

static int take_message(struct sweep *sweep, struct lane_process *lane)
{
  struct check_message message;
  ssize_t length = recv(lane->socket, &message, sizeof message, MSG_DONTWAIT);

  if (length < 0 && (errno == EINTR || errno == EAGAIN))
    return 0;
  if (length != (ssize_t)sizeof message)
    return failure_set(sweep->failure, -EIO, "a lane of the sweep ended before its time: it was killed, or failed; begin again");
  switch (message.kind) {
  case CHECK_MESSAGE_READY:
    return take_ready(sweep, &message);
  case CHECK_MESSAGE_LEFT_OUT:
    return take_left_out(sweep, &message);
  case CHECK_MESSAGE_POINT:
    return take_point(sweep, lane, &message);
  case CHECK_MESSAGE_FAILED:
    return failure_set(sweep->failure, -EIO, "%s", message.text);
  }
  assert(!"a message");
  return -EIO;
}

static bool all_home(const struct sweep *sweep)
{
  for (unsigned i = 0; i < sweep->lane_count; i++)
    if (sweep->lanes[i].socket >= 0)
      return false;
  return true;
}

/* Until every point is tried, or something failed, or a signal came. */
static int gather(struct sweep *sweep)
{
  int error = 0;

  while (error == 0 && !all_home(sweep)) {
    struct pollfd wait[LANES_MAX + 1] = {{.fd = sweep->signals_fd, .events = POLLIN}};
    struct signalfd_siginfo info;

    for (unsigned i = 0; i < sweep->lane_count; i++)
      wait[i + 1] = (struct pollfd){.fd = sweep->lanes[i].socket, .events = POLLIN};
    if (poll(wait, sweep->lane_count + 1, -1) < 0 && errno != EINTR)
      return fail(sweep->failure, "wait for the lanes");
    if (wait[0].revents != 0 &&
        read(sweep->signals_fd, &info, sizeof info) == (ssize_t)sizeof info) {
      sweep->report->signal = (int)info.ssi_signo;
      return 0;
    }
    for (unsigned i = 0; error == 0 && i < sweep->lane_count; i++)
      if (wait[i + 1].revents != 0)
        error = take_message(sweep, &sweep->lanes[i]);
  }
  return error;
}

/* Lanes that are still at work end their command and go. */
static void end_lanes(struct sweep *sweep)
{
  for (unsigned i = 0; i < sweep->lane_count; i++) {
    if (sweep->lanes[i].socket >= 0) {
      kill(sweep->lanes[i].pid, SIGTERM);
      close(sweep->lanes[i].socket);
    }
    while (waitpid(sweep->lanes[i].pid, NULL, 0) < 0 && errno == EINTR)
      continue;
  }
}

static int sweep_in_scratch(struct sweep *sweep)
{
  sigset_t mask, before;
  int error;

  sigemptyset(&mask);
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGHUP);
  sigprocmask(SIG_BLOCK, &mask, &before);
  sweep->signals_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (sweep->signals_fd < 0) {
    error = fail(sweep->failure, "watch for signals");
  } else {
    tell_progress(sweep);
    error = start_lanes(sweep);
    if (error == 0)
      error = gather(sweep);
    end_lanes(sweep);
    close(sweep->signals_fd);
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  return error;
}

/* What else went wrong, or came out different, is because of that. */
static int check_scratch_there(const struct sweep *sweep)
{
  struct stat status;
  char from[PATH_MAX];

  check_lane_path(sweep->report->scratch, "from", from);
  if (stat(from, &status) == 0 || errno != ENOENT)
    return 0;
  return failure_set(sweep->failure, -ENOENT, "the sweep's directory %.500s is gone: somebody has removed it; give "
                     "another place with TMPDIR, and begin again", sweep->report->scratch);
}

int check_sweep(const struct check_options *options, struct check_report *ret_report,
                struct failure *failure)
{
  struct check_report report = {0};
  struct sweep sweep = {.options = options, .report = &report, .failure = failure};
  struct failure ignored;
  int error;

  assert(options->jobs > 0 && options->timeout_s > 0);
  sweep.end_ns = clock_ns(CLOCK_MONOTONIC) + options->within_s * INT64_C(1000000000);
  error = make_scratch(options, report.scratch, failure);
  if (error < 0)
    return error;
  error = sweep_in_scratch(&sweep);
  if (report.signal == 0 && check_scratch_there(&sweep) < 0)
    error = -ENOENT;
  if (!options->keep &&
      (error < 0 || report.signal != 0 || (report.different == 0 && report.uncrashed == NULL))) {
    int removed = check_tree_remove(report.scratch, error < 0 ? &ignored : failure);

    if (error == 0 && removed < 0)
      error = removed;
    report.scratch[0] = '\0';
  }
  if (error < 0)
    check_report_release(&report);
  else
    *ret_report = report;
  return error;
}

void check_report_release(struct check_report *report)
{
  for (size_t i = 0; i < report->left_out_count; i++)
    free(report->left_out[i]);
  free(report->left_out);
  for (size_t i = 0; i < report->shown_count; i++) {
    free(report->shown[i].text);
    free(report->shown[i].kept);
  }
  free(report->uncrashed);
  *report = (struct check_report){0};
}
