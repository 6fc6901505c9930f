/* SPDX-License-Identifier: Apache-2.0 */
/* A client that asks line by line over one connection, and connects again when that breaks, as it may at any
 * time: each question in another way of the socket calls. Arguments: a port, or the path of a UNIX socket. */
#include "must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define QUESTIONS 9

static const char *where;
static int fd = -1;
static volatile sig_atomic_t broken_pipes;

static void on_broken_pipe(int signal)
{
  broken_pipes++;
}

static bool broken(void)
{
  return errno == ECONNRESET || errno == EPIPE || errno == ECONNREFUSED || errno == ENOTCONN;
}

/* Waits until it is connected, or has failed. */
static bool finish_connect(void)
{
  struct pollfd ready = {fd, POLLOUT, 0};
  must(poll(&ready, 1, 20000) == 1);
  int error = -1;
  socklen_t length = sizeof error;
  must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
  errno = error;
  return error == 0;
}

static bool open_connection(bool waits)
{
  bool path = where[0] == '/' || where[0] == '.';
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  in.sin_port = htons((uint16_t)atoi(where));
  strncpy(un.sun_path, where, sizeof un.sun_path - 1);
  fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0);
  must(fd >= 0);
  int on = 1;
  must(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
  must(path || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  int result = path ? connect(fd, (struct sockaddr *)&un, sizeof un) : connect(fd, (struct sockaddr *)&in, sizeof in);
  if (result != 0 && errno == EINPROGRESS)
    result = finish_connect() ? 0 : -1;
  if (result == 0)
    return must(fcntl(fd, F_SETFL, 0) == 0), true;
  must(broken());
  return false;
}

static void close_connection(void)
{
  must(close(fd) == 0);
  fd = -1;
}

static ssize_t send_question(int number, const char *line, size_t length)
{
  struct iovec pieces[] = {{(void *)line, 3}, {(void *)(line + 3), length - 3}};
  struct mmsghdr message = {.msg_hdr = {.msg_iov = pieces, .msg_iovlen = 2}};
  switch (number) {
  case 0:
    return send(fd, line, length, MSG_NOSIGNAL);
  case 1:
    return write(fd, line, length);
  case 2:
    return writev(fd, pieces, 2);
  case 3:
    return sendmsg(fd, &message.msg_hdr, 0);
  case 4:
    return sendmmsg(fd, &message, 1, 0) == 1 ? (ssize_t)message.msg_len : -1;
  case 5: {
    int file = open("question", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    put(file, line);
    must(lseek(file, 0, SEEK_SET) == 0);
    ssize_t sent = sendfile(fd, file, NULL, length);
    int error = errno;
    must(close(file) == 0);
    errno = error;
    return sent;
  }
  case 6: {
    int ends[2];
    must(pipe(ends) == 0);
    put(ends[1], line);
    ssize_t sent = splice(ends[0], NULL, fd, NULL, length, 0);
    int error = errno;
    must(close(ends[0]) == 0 && close(ends[1]) == 0);
    errno = error;
    return sent;
  }
  default:
    return sendto(fd, line, length, 0, NULL, 0);
  }
}

static ssize_t receive_some(int number, char *bytes, size_t room)
{
  struct iovec pieces[] = {{bytes, 2}, {bytes + 2, room - 2}};
  struct mmsghdr message = {.msg_hdr = {.msg_iov = pieces, .msg_iovlen = 2}};
  switch (number) {
  case 0:
    return recv(fd, bytes, room, 0);
  case 1:
    return read(fd, bytes, room);
  case 2:
    return readv(fd, pieces, 2);
  case 3:
    return recvmsg(fd, &message.msg_hdr, 0);
  case 4:
    return recvmmsg(fd, &message, 1, 0, NULL) == 1 ? (ssize_t)message.msg_len : -1;
  case 5: {
    char ahead;
    ssize_t seen = recv(fd, &ahead, 1, MSG_PEEK);
    return seen <= 0 ? seen : recv(fd, bytes, room, MSG_DONTWAIT);
  }
  case 6: {
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET, .data.fd = fd}, ready;
    must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted) == 0);
    must(epoll_wait(set, &ready, 1, 20000) == 1 && ready.data.fd == fd);
    must(close(set) == 0);
    return recv(fd, bytes, room, MSG_DONTWAIT);
  }
  case 7: {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    must(select(fd + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(fd, &set));
    return recvfrom(fd, bytes, room, 0, NULL, NULL);
  }
  default:
    return recv(fd, bytes, room, 0);
  }
}

/* True: the answer is in `answer`. */
static bool ask(int number, const char *line, char *answer, size_t room)
{
  if (fd < 0 && !open_connection(number & 1))
    return false;
  ssize_t sent = send_question(number, line, strlen(line));
  if (sent < 0)
    return must(broken()), false;
  must(sent == (ssize_t)strlen(line));
  size_t used = 0;
  while (!used || answer[used - 1] != '\n') {
    ssize_t got = receive_some(number, answer + used, room - used);
    if (got < 0)
      must(broken());
    if (got <= 0)
      return false;
    used += (size_t)got;
  }
  answer[used] = 0;
  return true;
}

int main(int argc, char **argv)
{
  char line[64], answer[256];
  must(argc == 2);
  where = argv[1];
  struct sigaction action = {.sa_handler = on_broken_pipe};
  must(sigaction(SIGPIPE, &action, NULL) == 0);
  for (int number = 0; number < QUESTIONS; number++) {
    snprintf(line, sizeof line, "question %d\n", number);
    for (int tries = 0; !ask(number, line, answer, sizeof answer - 1); tries++) {
      must(tries < 5);
      if (fd >= 0)
        close_connection();
    }
    fputs(answer, stdout);
    fflush(stdout);
    if (number == 6)
      close_connection();
  }
  must(shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN);
  char byte;
  must(recv(fd, &byte, 1, 0) <= 0);
  close_connection();
  return 0;
}
