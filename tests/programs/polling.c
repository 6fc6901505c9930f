/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for several things: epoll, poll, select, with timers, signals and events that are ready or not. */
#include "must.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

static int ends[2], event, timer, signals;

static void watch(int set, int fd, uint32_t events)
{
  struct epoll_event wanted = {.events = events, .data.fd = fd};
  must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted) == 0);
}

/* Exactly this one is ready. */
static void must_be_ready(int set, int fd)
{
  struct epoll_event ready[8];
  const struct timespec long_enough = {10, 0};
  must(epoll_pwait2(set, ready, 8, &long_enough, NULL) == 1);
  must(ready[0].data.fd == fd && ready[0].events == EPOLLIN);
}

static void must_be_quiet(int set)
{
  struct epoll_event ready[8];
  must(epoll_wait(set, ready, 8, 0) == 0);
}

static void epoll(void)
{
  int set = epoll_create1(EPOLL_CLOEXEC);
  uint64_t count;
  char bytes[8];
  watch(set, ends[0], EPOLLIN);
  watch(set, event, EPOLLIN);
  watch(set, timer, EPOLLIN);
  watch(set, signals, EPOLLIN);
  must_be_quiet(set);
  put(ends[1], "ping");
  must_be_ready(set, ends[0]);
  must(read(ends[0], bytes, 8) == 4);
  must_be_quiet(set);
  must(eventfd_write(event, 2) == 0);
  must_be_ready(set, event);
  must(read(event, &count, 8) == 8 && count == 2);
  struct itimerspec soon = {.it_value.tv_nsec = 1000000};
  must(timerfd_settime(timer, 0, &soon, NULL) == 0);
  must_be_ready(set, timer);
  must(read(timer, &count, 8) == 8 && count == 1);
  must_be_quiet(set);
  must(raise(SIGUSR1) == 0);
  must_be_ready(set, signals);
  struct signalfd_siginfo info;
  must(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
  must_be_quiet(set);
  /* Edge triggered, in a second set: what was seen is not told again. */
  int edges = epoll_create(1);
  watch(edges, ends[0], EPOLLIN | EPOLLET);
  put(ends[1], "edge");
  must_be_ready(edges, ends[0]);
  must_be_quiet(edges);
  put(ends[1], "s");
  must_be_ready(edges, ends[0]);
  must_be_quiet(edges);
  must(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL) == 0);
  must_be_quiet(set);
  must(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL) < 0 && errno == ENOENT);
  must(read(ends[0], bytes, 8) == 5);
  struct epoll_event once = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = event};
  must(epoll_ctl(edges, EPOLL_CTL_ADD, event, &once) == 0);
  must(eventfd_write(event, 1) == 0);
  must_be_ready(edges, event);
  must_be_quiet(edges);
  must(epoll_ctl(edges, EPOLL_CTL_MOD, event, &once) == 0);
  must_be_ready(edges, event);
  must(read(event, &count, 8) == 8 && count == 1);
}

static void polls(void)
{
  const struct timespec now = {0, 0};
  struct pollfd wanted[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {-1, POLLIN, 0}, {event, POLLIN, 0}};
  must(ppoll(wanted, 4, &now, NULL) == 1 && wanted[1].revents == POLLOUT && wanted[0].revents == 0);
  put(ends[1], "x");
  must(poll(wanted, 4, -1) == 2 && wanted[0].revents == POLLIN);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  FD_SET(event, &set);
  must(pselect(event + 1, &set, NULL, NULL, &now, NULL) == 1 && FD_ISSET(ends[0], &set));
  char byte;
  must(read(ends[0], &byte, 1) == 1);
  struct timeval shortly = {0, 1000};
  FD_SET(event, &set);
  must(select(event + 1, &set, NULL, NULL, &shortly) == 0 && !FD_ISSET(ends[0], &set));
}

/* A timer that goes off again and again, and one that is set long before it is asked. */
static void timers(void)
{
  uint64_t count, total = 0;
  struct itimerspec often = {.it_value.tv_nsec = 2000000, .it_interval.tv_nsec = 2000000}, left;
  must(timerfd_settime(timer, 0, &often, NULL) == 0);
  while (total < 4) {
    must(read(timer, &count, 8) == 8 && count >= 1);
    total += count;
  }
  must(timerfd_gettime(timer, &left) == 0 && left.it_interval.tv_nsec == 2000000);
  struct itimerspec far = {.it_value.tv_sec = 1000}, none = {0};
  must(timerfd_settime(timer, 0, &far, NULL) == 0);
  must(timerfd_gettime(timer, &left) == 0 && left.it_value.tv_sec >= 900);
  must(timerfd_settime(timer, 0, &none, &left) == 0 && left.it_value.tv_sec >= 900);
  must(fcntl(timer, F_SETFL, O_NONBLOCK) == 0 && read(timer, &count, 8) < 0 && errno == EAGAIN);
  must(raise(SIGUSR2) == 0);
  sigset_t pending;
  must(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2));
  const struct timespec now = {0, 0};
  must(sigtimedwait(&pending, NULL, &now) == SIGUSR2);
  must(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR2));
}

/* What libc does not call any more. */
static void by_number(void)
{
  int both[2];
  uint64_t count;
  uint64_t mask = 1ull << (SIGUSR2 - 1);
  struct epoll_event ready;
  must(syscall(SYS_pipe, both) == 0 && write(both[1], "pipe", 4) == 4);
  fd_set set, out;
  FD_ZERO(&set);
  FD_ZERO(&out);
  FD_SET(both[0], &set);
  FD_SET(both[1], &out);
  struct timeval now = {0, 0};
  must(syscall(SYS_select, both[1] + 1, &set, &out, NULL, &now) == 2 && FD_ISSET(both[0], &set) && FD_ISSET(both[1], &out));
  int poll_set = (int)syscall(SYS_epoll_create, 1);
  watch(poll_set, both[0], EPOLLIN);
  must(syscall(SYS_epoll_pwait, poll_set, &ready, 1, -1, &mask, sizeof mask) == 1 && ready.data.fd == both[0]);
  int counter = (int)syscall(SYS_eventfd, 3);
  must(read(counter, &count, 8) == 8 && count == 3);
  int queue = (int)syscall(SYS_signalfd, -1, &mask, sizeof mask);
  must(raise(SIGUSR2) == 0);
  struct signalfd_siginfo info;
  must(read(queue, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2);
  int watcher = (int)syscall(SYS_inotify_init);
  must(watcher >= 0 && close(watcher) == 0);
}

int main(void)
{
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  must(pipe(ends) == 0);
  event = eventfd(0, 0);
  timer = timerfd_create(CLOCK_MONOTONIC, 0);
  signals = signalfd(-1, &mask, 0);
  sigaddset(&mask, SIGUSR2);
  must(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
  epoll();
  polls();
  timers();
  by_number();
  int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  put(fd, "done\n");
  puts("polling: all told");
  return 0;
}
