/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of execs in one process: other arguments, an emptied environment, an own LD_PRELOAD, descriptors
 * that stay with their offsets and some that do not, by path and by descriptor, after one that fails. */
#include "must.h"

#include <fcntl.h>

extern char **environ;

/* The descriptors' numbers: the same in every step. */
enum { LOG = 10, INPUT = 11, GONE = 12, SCRATCH = 13, PIPE = 14 };

static void place(int fd, int number, int flags)
{
  must(fd >= 0 && dup3(fd, number, flags) == number && close(fd) == 0);
}

static void first(void)
{
  char step[] = "second", *none[] = {"./nothing", step, NULL};
  int ends[2];
  place(open("log", O_RDWR | O_CREAT | O_APPEND, 0600), LOG, 0);
  place(open("small", O_RDONLY), INPUT, 0);
  place(open("gone", O_WRONLY | O_CREAT, 0600), GONE, O_CLOEXEC);
  place(open("scratch", O_RDWR | O_CREAT, 0600), SCRATCH, 0);
  must(unlink("scratch") == 0);
  must(pipe(ends) == 0);
  put(ends[1], "in the pipe");
  place(ends[0], PIPE, 0);
  put(SCRATCH, "scratch");
  put(GONE, "before\n");
  char line[8];
  must(read(INPUT, line, 4) == 4);
  must(execv("./nothing", none) < 0 && errno == ENOENT);
  must(execv("small", none) < 0 && errno == EACCES);
  put(LOG, "first\n");
  must(setenv("STEP", "two", 1) == 0);
  execl("/proc/self/exe", "renamed", "second", "with arguments", (char *)NULL);
}

static void second(int argc, char **argv)
{
  must(argc == 3 && strcmp(argv[0], "renamed") == 0 && strcmp(argv[2], "with arguments") == 0);
  must(strcmp(getenv("STEP"), "two") == 0);
  must(fcntl(GONE, F_GETFD) < 0 && errno == EBADF);
  put(LOG, "second\n");
  put(SCRATCH, " goes on");
  must(clearenv() == 0);
  char *arguments[] = {argv[0], "third", NULL};
  int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  fexecve(self, arguments, (char *[]){NULL});
}

static void third(char **argv)
{
  must(environ == NULL || *environ == NULL);
  char line[8];
  must(read(INPUT, line, 4) == 4 && memcmp(line, "two\n", 4) == 0);
  put(LOG, "third\n");
  must(fcntl(LOG, F_SETFD, 0) == 0);
  char *arguments[] = {argv[0], "fourth", NULL};
  char *environment[] = {"LD_PRELOAD=libm.so.6", "GLIBC_TUNABLES=glibc.malloc.check=0", NULL};
  execve("/proc/self/exe", arguments, environment);
}

static void fourth(void)
{
  must(strcmp(getenv("LD_PRELOAD"), "libm.so.6") == 0);
  must(strcmp(getenv("GLIBC_TUNABLES"), "glibc.malloc.check=0") == 0);
  must(getenv("PERDURE_RUN") == NULL && environ[2] == NULL);
  char bytes[32];
  must(pread(SCRATCH, bytes, sizeof bytes, 0) == 15 && memcmp(bytes, "scratch goes on", 15) == 0);
  must(lseek(SCRATCH, 0, SEEK_CUR) == 15);
  must(read(PIPE, bytes, 6) == 6 && memcmp(bytes, "in the", 6) == 0);
  put(LOG, "fourth\n");
  must(read(PIPE, bytes, sizeof bytes) == 5);
  must(read(INPUT, bytes, sizeof bytes) == 6 && memcmp(bytes, "three\n", 6) == 0);
  must(unsetenv("LD_PRELOAD") == 0);
  execl("/bin/cat", "cat", "log", "small", (char *)NULL);
}

int main(int argc, char **argv)
{
  const char *step = argc > 1 ? argv[1] : "first";
  if (strcmp(step, "first") == 0)
    first();
  else if (strcmp(step, "second") == 0)
    second(argc, argv);
  else if (strcmp(step, "third") == 0)
    third(argv);
  else
    fourth();
  must_fail("exec", __FILE__, __LINE__);
}
