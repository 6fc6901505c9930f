/* SPDX-License-Identifier: Apache-2.0 */
/* UDP, connected and not, and datagrams between two sockets of the process by a path. What is lost is asked
 * for again, as with any datagram. Argument: the port of an echo_server. */
#include "must.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PATIENCE_MS 100

static struct sockaddr_in server = {.sin_family = AF_INET};

static bool ready(int fd)
{
  struct pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, PATIENCE_MS) == 1;
}

static ssize_t send_by(int way, int fd, const char *line)
{
  struct iovec piece = {(void *)line, strlen(line)};
  struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}},
                                {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}}};
  switch (way) {
  case 0:
    return sendto(fd, line, strlen(line), 0, (struct sockaddr *)&server, sizeof server);
  case 1:
    messages[0].msg_hdr.msg_name = &server;
    messages[0].msg_hdr.msg_namelen = sizeof server;
    return sendmsg(fd, &messages[0].msg_hdr, 0);
  case 2:
    return send(fd, line, strlen(line), 0);
  case 3:
    return write(fd, line, strlen(line));
  default: {
    int sent = sendmmsg(fd, messages, 2, 0);
    must(sent < 1 || messages[0].msg_len == strlen(line));
    return sent < 1 ? sent : (ssize_t)messages[0].msg_len;
  }
  }
}

static ssize_t receive_by(int way, int fd, char *bytes, size_t room)
{
  struct sockaddr_in from = {0};
  struct iovec piece = {bytes, room};
  struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}},
                                {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}}};
  socklen_t length = sizeof from;
  ssize_t got;
  switch (way) {
  case 0:
    got = recvfrom(fd, bytes, 4, MSG_PEEK | MSG_TRUNC, (struct sockaddr *)&from, &length);
    if (got < 0)
      return got;
    must(got > 4 && from.sin_port == server.sin_port && length == sizeof from);
    return recvfrom(fd, bytes, room, 0, NULL, NULL);
  case 1:
    messages[0].msg_hdr.msg_name = &from;
    messages[0].msg_hdr.msg_namelen = sizeof from;
    got = recvmsg(fd, &messages[0].msg_hdr, 0);
    must(got < 0 || from.sin_port == server.sin_port);
    return got;
  case 2:
    return recv(fd, bytes, room, 0);
  case 3:
    return read(fd, bytes, room);
  default:
    return recvmmsg(fd, messages, 2, MSG_DONTWAIT, NULL) < 1 ? -1 : (ssize_t)messages[0].msg_len;
  }
}

static void ask(int way)
{
  char line[32], expected[64], answer[64];
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, again;
  socklen_t length = sizeof name;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  snprintf(line, sizeof line, "datagram %d\n", way);
  snprintf(expected, sizeof expected, "answer to %s", line);
  must(fd >= 0);
  if (way & 1)
    must(bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
  if (way >= 2)
    must(connect(fd, (struct sockaddr *)&server, sizeof server) == 0);
  must(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
  ssize_t got = -1;
  for (int tries = 0; got < 0; tries++) {
    must(tries < 20);
    must(send_by(way, fd, line) == (ssize_t)strlen(line));
    if (ready(fd)) {
      got = receive_by(way, fd, answer, sizeof answer);
      must(got >= 0 || errno == EAGAIN);
    }
  }
  must(got == (ssize_t)strlen(expected) && memcmp(answer, expected, (size_t)got) == 0);
  /* The port that others know stays. */
  must(getsockname(fd, (struct sockaddr *)&again, &length) == 0);
  must(!name.sin_port || again.sin_port == name.sin_port);
  if (way >= 2) /* and so does the one that it talks to */
    must(getpeername(fd, (struct sockaddr *)&again, &length) == 0 && again.sin_port == server.sin_port);
  must(close(fd) == 0);
  fputs(expected, stdout);
  fflush(stdout);
}

/* A path of its own; removed while it is used, and still a socket that has it. */
static void by_path(void)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "datagrams.sock"};
  struct stat status;
  char bytes[16];
  int to = socket(AF_UNIX, SOCK_DGRAM, 0), from = socket(AF_UNIX, SOCK_DGRAM, 0);
  must(bind(to, (struct sockaddr *)&address, sizeof address) == 0);
  must(bind(from, (struct sockaddr *)&address, sizeof address) < 0 && errno == EADDRINUSE);
  must(stat(address.sun_path, &status) == 0 && S_ISSOCK(status.st_mode));
  must(connect(from, (struct sockaddr *)&address, sizeof address) == 0);
  for (int tries = 0;; tries++) {
    must(tries < 20);
    must(send(from, "inside", 6, 0) == 6 || connect(from, (struct sockaddr *)&address, sizeof address) == 0);
    if (ready(to) && recv(to, bytes, sizeof bytes, 0) == 6)
      break;
  }
  must(memcmp(bytes, "inside", 6) == 0);
  must(rename(address.sun_path, "renamed.sock") == 0);
  must(stat("renamed.sock", &status) == 0 && S_ISSOCK(status.st_mode));
  must(unlink("renamed.sock") == 0);
  must(stat("renamed.sock", &status) < 0 && stat(address.sun_path, &status) < 0);
  must(close(from) == 0 && close(to) == 0);
}

int main(int argc, char **argv)
{
  must(argc == 2);
  server.sin_port = htons((uint16_t)atoi(argv[1]));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int way = 0; way < 5; way++)
    ask(way);
  by_path();
  puts("datagrams: done");
  return 0;
}
