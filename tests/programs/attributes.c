/* SPDX-License-Identifier: Apache-2.0 */
/* Modes, owners, times and extended attributes. */
#include "must.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

/* Calls that the oldest headers do not have. */
#define SYS_fchmodat2_ 452
#define SYS_file_getattr_ 468
#define SYS_file_setattr_ 469
#define NO_DUMP 0x80ull

static struct stat look(const char *name)
{
  struct stat about;
  must(lstat(name, &about) == 0);
  return about;
}

static void modes(int fd)
{
  must(chmod("small", 0640) == 0 && (look("small").st_mode & 07777) == 0640);
  must(fchmod(fd, 0604) == 0 && (look("file").st_mode & 07777) == 0604);
  must(fchmodat(AT_FDCWD, "tree/a", 0400, 0) == 0);
  must(chmod("tree", 01755) == 0);
  must(chmod("nothing", 0600) < 0 && errno == ENOENT);
  must(chown("small", getuid(), getgid()) == 0 && fchown(fd, getuid(), (gid_t)-1) == 0);
  must(lchown("tree/link", getuid(), getgid()) == 0);
  must(fchownat(AT_FDCWD, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH) == 0 || errno == ENOENT);
}

static void times(int fd)
{
  const struct timespec both[2] = {{1000000000, 5}, {1100000000, 7}};
  const struct timespec one[2] = {{0, UTIME_OMIT}, {1200000000, 9}};
  must(utimensat(AT_FDCWD, "small", both, 0) == 0);
  must(look("small").st_mtim.tv_sec == 1100000000 && look("small").st_mtim.tv_nsec == 7);
  must(utimensat(AT_FDCWD, "tree/link", both, AT_SYMLINK_NOFOLLOW) == 0);
  must(futimens(fd, one) == 0);
  must(look("file").st_mtim.tv_sec == 1200000000);
  const struct timeval old[2] = {{1300000000, 1}, {1300000001, 2}};
  must(utimes("tree/b", old) == 0 && look("tree/b").st_mtim.tv_nsec == 2000);
  must(utime("tree/a", &(struct utimbuf){1400000000, 1400000001}) == 0);
  must(utimensat(AT_FDCWD, "small", (const struct timespec[2]){{0, UTIME_NOW}, {0, UTIME_OMIT}}, 0) == 0);
  must(look("small").st_mtim.tv_sec == 1100000000);
}

static void extended(int fd)
{
  char value[16], names[64];
  if (fsetxattr(fd, "user.first", "1", 1, XATTR_CREATE) != 0) {
    must(errno == EOPNOTSUPP);
    return;
  }
  must(fsetxattr(fd, "user.first", "2", 1, XATTR_CREATE) < 0 && errno == EEXIST);
  must(setxattr("file", "user.first", "two", 3, XATTR_REPLACE) == 0);
  must(setxattr("file", "user.none", "x", 1, XATTR_REPLACE) < 0 && errno == ENODATA);
  must(getxattr("file", "user.first", value, sizeof value) == 3 && memcmp(value, "two", 3) == 0);
  must(fgetxattr(fd, "user.first", NULL, 0) == 3);
  must(lsetxattr("file", "user.second", "other", 5, 0) == 0);
  must(listxattr("file", names, sizeof names) >= 23);
  must(fremovexattr(fd, "user.first") == 0);
  must(fremovexattr(fd, "user.first") < 0 && errno == ENODATA);
  must(setxattr("file", "user.first", "back", 4, XATTR_CREATE) == 0);
  must(removexattr("file", "user.second") == 0);
  must(lremovexattr("file", "user.second") < 0 && errno == ENODATA);
  must(getxattr("file", "user.second", value, sizeof value) < 0 && errno == ENODATA);
}

/* What libc does not call any more, or not yet. */
static void by_number(int fd)
{
  char value[16], names[64];
  if (lsetxattr("file", "user.first", "back", 4, 0) == 0) {
    must(syscall(SYS_lgetxattr, "file", "user.first", value, sizeof value) == 4 && memcmp(value, "back", 4) == 0);
    must(syscall(SYS_llistxattr, "file", names, sizeof names) >= 11 && syscall(SYS_llistxattr, "file", NULL, 0) >= 11);
    must(syscall(SYS_flistxattr, fd, names, sizeof names) >= 11 && syscall(SYS_flistxattr, fd, names, 1) < 0);
  }
  must(syscall(SYS_utime, "tree/a", &(struct utimbuf){1400000000, 1400000001}) == 0);
  must(look("tree/a").st_mtim.tv_sec == 1400000001);
  const struct timeval both[2] = {{1300000000, 1}, {1300000001, 2}};
  must(syscall(SYS_utimes, "tree/b", both) == 0 && look("tree/b").st_mtim.tv_nsec == 2000);
  must(syscall(SYS_futimesat, AT_FDCWD, "tree/below/c", both) == 0);
  must(look("tree/below/c").st_mtim.tv_sec == 1300000001);
  must_or_older(syscall(SYS_fchmodat2_, AT_FDCWD, "tree/b", 0600, AT_SYMLINK_NOFOLLOW) == 0);
  must(chmod("tree/b", 0600) == 0);
  struct file_attr_ {
    uint64_t flags;
    uint32_t rest[4];
  } about;
  if (syscall(SYS_file_getattr_, AT_FDCWD, "file", &about, sizeof about, 0) == 0) {
    about.flags |= NO_DUMP;
    must(syscall(SYS_file_setattr_, AT_FDCWD, "file", &about, sizeof about, 0) == 0 || errno == EOPNOTSUPP);
    about.flags &= ~NO_DUMP;
    must(syscall(SYS_file_setattr_, AT_FDCWD, "file", &about, sizeof about, 0) == 0 || errno == EOPNOTSUPP);
  } else {
    must(errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOTTY);
    must(syscall(SYS_file_setattr_, AT_FDCWD, "file", NULL, 0, 0) < 0);
  }
}

int main(void)
{
  int fd = open("file", O_RDWR | O_CREAT, 0600);
  must(fd >= 0);
  modes(fd);
  extended(fd);
  times(fd);
  by_number(fd);
  struct stat about = look("file");
  printf("file %o small %o link %lld\n", about.st_mode, look("small").st_mode,
         (long long)look("tree/link").st_mtim.tv_sec);
  return 0;
}
