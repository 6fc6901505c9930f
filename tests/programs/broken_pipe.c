/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that the other side has closed: what the program sees of it, signal and handler included.
 * Argument: the port of an echo_server. */
#include "must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

static int out;
static volatile sig_atomic_t signals;

/* The handler's own call comes between the write's beginning and its end. */
static void on_broken_pipe(int signal)
{
  signals++;
  put(out, "a broken pipe\n");
}

static int connect_to(const char *port)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  address.sin_port = htons((uint16_t)atoi(port));
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
  return fd;
}

/* Writes until the kernel says that nobody is there. */
static void break_by(int way, int fd)
{
  struct iovec piece = {"more\n", 5};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  for (int tries = 0;; tries++) {
    must(tries < 4);
    ssize_t sent = way == 0 ? write(fd, "more\n", 5) : way == 1 ? sendmsg(fd, &message, 0) : send(fd, "more\n", 5, MSG_NOSIGNAL);
    if (sent < 0 && errno == EPIPE)
      return;
    must(sent == 5 || errno == ECONNRESET);
    struct pollfd broken = {fd, POLLIN | POLLRDHUP, 0};
    do
      must(poll(&broken, 1, 20000) == 1);
    while (!(broken.revents & (POLLHUP | POLLERR)));
  }
}

int main(int argc, char **argv)
{
  must(argc == 2);
  struct sigaction action = {.sa_handler = on_broken_pipe, .sa_flags = SA_RESTART};
  must(sigaction(SIGPIPE, &action, NULL) == 0);
  out = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  for (int way = 0; way < 3; way++) {
    char byte;
    int fd = connect_to(argv[1]), before = signals;
    ssize_t sent = send(fd, "bye\n", 4, MSG_NOSIGNAL);
    must(sent == 4 || errno == ECONNRESET);
    ssize_t got = recv(fd, &byte, 1, 0);
    must(got == 0 || (got < 0 && errno == ECONNRESET));
    break_by(way, fd);
    must(signals == before + (way < 2));
    must(recv(fd, &byte, 1, 0) == 0);
    must(close(fd) == 0);
    printf("way %d: broken\n", way);
    fflush(stdout);
  }
  return 0;
}
