/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic regions and processes: what a child changes while its parent's region is open goes back with it, and what
 * another child does beside the region is done once. */
#include "control-api/perdure.h"
#include "must.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/wait.h>

static void append(const char *name, const char *words)
{
  int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(fd >= 0 && write(fd, words, strlen(words)) == (ssize_t)strlen(words) && close(fd) == 0);
}

static pid_t start(void (*act)(void))
{
  pid_t child = fork();
  must(child >= 0);
  if (child == 0) {
    act();
    _exit(0);
  }
  return child;
}

static void finish(pid_t child)
{
  int status;
  must(waitpid(child, &status, 0) == child && status == 0);
}

static void change_inside(void)
{
  append("account", "child\n");
  must(rename("old", "new") == 0);
}

static void change_beside(void)
{
  for (int i = 0; i < 5; i++)
    append("beside", "line\n");
}

/* A child that ends inside a region of its own: what it did stays. */
static void end_inside(void)
{
  struct perdure_token region;
  must(perdure_atomic_begin(&region) == 0);
  append("account", "ends inside\n");
}

static void end_inside_by_exec(void)
{
  static char program[] = "/bin/sh", option[] = "-c", words[] = "echo by another program >> account";
  struct perdure_token region;
  char *arguments[] = {program, option, words, NULL};
  must(perdure_atomic_begin(&region) == 0);
  append("account", "execs inside\n");
  execv(program, arguments);
  must(false);
}

int main(void)
{
  append("account", "begin\n");
  append("old", "bytes\n");
  pid_t beside = start(change_beside);
  PERDURE_ATOMICALLY {
    append("account", "parent\n");
    finish(start(change_inside));
    append("account", "parent again\n");
  }
  finish(start(end_inside));
  append("account", "behind it\n");
  finish(start(end_inside_by_exec));
  finish(beside);
  append("account", "end\n");
  return 0;
}
