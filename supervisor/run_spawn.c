/* SPDX-License-Identifier: Apache-2.0 */
/* fork and exec of the program. Between the two only async-signal-safe calls: the drain's thread may
 * hold any lock. A supervisor that dies here takes the child with it (PR_SET_PDEATHSIG), before or
 * after the exec. */
#include "supervisor/run_spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_NUMBER_LIMIT 1024

/* What the child could not do; sent through a pipe that the exec closes. */
struct child_failure {
  enum child_step { STEP_SIGNAL, STEP_PERSONALITY, STEP_DIRECTORY, STEP_DESCRIPTOR, STEP_LIMIT, STEP_EXEC }
    step;
  int error;
};

static const char *const step_texts[] = {
  [STEP_SIGNAL] = "cannot bind the program's life to perdure's",
  [STEP_PERSONALITY] = "cannot turn address randomization off (personality)",
  [STEP_DIRECTORY] = "cannot go to the run's working directory",
  [STEP_DESCRIPTOR] = "cannot hand over descriptors",
  [STEP_LIMIT] = "cannot set the run's resource limits",
  [STEP_EXEC] = "cannot execute the program",
};

static void raise_soft_limit(int resource)
{
  struct rlimit limit;

  if (getrlimit(resource, &limit) < 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(resource, &limit);
}

void run_inherit(struct run_inherited_state *ret_state)
{
  for (int number = 1; number < NSIG; number++)
    if (sigaction(number, NULL, &ret_state->actions[number]) < 0)
      ret_state->actions[number].sa_handler = SIG_DFL; /* glibc's own two */
  sigprocmask(SIG_BLOCK, NULL, &ret_state->mask);
  for (int i = 0; i < (int)RLIM_NLIMITS; i++)
    getrlimit(i, &ret_state->limits.limits[i]);
  ret_state->umask = umask(077);

  raise_soft_limit(RLIMIT_FSIZE);
  raise_soft_limit(RLIMIT_NOFILE);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  /* Inherited as ignored, it would reap our child behind our back. */
  signal(SIGCHLD, SIG_DFL);
}

void run_supervise(void)
{
  static const int handled[] = {SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH,
                                SIGTSTP, SIGCONT};
  sigset_t mask;

  sigemptyset(&mask);
  for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
    sigaddset(&mask, handled[i]);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static bool is_number(const struct run_descriptors *descriptors, int fd)
{
  for (uint32_t i = 0; i < descriptors->count; i++)
    if (descriptors->list[i].fd == fd)
      return true;
  return false;
}

int run_spawn_lock_number(const struct run_limits *limits, const struct run_descriptors *descriptors)
{
  rlim_t soft = limits->limits[RLIMIT_NOFILE].rlim_cur;
  int number = (soft < LOCK_NUMBER_LIMIT ? (int)soft : LOCK_NUMBER_LIMIT) - 1;

  while (number > 3 && is_number(descriptors, number))
    number--;
  return number;
}

/* A copy of fd on a number that the child needs for nothing else. */
static int out_of_the_way(int fd, const struct run_spawn *spawn)
{
  int from = 0, copy;

  for (uint32_t i = 0; i < spawn->descriptors->count; i++)
    if (spawn->descriptors->list[i].fd >= from && spawn->descriptors->list[i].fd < spawn->lock_number)
      from = spawn->descriptors->list[i].fd + 1;
  copy = fcntl(fd, F_DUPFD_CLOEXEC, from);
  if (copy == spawn->lock_number) {
    int above = fcntl(fd, F_DUPFD_CLOEXEC, spawn->lock_number + 1);

    close(copy);
    copy = above;
  }
  return copy;
}

static _Noreturn void child_fail(int report_fd, enum child_step step)
{
  struct child_failure failure = {.step = step, .error = errno};
  ssize_t written = write(report_fd, &failure, sizeof failure);

  (void)written; /* nobody left to tell */
  _exit(RUN_EXIT_FAILED);
}

static int child_limits(const struct run_limits *limits)
{
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
    struct rlimit limit = limits->limits[i], now;

    if (setrlimit(i, &limit) == 0)
      continue;
    /* The machine allows less than at the run's start. */
    if (errno != EPERM || getrlimit(i, &now) < 0)
      return -1;
    limit.rlim_max = now.rlim_max;
    if (limit.rlim_cur > limit.rlim_max)
      limit.rlim_cur = limit.rlim_max;
    if (setrlimit(i, &limit) < 0)
      return -1;
  }
  return 0;
}

static void child_signals(const struct run_inherited_state *inherited)
{
  struct sigaction action = {0};

  for (int signal = 1; signal < NSIG; signal++) {
    if (signal == SIGKILL || signal == SIGSTOP)
      continue;
    action.sa_handler = inherited->actions[signal].sa_handler == SIG_IGN ? SIG_IGN : SIG_DFL;
    sigaction(signal, &action, NULL);
  }
  sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
}

/* What was inherited and is not in the list goes away; stand-ins and the lock come. */
static int child_descriptors(const struct run_spawn *spawn, const int *sources, int lock_source)
{
  for (uint32_t i = 0; i < spawn->open_before->count; i++)
    if (!is_number(spawn->descriptors, spawn->open_before->list[i].fd))
      close(spawn->open_before->list[i].fd);
  for (uint32_t i = 0; i < spawn->descriptors->count; i++)
    if (sources[i] >= 0 && dup2(sources[i], spawn->descriptors->list[i].fd) < 0)
      return -1;
  return dup2(lock_source, spawn->lock_number) < 0 ? -1 : 0;
}

static _Noreturn void child(const struct run_spawn *spawn, const int *sources, int lock_source,
                            int report_fd, pid_t supervisor)
{
  const struct run_recipe *recipe = spawn->recipe;
  int persona = personality(0xffffffff);

  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
    child_fail(report_fd, STEP_SIGNAL);
  if (getppid() != supervisor)
    _exit(RUN_EXIT_FAILED); /* it died before the line above */
  /* From the bottom up: where mappings lie then depends on no stack limit; and with libc at its fixed
   * place under the stack, branches of printf's collide on some processors (a fourth slower). */
  if (persona == -1 ||
      personality((unsigned)persona | ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT) == -1)
    child_fail(report_fd, STEP_PERSONALITY);
  if (chdir(recipe->cwd) < 0)
    child_fail(report_fd, STEP_DIRECTORY);
  umask(recipe->umask);
  if (child_descriptors(spawn, sources, lock_source) < 0)
    child_fail(report_fd, STEP_DESCRIPTOR);
  if (child_limits(&recipe->limits) < 0)
    child_fail(report_fd, STEP_LIMIT);
  child_signals(spawn->inherited);
  execve(recipe->program, recipe->argv, spawn->environment);
  child_fail(report_fd, STEP_EXEC);
}

static int fail_start(const struct run_recipe *recipe, const struct child_failure *child_failure,
                      int *ret_status, struct failure *failure)
{
  const char *on = child_failure->step == STEP_DIRECTORY ? recipe->cwd : recipe->program;
  int error = child_failure->error;

  *ret_status = RUN_EXIT_FAILED;
  if (child_failure->step == STEP_EXEC)
    *ret_status = error == ENOENT ? RUN_EXIT_NOT_FOUND : RUN_EXIT_NOT_EXECUTABLE;
  return failure_set(failure, -error, "%s (%s): %s; `perdure doctor` says what this machine allows",
                     step_texts[child_failure->step], on, strerror(error));
}

int run_spawn(const struct run_spawn *spawn, pid_t *ret_pid, int *ret_status, struct failure *failure)
{
  int sources[RUN_INHERITED_MAX], pipe_ends[2], report_fd, lock_source;
  struct child_failure child_failure;
  pid_t supervisor = getpid(), pid;
  int fork_error;
  ssize_t length;

  *ret_status = RUN_EXIT_FAILED;
  if (pipe2(pipe_ends, O_CLOEXEC) < 0)
    return failure_set(failure, -errno, "cannot make a pipe: %s; allow more open files (ulimit -n)",
                       strerror(errno));
  report_fd = out_of_the_way(pipe_ends[1], spawn);
  close(pipe_ends[1]);
  lock_source = out_of_the_way(spawn->lock_fd, spawn);
  for (uint32_t i = 0; i < spawn->descriptors->count; i++) {
    const struct run_descriptor *descriptor = &spawn->descriptors->list[i];

    sources[i] = descriptor->source_fd == descriptor->fd
                   ? -1 : out_of_the_way(descriptor->source_fd, spawn);
  }
  pid = report_fd < 0 || lock_source < 0 ? -1 : fork();
  if (pid == 0)
    child(spawn, sources, lock_source, report_fd, supervisor);
  fork_error = errno;
  close(report_fd);
  close(lock_source);
  for (uint32_t i = 0; i < spawn->descriptors->count; i++)
    if (sources[i] >= 0)
      close(sources[i]);
  if (pid < 0) {
    close(pipe_ends[0]);
    return failure_set(failure, -fork_error, "cannot start a process: %s; allow more processes or "
                       "open files (ulimit)", strerror(fork_error));
  }
  do
    length = read(pipe_ends[0], &child_failure, sizeof child_failure);
  while (length < 0 && errno == EINTR);
  close(pipe_ends[0]);
  if (length == (ssize_t)sizeof child_failure) {
    waitpid(pid, NULL, 0);
    return fail_start(spawn->recipe, &child_failure, ret_status, failure);
  }
  *ret_pid = pid;
  return 0;
}
