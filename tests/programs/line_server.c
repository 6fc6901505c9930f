/* SPDX-License-Identifier: Apache-2.0 */
/* A server: says which number it waits for, is told it, writes it to a log, confirms. Ends after some numbers.
 * Clients are cut off when it is killed; whoever comes again is told the next number.
 *
 * Arguments: a port or a path; "epoll" (edge triggered, one shot, non-blocking) or "plain" (one at a time). */
#include "must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define NUMBERS 6

static int out, next_number;
static const char *where;

static bool is_path(void)
{
  return where[0] == '/' || where[0] == '.';
}

static int open_listener(int flags)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  in.sin_port = htons((uint16_t)atoi(where));
  strncpy(un.sun_path, where, sizeof un.sun_path - 1);
  int fd = socket(is_path() ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
  must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  if (is_path()) {
    unlink(where);
    must(bind(fd, (struct sockaddr *)&un, sizeof un) == 0);
    must(chmod(where, 0622) == 0);
  } else {
    must(bind(fd, (struct sockaddr *)&in, sizeof in) == 0);
  }
  must(listen(fd, 8) == 0);
  return fd;
}

/* What a caller would be told must still be so after a crash. */
static void must_be_open(int listener)
{
  struct stat status;
  int value = 0;
  socklen_t length = sizeof value;
  must(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value == 1);
  must(getsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &value, &length) == 0 && value == 1);
  must(!is_path() || (stat(where, &status) == 0 && (status.st_mode & 07777) == 0622));
}

static bool gone(ssize_t result)
{
  return result == 0 || (result < 0 && (errno == ECONNRESET || errno == EPIPE));
}

static bool greet(int fd)
{
  char text[32];
  ssize_t size = snprintf(text, sizeof text, "%d\n", next_number);
  ssize_t sent = send(fd, text, (size_t)size, MSG_NOSIGNAL);
  must(sent == size || gone(sent));
  return sent == size;
}

/* A line from the client; false: the connection is over. */
static bool take_line(int fd, const char *line)
{
  char text[48];
  if (next_number < NUMBERS && atoi(line) == next_number) {
    ssize_t size = snprintf(text, sizeof text, "number %d\n", next_number);
    must(write(out, text, (size_t)size) == size);
    next_number++;
  }
  return greet(fd);
}

static void serve_plain(void)
{
  int listener = open_listener(0);
  while (next_number < NUMBERS) {
    char line[32];
    must_be_open(listener);
    int fd = accept(listener, NULL, NULL);
    must(fd >= 0);
    bool goes_on = greet(fd);
    while (goes_on && next_number < NUMBERS) {
      ssize_t got = read(fd, line, sizeof line - 1);
      must(got > 0 || gone(got));
      if (got > 0)
        line[got] = 0;
      goes_on = got > 0 && take_line(fd, line);
    }
    must(close(fd) == 0);
  }
  must(close(listener) == 0);
}

static void watch(int set, int operation, int fd, uint32_t events)
{
  struct epoll_event event = {.events = events, .data.fd = fd};
  must(epoll_ctl(set, operation, fd, &event) == 0);
}

static void take_events(int set, int listener, const struct epoll_event *event)
{
  const uint32_t once = EPOLLIN | EPOLLRDHUP | EPOLLET | EPOLLONESHOT;
  char line[32];
  int fd = event->data.fd;
  if (fd == listener) {
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    must(fd >= 0 || errno == EAGAIN);
    if (fd >= 0) {
      watch(set, EPOLL_CTL_ADD, fd, once);
      greet(fd);
    }
    return;
  }
  ssize_t got = recv(fd, line, sizeof line - 1, 0);
  must(got > 0 || gone(got) || errno == EAGAIN);
  if (got > 0)
    line[got] = 0;
  if (gone(got) || (got > 0 && !take_line(fd, line)))
    must(close(fd) == 0);
  else
    watch(set, EPOLL_CTL_MOD, fd, once);
}

static void serve_epoll(void)
{
  int listener = open_listener(SOCK_NONBLOCK), set = epoll_create1(EPOLL_CLOEXEC), ends[2];
  struct epoll_event events[4];
  must(pipe(ends) == 0);
  watch(set, EPOLL_CTL_ADD, listener, EPOLLIN);
  watch(set, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
  while (next_number < NUMBERS) {
    int count = epoll_wait(set, events, 4, 20000);
    must(count > 0);
    must_be_open(listener);
    for (int i = 0; i < count; i++)
      take_events(set, listener, &events[i]);
  }
  must(close(set) == 0 && close(listener) == 0);
}

int main(int argc, char **argv)
{
  must(argc == 3);
  where = argv[1];
  out = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  must(out >= 0);
  if (strcmp(argv[2], "epoll") == 0)
    serve_epoll();
  else
    serve_plain();
  if (is_path())
    must(unlink(where) == 0);
  printf("%d numbers\n", next_number);
  return 0;
}
