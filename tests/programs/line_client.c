/* SPDX-License-Identifier: Apache-2.0 */
/* Tells a line_server each number that it asks for, for as long as it lives, whatever becomes of the server.
 * Argument: its port or path. */
#include "must.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define RETRY_MS 2

static int connect_to(const char *where)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  int path = where[0] == '/', fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  in.sin_port = htons((uint16_t)atoi(where));
  strncpy(un.sun_path, where, sizeof un.sun_path - 1);
  /* A server that goes while the kernel makes the connection may leave this end of it alone. */
  const struct timeval patience = {.tv_sec = 1};
  must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
  int result = path ? connect(fd, (struct sockaddr *)&un, sizeof un) : connect(fd, (struct sockaddr *)&in, sizeof in);
  if (result == 0)
    return fd;
  must(close(fd) == 0);
  return -1;
}

int main(int argc, char **argv)
{
  char line[64];
  must(argc == 2);
  for (;;) {
    int fd = connect_to(argv[1]);
    if (fd < 0) {
      poll(NULL, 0, RETRY_MS);
      continue;
    }
    ssize_t got;
    while ((got = recv(fd, line, sizeof line, 0)) > 0)
      if (send(fd, line, (size_t)got, MSG_NOSIGNAL) != got)
        break;
    must(close(fd) == 0);
  }
}
