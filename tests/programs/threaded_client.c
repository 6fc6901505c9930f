/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, each with a connection of its own to an echo_server, which waits in calls while the others go on.
 * Argument: its port. */
#include "must.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

#define THREADS 3
#define QUESTIONS 4

static struct sockaddr_in server = {.sin_family = AF_INET};
static char answers[THREADS][QUESTIONS][64];

static int connect_to_server(void)
{
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(fd >= 0 && connect(fd, (struct sockaddr *)&server, sizeof server) == 0);
  return fd;
}

/* False: the connection is broken. */
static bool ask(int fd, const char *line, char *answer, size_t room)
{
  size_t used = 0;
  ssize_t sent = send(fd, line, strlen(line), MSG_NOSIGNAL);
  if (sent < 0)
    return must(errno == ECONNRESET || errno == EPIPE), false;
  while (!used || answer[used - 1] != '\n') {
    ssize_t got = recv(fd, answer + used, room - 1 - used, 0);
    must(got >= 0 || errno == ECONNRESET);
    if (got <= 0)
      return false;
    used += (size_t)got;
  }
  answer[used] = 0;
  return true;
}

static void *work(void *argument)
{
  char (*mine)[64] = argument;
  int fd = connect_to_server();
  for (int i = 0; i < QUESTIONS; i++) {
    char line[32];
    snprintf(line, sizeof line, "thread %d, question %d\n", (int)(mine - answers[0]) / QUESTIONS, i);
    for (int tries = 0; !ask(fd, line, mine[i], sizeof mine[i]); tries++) {
      must(tries < 5 && close(fd) == 0);
      fd = connect_to_server();
    }
  }
  must(close(fd) == 0);
  return NULL;
}

int main(int argc, char **argv)
{
  pthread_t threads[THREADS];
  must(argc == 2);
  server.sin_port = htons((uint16_t)atoi(argv[1]));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < THREADS; i++)
    must(pthread_create(&threads[i], NULL, work, answers[i]) == 0);
  for (int i = 0; i < THREADS; i++) {
    must(pthread_join(threads[i], NULL) == 0);
    for (int j = 0; j < QUESTIONS; j++)
      fputs(answers[i][j], stdout);
  }
  return 0;
}
