/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each request on 127.0.0.1 with as many bytes as its path says, one connection after the other: what it
 * costs must not hide what the client costs.
 *
 *   bench-server READY     writes its port and a newline to READY, and runs until it is killed
 *   GET /N, POST /N        N bytes
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (1u << 20)

static char piece[PIECE];

static bool send_all(int fd, const char *bytes, size_t length)
{
  while (length > 0) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent <= 0)
      return false;
    bytes += sent;
    length -= (size_t)sent;
  }
  return true;
}

static bool answer(int fd, unsigned long long size)
{
  char header[128];
  int length = snprintf(header, sizeof header, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", size);
  if (!send_all(fd, header, (size_t)length))
    return false;
  for (; size > PIECE; size -= PIECE)
    if (!send_all(fd, piece, PIECE))
      return false;
  return send_all(fd, piece, (size_t)size);
}

/* The length of the request that the bytes begin with, its body too; 0: not all of it has come. */
static size_t request_length(const char *request, size_t used)
{
  const char *end = strstr(request, "\r\n\r\n");
  const char *length = strstr(request, "Content-Length: ");
  if (end == NULL)
    return 0;
  size_t whole = (size_t)(end + 4 - request);
  if (length != NULL && length < end)
    whole += strtoul(length + strlen("Content-Length: "), NULL, 10);
  return whole <= used ? whole : 0;
}

static void serve(int fd)
{
  char request[8192];
  size_t used = 0, length;
  for (;;) {
    ssize_t got = recv(fd, request + used, sizeof request - 1 - used, 0);
    if (got <= 0)
      return;
    used += (size_t)got;
    request[used] = '\0';
    length = request_length(request, used);
    if (length == 0)
      continue;
    const char *path = strchr(request, '/');
    if (path == NULL || !answer(fd, strtoull(path + 1, NULL, 10)))
      return;
    used -= length;
    memmove(request, request + length, used);
  }
}

int main(int argc, char **argv)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  FILE *ready = argc == 2 ? fopen(argv[1], "w") : NULL;
  if (ready == NULL || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
      listen(listener, 16) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
    return 1;
  /* Bytes that no file system and no library takes for a hole. */
  for (size_t i = 0; i < PIECE; i++)
    piece[i] = (char)(i * 2654435761u >> 13);
  fprintf(ready, "%d\n", ntohs(address.sin_port));
  fclose(ready);
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
      continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    serve(fd);
    close(fd);
  }
}
