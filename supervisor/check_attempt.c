/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt: its process, its pipes, its end. It writes nothing itself; when this process dies,
 * the command is killed by the kernel (PR_SET_PDEATHSIG). */
#include "supervisor/check_attempt.h"

#include "supervisor/clock.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_CHUNK 65536

static sigset_t mask_before; /* what the commands get */
static int signals_fd = -1;

void check_end_release(struct check_end *end)
{
  check_bytes_release(&end->out);
  check_bytes_release(&end->err);
}

int check_attempt_prepare(struct failure *failure)
{
  sigset_t mask;

  sigemptyset(&mask);
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGHUP);
  /* Whoever forked this process may have blocked them: the commands are not to have that. */
  if (sigprocmask(SIG_BLOCK, NULL, &mask_before) < 0)
    return failure_set(failure, -errno, "cannot read the signal mask: %s", strerror(errno));
  for (int signal = 1; signal < NSIG; signal++)
    if (sigismember(&mask, signal) == 1 || signal == SIGCHLD)
      sigdelset(&mask_before, signal);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  signals_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
    return failure_set(failure, -errno, "cannot watch the commands: %s", strerror(errno));
  return 0;
}

/* In the child, up to exec. Errors go to `error_fd`. */
static _Noreturn void become(const struct check_attempt *attempt, int out, int err, int error_fd)
{
  int in, error;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* A session of its own: no terminal that could stop it, and a group that can be killed. */
  setsid();
  in = open(attempt->stdin_path, O_RDONLY | O_CLOEXEC);
  if (in < 0 || (attempt->stdin_offset > 0 && lseek(in, attempt->stdin_offset, SEEK_SET) < 0) ||
      dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 ||
      chdir(attempt->directory) < 0)
    goto failed;
  sigprocmask(SIG_SETMASK, &mask_before, NULL);
  close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
  execvpe(attempt->program, attempt->argv, attempt->environment);
failed:
  error = errno;
  while (write(error_fd, &error, sizeof error) < 0 && errno == EINTR)
    continue;
  _exit(127);
}

/* The parent's ends of the pipes; -1 where there is none. */
struct channels {
  int out, err, error;
};

static void close_all(const int *fds, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (fds[i] >= 0)
      close(fds[i]);
}

static int start(const struct check_attempt *attempt, struct channels *ret_channels, pid_t *ret_pid,
                 struct failure *failure)
{
  enum { OUT_READ, OUT_WRITE, ERR_READ, ERR_WRITE, ERROR_READ, ERROR_WRITE, COUNT };
  int fds[COUNT] = {-1, -1, -1, -1, -1, -1}, error = 0;
  pid_t pid = -1;

  if (attempt->stdout_path != NULL)
    fds[OUT_WRITE] = open(attempt->stdout_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  else if (pipe2(fds + OUT_READ, O_CLOEXEC) < 0)
    fds[OUT_WRITE] = -1;
  if (fds[OUT_WRITE] >= 0 && pipe2(fds + ERR_READ, O_CLOEXEC) == 0 &&
      pipe2(fds + ERROR_READ, O_CLOEXEC) == 0)
    pid = fork();
  if (pid == 0)
    become(attempt, fds[OUT_WRITE], fds[ERR_WRITE], fds[ERROR_WRITE]);
  if (pid < 0) {
    error = failure_set(failure, -errno, "cannot start %s: %s", attempt->program, strerror(errno));
    close_all(fds, COUNT);
    return error;
  }
  close(fds[OUT_WRITE]);
  close(fds[ERR_WRITE]);
  close(fds[ERROR_WRITE]);
  *ret_channels = (struct channels){fds[OUT_READ], fds[ERR_READ], fds[ERROR_READ]};
  *ret_pid = pid;
  return 0;
}

/* One read; at the end, the descriptor is closed and becomes -1. */
static int take_bytes(int *fd, struct check_bytes *bytes, struct failure *failure)
{
  char *grown = realloc(bytes->bytes, bytes->length + READ_CHUNK);
  ssize_t length;

  if (grown == NULL)
    return failure_set(failure, -ENOMEM, "out of memory for what the command prints; free some");
  bytes->bytes = grown;
  length = read(*fd, grown + bytes->length, READ_CHUNK);
  if (length > 0)
    bytes->length += (size_t)length;
  if (bytes->length > CHECK_OUTPUT_BYTES_MAX)
    return failure_set(failure, -EFBIG, "the command prints more than %u MiB; give it less to do",
                       CHECK_OUTPUT_BYTES_MAX >> 20);
  if (length == 0 || (length < 0 && errno != EINTR && errno != EAGAIN)) {
    close(*fd);
    *fd = -1;
  }
  return 0;
}

/* The kernel's list of a process's children is not everywhere: the parent of each process tells. */
static bool kill_children(void)
{
  DIR *directory = opendir("/proc");
  struct dirent *found;
  bool any = false;

  while (directory != NULL && (found = readdir(directory)) != NULL) {
    char path[300], text[512], *after;
    ssize_t length;
    int fd, parent;

    if (!isdigit((unsigned char)found->d_name[0]))
      continue;
    snprintf(path, sizeof path, "/proc/%s/stat", found->d_name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
      close(fd);
    if (length <= 0)
      continue;
    text[length] = '\0';
    after = strrchr(text, ')');
    /* A child of ours keeps its pid until we wait for it. */
    if (after != NULL && sscanf(after + 1, " %*c %d", &parent) == 1 && parent == getpid()) {
      kill(atoi(found->d_name), SIGKILL);
      any = true;
    }
  }
  if (directory != NULL)
    closedir(directory);
  return any;
}

static bool has_children(void)
{
  siginfo_t info;

  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Waits for one child of `which`; takes the end of `pid`. false: there is none, or with WNOHANG
 * none that has ended. */
static bool reap(idtype_t which, pid_t id, int flags, pid_t pid, siginfo_t *died)
{
  siginfo_t info = {0};

  while (waitid(which, (id_t)id, &info, WEXITED | flags) < 0)
    if (errno != EINTR)
      return false;
  if (info.si_pid == pid)
    *died = info;
  return info.si_pid != 0;
}

/* Takes the ends of all that has ended. But a process that was killed stays: while it is not waited
 * for, its number names its group and no other. */
static bool reap_ended(pid_t pid, siginfo_t *died, bool *ret_killed)
{
  siginfo_t info = {0};

  *ret_killed = died->si_pid == 0 &&
                waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                info.si_pid == pid && info.si_code != CLD_EXITED;
  if (*ret_killed)
    return true;
  while (reap(P_ALL, 0, WNOHANG, pid, died))
    continue;
  return has_children();
}

/* Kills the group and whatever has left it, and waits until all are gone: what loses its parent
 * becomes this process's child. */
static void end_all(pid_t pid, siginfo_t *died)
{
  if (died->si_pid == 0) {
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL); /* it may not have come to setsid() yet */
    reap(P_PID, pid, 0, pid, died);
    while (reap(P_PGID, pid, 0, pid, died))
      continue;
  }
  while (has_children() && kill_children())
    reap(P_ALL, 0, 0, pid, died);
}

/* The signal that asks this process to end; 0: none. */
static int read_signals(void)
{
  struct signalfd_siginfo info;
  int asked = 0;

  while (read(signals_fd, &info, sizeof info) == (ssize_t)sizeof info)
    if (info.ssi_signo != SIGCHLD)
      asked = (int)info.ssi_signo;
  return asked;
}

/* Until nothing of the command is alive, or it was killed. 0, or why it was given up: -ETIMEDOUT,
 * -EINTR, another with failure set. */
static int watch(pid_t pid, struct channels *channels, unsigned timeout_s, struct check_end *end,
                 siginfo_t *died, struct failure *failure)
{
  int64_t deadline_ms = clock_ns(CLOCK_MONOTONIC) / 1000000 + (int64_t)timeout_s * 1000, left_ms;
  bool killed;
  int error = 0;

  while (reap_ended(pid, died, &killed)) {
    struct pollfd wait[3] = {
      {.fd = signals_fd, .events = POLLIN},
      {.fd = channels->out, .events = POLLIN},
      {.fd = channels->err, .events = POLLIN},
    };

    if (killed)
      return 0;
    left_ms = deadline_ms - clock_ns(CLOCK_MONOTONIC) / 1000000;
    if (left_ms <= 0)
      return -ETIMEDOUT;
    if (poll(wait, 3, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms) < 0 && errno != EINTR)
      return failure_set(failure, -errno, "cannot wait for the command: %s", strerror(errno));
    if (wait[0].revents != 0 && read_signals() != 0)
      return failure_set(failure, -EINTR, "asked to end");
    if (wait[1].revents != 0)
      error = take_bytes(&channels->out, &end->out, failure);
    if (error == 0 && wait[2].revents != 0)
      error = take_bytes(&channels->err, &end->err, failure);
    if (error < 0)
      return error;
  }
  return 0;
}

/* What is left in a pipe without writers. */
static int take_rest(int *fd, struct check_bytes *bytes, struct failure *failure)
{
  int error = 0;

  while (error == 0 && *fd >= 0) {
    struct pollfd wait = {.fd = *fd, .events = POLLIN};

    /* Nothing to read and no end: somebody else was given the other side. */
    if (poll(&wait, 1, 0) <= 0)
      break;
    error = take_bytes(fd, bytes, failure);
  }
  return error;
}

int check_attempt_run(const struct check_attempt *attempt, struct check_end *ret_end,
                      struct failure *failure)
{
  struct check_end end = {0};
  struct channels channels;
  siginfo_t died = {0};
  int error, exec_error, fds[3];
  pid_t pid = -1;

  assert(signals_fd >= 0);
  error = start(attempt, &channels, &pid, failure);
  if (error < 0)
    return error;
  error = watch(pid, &channels, attempt->timeout_s, &end, &died, failure);
  end_all(pid, &died);
  if (error == -ETIMEDOUT) {
    end.ending = CHECK_HUNG;
    error = 0;
  } else {
    end.ending = died.si_code == CLD_EXITED ? CHECK_ENDED : CHECK_KILLED;
    end.status = died.si_status;
  }
  if (error == 0)
    error = take_rest(&channels.out, &end.out, failure);
  if (error == 0)
    error = take_rest(&channels.err, &end.err, failure);
  if (error == 0 &&
      read(channels.error, &exec_error, sizeof exec_error) == (ssize_t)sizeof exec_error) {
    end.ending = CHECK_NO_START;
    end.status = exec_error;
  }
  memcpy(fds, &channels, sizeof fds);
  close_all(fds, 3);
  if (error < 0)
    check_end_release(&end);
  else
    *ret_end = end;
  return error;
}
