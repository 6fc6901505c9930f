/* SPDX-License-Identifier: Apache-2.0 */
/* Closing more than one has, copying onto high numbers, few numbers to have: the same as without perdure. */
#include "must.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>

/* The numbers that are open, as /proc lists them, into the log. */
static void list(int out, const char *title)
{
  DIR *directory = opendir("/proc/self/fd");
  int fds[64], count = 0;
  must(directory);
  for (struct dirent *entry; (entry = readdir(directory));)
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
      fds[count++] = atoi(entry->d_name);
  must(closedir(directory) == 0);
  char line[512];
  int used = snprintf(line, sizeof line, "%s:", title);
  for (int i = 0; i < count; i++)
    used += snprintf(line + used, sizeof line - (size_t)used, " %d", fds[i]);
  snprintf(line + used, sizeof line - (size_t)used, "\n");
  put(out, line);
}

static int reopen(void)
{
  int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(fd >= 0);
  return fd;
}

int main(void)
{
  closefrom(3);
  int out = reopen();
  must(out == 3);
  list(out, "at first");
  must(dup2(out, 900) == 900 && dup3(out, 1000, O_CLOEXEC) == 1000);
  must(fcntl(out, F_DUPFD, 500) == 500 && fcntl(out, F_DUPFD_CLOEXEC, 500) == 501);
  list(900, "high");
  put(1000, "by 1000\n");
  must(close_range(499, 600, 0) == 0);
  must(fcntl(500, F_GETFD) < 0 && errno == EBADF);
  must(close_range(900, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
  must(fcntl(900, F_GETFD) == FD_CLOEXEC);
  list(out, "ranges");
  for (int fd = 3; fd < 1024; fd++)
    if (close(fd) < 0)
      must(errno == EBADF);
  out = reopen();
  must(out == 3);
  list(out, "by hand");
  struct rlimit limit;
  must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 8;
  must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  int fds[8], count = 0;
  while ((fds[count] = open("small", O_RDONLY)) >= 0)
    count++;
  must(errno == EMFILE && count == 4);
  put(out, "as many as there may be\n");
  char bytes[4];
  must(read(fds[3], bytes, 4) == 4);
  must(dup2(out, 8) < 0 && errno == EBADF);
  must(close(fds[1]) == 0 && dup(out) == fds[1]);
  put(fds[1], "in the gap\n");
  must(dup2(fds[0], fds[1]) == fds[1] && dup2(fds[1], fds[1]) == fds[1]);
  must(read(fds[1], bytes, 4) == 4 && memcmp(bytes, "one\n", 4) == 0);
  must(lseek(fds[0], 0, SEEK_CUR) == 4);
  limit.rlim_cur = before;
  must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  must(dup2(out, 20) == 20);
  must(close_range(4, 19, CLOSE_RANGE_UNSHARE) == 0);
  list(20, "at last");
  for (int fd = 3; fd < 64; fd++)
    close(fd);
  must(dup2(1, 3) == 3 && close(1) == 0);
  must(open("first", O_WRONLY | O_CREAT, 0600) == 1);
  put(1, "1 is a file now\n");
  must(dup2(3, 1) == 1);
  closefrom(3);
  puts("closing: as without");
  return 0;
}
