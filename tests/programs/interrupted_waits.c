/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait, each ended by a signal: its handler has run when the call comes back, and not a call later. */
#include "must.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static volatile sig_atomic_t handled;
static int out;

static void on_alarm(int number)
{
  (void)number;
  handled++;
}

/* The next call is ended by a signal in 20 ms. */
static void expect_signal(void)
{
  const struct itimerval soon = {.it_value = {0, 20000}};
  handled = 0;
  must(setitimer(ITIMER_REAL, &soon, NULL) == 0);
}

static void was_ended(int result, const char *call)
{
  int error = errno, seen = handled;
  must(result < 0 && error == EINTR && seen == 1);
  must(write(out, call, strlen(call)) == (ssize_t)strlen(call));
}

int main(void)
{
  const struct sigaction action = {.sa_handler = on_alarm};
  const struct timespec minute = {60, 0};
  struct timespec left;
  int ends[2], pair[2];
  char byte;
  out = open("calls", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0 && pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  must(sigaction(SIGALRM, &action, NULL) == 0);
  struct msghdr message = {.msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1};
  struct pollfd poll_fd = {.fd = ends[0], .events = POLLIN};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);

  expect_signal();
  was_ended(nanosleep(&minute, &left), "nanosleep\n");
  must(left.tv_sec == 59);
  expect_signal();
  was_ended(-(errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, NULL)) ? -1 : 0, "clock_nanosleep\n");
  expect_signal();
  was_ended(poll(&poll_fd, 1, 60000), "poll\n");
  expect_signal();
  was_ended(select(ends[0] + 1, &set, NULL, NULL, NULL), "select\n");
  expect_signal();
  was_ended((int)read(ends[0], &byte, 1), "read\n");
  expect_signal();
  was_ended((int)recv(pair[0], &byte, 1, 0), "recv\n");
  expect_signal();
  was_ended((int)recvmsg(pair[0], &message, 0), "recvmsg\n");
  expect_signal();
  was_ended(pause(), "pause\n");
  pid_t child = fork();
  must(child >= 0);
  if (child == 0) {
    pause();
    _exit(0);
  }
  expect_signal();
  was_ended(waitpid(child, NULL, 0), "wait4\n");
  must(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
  return 0;
}
