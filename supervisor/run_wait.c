/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor while the program runs: one loop on a signalfd. Writes nothing. */
#include "supervisor/run_wait.h"

#include "supervisor/run_interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often it is asked whether the rest is left. */
#define LEAVING_LOOK_MS 20

static const int passed_on[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};

static bool is_passed_on(const struct signalfd_siginfo *info)
{
  if (info->ssi_code == SI_KERNEL)
    return false; /* the terminal's: the program is in the same process group */
  for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
    if ((uint32_t)passed_on[i] == info->ssi_signo)
      return true;
  return false;
}

static bool is_stopped(pid_t pid)
{
  char path[64], text[512], *after;
  FILE *file;
  size_t length;

  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  file = fopen(path, "re");
  if (file == NULL)
    return false;
  length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  after = strrchr(text, ')');
  return after != NULL && after[1] == ' ' && after[2] == 'T';
}

/* As a shell sees it, the job is this process: it stops with the program and goes on with it. */
static void stop_with(pid_t pid)
{
  kill(getpid(), SIGSTOP);
  /* Continued. A SIGCONT to the whole group has reached the program already; one to us has not. */
  if (is_stopped(pid))
    kill(pid, SIGCONT);
}

/* Takes all children's news. true: the program has been killed, or it has exited, and what it left, which comes
 * to us, has ended too. */
static bool reap(pid_t pid, bool *ended, struct run_end *ret_end)
{
  for (;;) {
    siginfo_t info = {0};

    if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG) < 0)
      return *ended;
    if (info.si_pid == 0)
      return *ended && ret_end->killed;
    if (info.si_pid != pid)
      continue;
    if (info.si_code == CLD_STOPPED) {
      stop_with(pid);
    } else if (info.si_code != CLD_TRAPPED) {
      *ret_end = (struct run_end){.killed = info.si_code != CLD_EXITED, .status = info.si_status};
      *ended = true;
    }
  }
}

int run_wait(pid_t pid, const struct run_leaving *leaving, struct run_end *ret_end, struct failure *failure)
{
  struct signalfd_siginfo info;
  struct run_end end = {0};
  bool ended = false, interrupted = false;
  sigset_t mask;
  int fd;

  sigemptyset(&mask);
  for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
    sigaddset(&mask, passed_on[i]);
  sigaddset(&mask, SIGCHLD);
  sigaddset(&mask, SIGTSTP);
  sigaddset(&mask, SIGCONT);
  sigaddset(&mask, RUN_INTERRUPT_SIGNAL);
  fd = signalfd(-1, &mask, SFD_CLOEXEC);
  if (fd < 0)
    return failure_set(failure, -errno, "cannot watch the program: signalfd: %s; allow more open "
                       "files (ulimit -n)", strerror(errno));
  /* A SIGCHLD from before the signalfd is pending, so that this read returns for it too. */
  while (!reap(pid, &ended, &end)) {
    struct pollfd news = {.fd = fd, .events = POLLIN};

    end.left = ended && leaving->leaves(leaving->context, &end);
    if (end.left)
      break;
    if (ended && poll(&news, 1, LEAVING_LOOK_MS) == 0)
      continue;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
      continue;
    interrupted = interrupted || info.ssi_signo == (uint32_t)RUN_INTERRUPT_SIGNAL;
    if (interrupted && ended)
      break; /* what the program has left is the caller's to end */
    if (interrupted)
      kill(pid, SIGKILL);
    else if (is_passed_on(&info) && !ended)
      kill(pid, (int)info.ssi_signo);
  }
  close(fd);
  end.interrupted = interrupted;
  *ret_end = end;
  return 0;
}
