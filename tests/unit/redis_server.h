/* SPDX-License-Identifier: Apache-2.0 */
/* Real Redis servers for a test: on 127.0.0.1, each on a free port, ended by their own process ids, also when the test
 * dies. What they write lies in the test's scratch directory. */
#ifndef PERDURE_TESTS_UNIT_REDIS_SERVER_H
#define PERDURE_TESTS_UNIT_REDIS_SERVER_H

#include "tests/unit/scratch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct redis_server {
  pid_t pid;
  unsigned port;
  FILE *says; /* its log */
};

static inline unsigned free_port(void)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
  assert(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

static inline void redis_server_exec(unsigned port, int log, const char *option, const char *value)
{
  char number[16], file[32];
  snprintf(number, sizeof number, "%u", port);
  snprintf(file, sizeof file, "%u.rdb", port);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execlp("redis-server", "redis-server", "--port", number, "--dir", scratch_directory, "--dbfilename", file, "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay",
         "0", option, value, NULL);
  _exit(127);
}

/* Reads the log up to a line with these words. False: it has ended before. */
static inline int redis_server_waits_for(const struct redis_server *server, const char *words)
{
  char line[1024];
  while (fgets(line, sizeof line, server->says))
    if (strstr(line, words))
      return 1;
  return 0;
}

/* One more option with its value, or NULL. Another program may take the port meanwhile: then the next one. */
static inline struct redis_server redis_server_start(const char *option, const char *value)
{
  for (int tries = 0; tries < 20; tries++) {
    struct redis_server server = {.port = free_port()};
    int log[2];
    assert(pipe2(log, O_CLOEXEC) == 0);
    server.pid = fork();
    assert(server.pid >= 0);
    if (server.pid == 0)
      redis_server_exec(server.port, log[1], option, value);
    close(log[1]);
    server.says = fdopen(log[0], "re");
    if (redis_server_waits_for(&server, "Ready to accept connections"))
      return server;
    fclose(server.says);
    waitpid(server.pid, NULL, 0);
  }
  assert(!"redis-server does not start");
  abort();
}

/* With its data. A second time: nothing. */
static inline void redis_server_kill(struct redis_server *server)
{
  if (!server->pid)
    return;
  kill(server->pid, SIGKILL);
  waitpid(server->pid, NULL, 0);
  fclose(server->says);
  server->pid = 0;
}

/* A replica that has all that its primary has. */
static inline struct redis_server redis_server_start_replica(const struct redis_server *primary)
{
  char of[32];
  snprintf(of, sizeof of, "127.0.0.1 %u", primary->port);
  struct redis_server replica = redis_server_start("--replicaof", of);
  int synced = redis_server_waits_for(&replica, "Finished with success");
  assert(synced);
  return replica;
}

#endif
