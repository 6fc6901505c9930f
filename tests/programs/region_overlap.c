/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of two processes that overlap without nesting: what the second region changes goes back to how it was when
 * that one began, though the first region, which has ended since, has had a copy of it already. */
#include "control-api/perdure.h"
#include "must.h"

#include <fcntl.h>
#include <sys/wait.h>

static void append(const char *words)
{
  int fd = open("account", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(fd >= 0 && write(fd, words, strlen(words)) == (ssize_t)strlen(words) && close(fd) == 0);
}

static void tell(int fd)
{
  must(write(fd, "", 1) == 1);
}

static void hear(int fd)
{
  char byte;
  must(read(fd, &byte, 1) == 1);
}

static void second(int from_first, int to_first)
{
  struct perdure_token region;
  hear(from_first);
  append("inside the first\n");
  must(perdure_atomic_begin(&region) == 0);
  append("inside both\n");
  must(rename("old", "new") == 0);
  tell(to_first);
  hear(from_first);
  append("inside the second\n");
  must(rename("new", "newest") == 0);
  must(perdure_atomic_end(region) == 0);
}

int main(void)
{
  struct perdure_token region;
  int to[2], from[2], status;
  must(pipe(to) == 0 && pipe(from) == 0);
  append("begin\n");
  must(close(open("old", O_WRONLY | O_CREAT, 0600)) == 0);
  pid_t child = fork();
  must(child >= 0);
  if (child == 0) {
    second(to[0], from[1]);
    _exit(0);
  }
  must(perdure_atomic_begin(&region) == 0);
  tell(to[1]);
  hear(from[0]);
  must(perdure_atomic_end(region) == 0);
  tell(to[1]);
  must(waitpid(child, &status, 0) == child && status == 0);
  append("end\n");
  return 0;
}
