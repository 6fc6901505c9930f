/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each line that it gets, over TCP, UDP and a UNIX socket, with "answer to LINE", and writes it to a log.
 *
 * "bye" ends a connection. A fourth argument is an address where names are asked for by
 * port 53 too. Arguments: the log; a named pipe that is told the port (TCP's and UDP's) when all are open; a path for the
 * UNIX socket. What looks like a question of DNS gets an answer of one: 192.0.2.7 to A, nothing to others. */
#include "must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECTIONS_MAX 64

struct connection {
  char line[512];
  size_t used;
};

static struct pollfd polled[4 + CONNECTIONS_MAX];
static struct connection connections[4 + CONNECTIONS_MAX];
static nfds_t polled_count = 4;
static int out;

static int listen_on(int family, int type, const struct sockaddr *address, socklen_t length)
{
  int fd = socket(family, type | SOCK_CLOEXEC, 0), on = 1;
  must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  if (bind(fd, address, length) != 0) {
    must(errno == EADDRINUSE && close(fd) == 0);
    return -1;
  }
  must(type != SOCK_STREAM || listen(fd, 64) == 0);
  return fd;
}

/* The same number for both. */
static int open_ports(void)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (;;) {
    socklen_t length = sizeof address;
    address.sin_port = 0;
    polled[0] = (struct pollfd){listen_on(AF_INET, SOCK_STREAM, (struct sockaddr *)&address, length), POLLIN, 0};
    must(getsockname(polled[0].fd, (struct sockaddr *)&address, &length) == 0);
    polled[1] = (struct pollfd){listen_on(AF_INET, SOCK_DGRAM, (struct sockaddr *)&address, length), POLLIN, 0};
    if (polled[1].fd >= 0)
      return ntohs(address.sin_port);
    must(close(polled[0].fd) == 0);
  }
}

static void answer_line(int fd, const char *line, const struct sockaddr *to, socklen_t length)
{
  char text[600];
  int size = snprintf(text, sizeof text, "answer to %s", line);
  put(out, line);
  if (sendto(fd, text, (size_t)size, MSG_NOSIGNAL, to, length) < 0)
    must(errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED);
}

/* The question with its answer behind it; sizes as RFC 1035 has them. */
static size_t answer_name(unsigned char *message, size_t size)
{
  size_t end = 12;
  while (end < size && message[end])
    end += message[end] + 1u;
  end += 5;
  must(end <= size);
  static const unsigned char record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
  int is_a = message[end - 3] == 1;
  message[2] |= 0x80;
  message[3] = 0x80;
  message[7] = (unsigned char)is_a;
  memset(message + 8, 0, 4);
  if (!is_a)
    return end;
  memcpy(message + end, record, sizeof record);
  return end + sizeof record;
}

static void take_datagram(int fd)
{
  unsigned char bytes[1024];
  struct sockaddr_storage from;
  socklen_t length = sizeof from;
  ssize_t size = recvfrom(fd, bytes, sizeof bytes - 64, 0, (struct sockaddr *)&from, &length);
  if (size < 0)
    return;
  if (size > 12 && bytes[size - 1] != '\n') {
    put(out, "name\n");
    sendto(fd, bytes, answer_name(bytes, (size_t)size), 0, (struct sockaddr *)&from, length);
    return;
  }
  bytes[size] = 0;
  answer_line(fd, (char *)bytes, (struct sockaddr *)&from, length);
}

static void take_connection(int listener)
{
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0)
    return;
  must(polled_count < 4 + CONNECTIONS_MAX);
  connections[polled_count].used = 0;
  polled[polled_count++] = (struct pollfd){fd, POLLIN, 0};
}

static void drop_connection(nfds_t i)
{
  must(close(polled[i].fd) == 0);
  polled[i] = polled[--polled_count];
  connections[i] = connections[polled_count];
}

static void take_bytes(nfds_t i)
{
  struct connection *connection = &connections[i];
  ssize_t got = recv(polled[i].fd, connection->line + connection->used, sizeof connection->line - 1 - connection->used, 0);
  if (got <= 0) {
    drop_connection(i);
    return;
  }
  connection->used += (size_t)got;
  connection->line[connection->used] = 0;
  if (strcmp(connection->line, "bye\n") == 0) {
    drop_connection(i);
  } else if (connection->line[connection->used - 1] == '\n') {
    answer_line(polled[i].fd, connection->line, NULL, 0);
    connection->used = 0;
  }
}

int main(int argc, char **argv)
{
  must(argc == 4 || argc == 5);
  signal(SIGPIPE, SIG_IGN);
  out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  int port = open_ports();
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  strncpy(path.sun_path, argv[3], sizeof path.sun_path - 1);
  polled[2] = (struct pollfd){listen_on(AF_UNIX, SOCK_STREAM, (struct sockaddr *)&path, sizeof path), POLLIN, 0};
  must(out >= 0 && polled[2].fd >= 0);
  struct sockaddr_in names = {.sin_family = AF_INET, .sin_port = htons(53)};
  polled[3] = (struct pollfd){-1, POLLIN, 0};
  if (argc == 5) {
    must(inet_pton(AF_INET, argv[4], &names.sin_addr) == 1);
    polled[3].fd = listen_on(AF_INET, SOCK_DGRAM, (struct sockaddr *)&names, sizeof names);
    must(polled[3].fd >= 0);
  }
  int ready = open(argv[2], O_WRONLY);
  must(ready >= 0);
  dprintf(ready, "%d\n", port);
  must(close(ready) == 0);
  for (;;) {
    must(poll(polled, polled_count, -1) > 0);
    for (nfds_t i = polled_count; i-- > 4;)
      if (polled[i].revents)
        take_bytes(i);
    if (polled[0].revents)
      take_connection(polled[0].fd);
    if (polled[1].revents)
      take_datagram(polled[1].fd);
    if (polled[2].revents)
      take_connection(polled[2].fd);
    if (polled[3].revents)
      take_datagram(polled[3].fd);
  }
}
