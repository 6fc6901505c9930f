/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to make a child: vfork with exit, exec and failing exec, fork, posix_spawn, system, popen, clone
 * with a stack of its own. Prints a line for each. */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int wait_for(pid_t pid)
{
  int status = -1;
  if (pid <= 0 || waitpid(pid, &status, 0) != pid)
    return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

static int by_vfork(const char *program)
{
  static volatile int shared;
  shared = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    shared = 1;
    if (program)
      execl(program, program, "-c", "exit 5", NULL);
    _exit(4);
  }
  int status = wait_for(pid);
  return shared == 1 ? status : -3;
}

static int by_fork(void)
{
  pid_t pid = fork();
  if (pid == 0)
    _exit(by_vfork("/bin/sh") + 1);
  return wait_for(pid);
}

static int by_spawn(const char *program)
{
  pid_t pid;
  char *argv[] = {(char *)program, "-c", "exit 6", NULL};
  int error = posix_spawn(&pid, program, NULL, NULL, argv, environ);
  return error ? -error : wait_for(pid);
}

static int by_popen(void)
{
  char line[16] = "";
  FILE *file = popen("echo 7", "r");
  if (!file || !fgets(line, sizeof line, file) || pclose(file) != 0)
    return -1;
  return atoi(line);
}

static int cloned;

static int child(void *argument)
{
  cloned = *(int *)argument;
  return 8;
}

static int by_clone(int flags)
{
  static char stack[65536] __attribute__((aligned(16)));
  int argument = 9;
  cloned = 0;
  int status = wait_for(clone(child, stack + sizeof stack, flags | SIGCHLD, &argument));
  return cloned == (flags & CLONE_VM ? 9 : 0) ? status : -3;
}

int main(void)
{
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("vfork and _exit: %d\n", by_vfork(NULL));
  printf("vfork and exec: %d\n", by_vfork("/bin/sh"));
  printf("vfork and a failing exec: %d\n", by_vfork("/nowhere/sh"));
  printf("fork, and vfork in it: %d\n", by_fork());
  printf("posix_spawn: %d\n", by_spawn("/bin/sh"));
  printf("a failing posix_spawn: %d\n", by_spawn("/nowhere/sh"));
  printf("system: %d\n", WEXITSTATUS(system("exit 3")));
  printf("popen: %d\n", by_popen());
  printf("clone with a stack: %d\n", by_clone(0));
  printf("clone sharing memory: %d\n", by_clone(CLONE_VM));
  printf("clone sharing memory, as vfork: %d\n", by_clone(CLONE_VM | CLONE_VFORK));
  return 0;
}
