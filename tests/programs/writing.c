/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and writing by the calls that libc makes of others: openat2, mknod, pwritev, pwritev2's flags, and
 * the calls that make all of it durable. */
#include "must.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define RWF_NOAPPEND_ 0x20

static int open_how(const char *name, uint64_t flags, uint64_t mode)
{
  struct open_how how = {.flags = flags, .mode = mode, .resolve = RESOLVE_BENEATH};
  int fd = (int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how);
  if (fd < 0 && errno == ENOSYS)
    return open(name, (int)flags, (mode_t)mode);
  return fd;
}

static void opening(void)
{
  int fd = open_how("new", O_WRONLY | O_CREAT | O_EXCL, 0640);
  must(fd >= 0);
  put(fd, "by openat2\n");
  must(open_how("new", O_WRONLY | O_CREAT | O_EXCL, 0640) < 0 && errno == EEXIST);
  must(open_how("nothing/new", O_RDONLY, 0) < 0 && errno == ENOENT);
  int appends = open_how("new", O_WRONLY | O_APPEND, 0);
  put(appends, "appended\n");
  int again = open_how("new", O_RDWR | O_TRUNC, 0);
  put(again, "anew\n");
  put(appends, "appended\n");
  must_hold(again, 0, "anew\nappended\n");
  must(syscall(SYS_open, "old", O_WRONLY | O_CREAT, 0600) >= 0);
  must(syscall(SYS_mknod, "node", S_IFREG | 0600, 0) == 0);
  must(syscall(SYS_mknod, "node", S_IFREG | 0600, 0) < 0 && errno == EEXIST);
  must(mkfifo("queue", 0600) == 0);
}

static void vectors(void)
{
  struct iovec two[2] = {{"one ", 4}, {"two\n", 4}};
  int fd = open("vectors", O_RDWR | O_CREAT | O_APPEND, 0600);
  int plain = open("vectors", O_RDWR);
  must(syscall(SYS_pwritev, plain, two, 2, 4, 0) == 8);
  must(syscall(SYS_pwritev, plain, two, 2, -1L, 0) < 0 && errno == EINVAL);
  put(fd, "end\n");
  /* In place, on a descriptor that appends: kernels before 6.9 refuse the flag. */
  ssize_t written = pwritev2(fd, two, 2, 0, RWF_NOAPPEND_);
  must(written == 8 || (written < 0 && errno == EOPNOTSUPP));
  if (written < 0)
    must(pwritev(plain, two, 2, 0) == 8);
  must(pwritev2(plain, two, 1, 16, RWF_DSYNC) == 4);
  must(pwritev2(plain, two, 1, 20, RWF_SYNC | RWF_HIPRI) == 4 || errno == EOPNOTSUPP);
  char bytes[8];
  struct iovec into = {bytes, 8};
  must(preadv2(plain, &into, 1, 0, RWF_NOWAIT) == 8 || errno == EAGAIN || errno == EOPNOTSUPP);
  must(preadv2(plain, &into, 1, 0, 0) == 8 && memcmp(bytes, "one two\n", 8) == 0);
}

static void durable(void)
{
  int fd = open("small", O_WRONLY | O_APPEND);
  put(fd, "four\n");
  must(fdatasync(fd) == 0);
  put(fd, "five\n");
  must(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0 || errno == ESPIPE);
  put(fd, "six\n");
  must(syncfs(fd) == 0);
  put(fd, "seven\n");
  sync();
  must(fdatasync(-1) < 0 && errno == EBADF);
}

/* From memory into a pipe and from a pipe into another: as on a kernel without it, or done by the kernel. */
static void moving(void)
{
  int from[2], to[2];
  char bytes[8];
  struct iovec one = {"moved\n", 6};
  must(pipe(from) == 0 && pipe(to) == 0);
  if (vmsplice(from[1], &one, 1, 0) < 0) {
    must(errno == ENOSYS);
    put(from[1], "moved\n");
  }
  if (tee(from[0], to[1], 6, 0) < 0) {
    must(errno == ENOSYS);
    put(to[1], "moved\n");
  }
  must(read(from[0], bytes, 8) == 6 && memcmp(bytes, "moved\n", 6) == 0);
  must(read(to[0], bytes, 8) == 6 && memcmp(bytes, "moved\n", 6) == 0);
}

int main(void)
{
  opening();
  vectors();
  moving();
  durable();
  puts("writing: done");
  return 0;
}
