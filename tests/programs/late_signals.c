/* SPDX-License-Identifier: Apache-2.0 */
/* A child that blocks a signal goes on for some calls after it was sent, and dies of it when it blocks it no more; one
 * that takes it from a signalfd does not. As shells make their children. */
#include "must.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static void some_calls(void)
{
  struct stat status;
  for (int i = 0; i < 3; i++) {
    must(stat(".", &status) == 0);
    time(NULL);
  }
}

static void die_late(const sigset_t *blocked)
{
  some_calls();
  sigprocmask(SIG_UNBLOCK, blocked, NULL);
  sleep(100);
  _exit(1);
}

static void take_it(const sigset_t *blocked)
{
  struct signalfd_siginfo taken;
  int fd = signalfd(-1, blocked, 0);
  must(fd >= 0 && read(fd, &taken, sizeof taken) == sizeof taken && taken.ssi_signo == SIGTERM);
  some_calls();
  sigprocmask(SIG_UNBLOCK, blocked, NULL);
  some_calls();
  _exit(5);
}

static int child_sent_term(void (*child_does)(const sigset_t *))
{
  sigset_t blocked;
  int status;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  pid_t child = fork();
  if (child == 0)
    child_does(&blocked);
  sigprocmask(SIG_UNBLOCK, &blocked, NULL);
  must(child > 0 && kill(child, SIGTERM) == 0);
  some_calls();
  must(waitpid(child, &status, 0) == child);
  return status;
}

int main(void)
{
  int status = child_sent_term(die_late);
  must(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  status = child_sent_term(take_it);
  must(WIFEXITED(status) && WEXITSTATUS(status) == 5);
  return 0;
}
