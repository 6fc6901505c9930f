/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are open and have no name any more, or another one than before: a scratch file, O_TMPFILE
 * that gets a name later, an input that is removed or replaced while it is read. */
#include "must.h"

#include <fcntl.h>
#include <sys/stat.h>

static void scratch(void)
{
  int fd = open("scratch", O_RDWR | O_CREAT | O_EXCL, 0600);
  must(fd >= 0);
  put(fd, "before, ");
  must(unlink("scratch") == 0);
  put(fd, "after");
  must(pwrite(fd, "B", 1, 0) == 1);
  must_hold(fd, 0, "Before, after");
  must(ftruncate(fd, 6) == 0);
  must(fallocate(fd, 0, 0, 8) == 0);
  char bytes[16];
  must(lseek(fd, 2, SEEK_SET) == 2);
  must(read(fd, bytes, sizeof bytes) == 6 && memcmp(bytes, "fore\0\0", 6) == 0);
  struct stat about;
  must(fstat(fd, &about) == 0 && about.st_nlink == 0 && about.st_size == 8);
  int again = open("scratch", O_RDWR | O_CREAT | O_EXCL, 0640);
  put(again, "another file of that name\n");
  must(pread(fd, bytes, sizeof bytes, 0) == 8 && memcmp(bytes, "Before\0\0", 8) == 0);
  must(close(again) == 0);
}

static void nameless(void)
{
  int fd = open(".", O_TMPFILE | O_RDWR, 0644);
  must(fd >= 0);
  put(fd, "first ");
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  must(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
  put(fd, "second ");
  int other = open("named", O_WRONLY | O_APPEND);
  put(other, "third");
  must_hold(fd, 0, "first second third");
  must(fchmod(fd, 0600) == 0);
  int never = open(".", O_TMPFILE | O_RDWR, 0600);
  put(never, "never named");
  must(lseek(never, 0, SEEK_SET) == 0);
  char bytes[32];
  must(read(never, bytes, sizeof bytes) == 11);
  must(close(fd) == 0);
}

static void removed_input(void)
{
  char bytes[64];
  int fd = open("small", O_RDONLY);
  must(read(fd, bytes, 4) == 4 && memcmp(bytes, "one\n", 4) == 0);
  must(unlink("small") == 0);
  must(access("small", F_OK) < 0 && errno == ENOENT);
  must(read(fd, bytes, 4) == 4 && memcmp(bytes, "two\n", 4) == 0);
  must(read(fd, bytes, sizeof bytes) == 6 && memcmp(bytes, "three\n", 6) == 0);
  must_hold(fd, 0, "one\ntwo\nthree\n");
}

static void replaced_input(void)
{
  char bytes[64];
  int fd = open("tree/b", O_RDWR);
  int fresh = open("tree/b.new", O_WRONLY | O_CREAT | O_EXCL, 0600);
  put(fresh, "new b\n");
  must(rename("tree/b.new", "tree/b") == 0);
  must_hold(fd, 0, "bb");
  must(pwrite(fd, "lost", 4, 1) == 4);
  must_hold(fd, 0, "blost");
  put(fresh, "more\n");
  int now = open("tree/b", O_RDONLY);
  must_hold(now, 0, "new b\nmore\n");
  must(read(now, bytes, 6) == 6);
  must(rename("tree/b", "tree/b2") == 0);
  must(read(now, bytes, 6) == 5 && memcmp(bytes, "more\n", 5) == 0);
  must(link("tree/b2", "tree/b3") == 0 && unlink("tree/b2") == 0);
  put(fresh, "last\n");
  must_hold(now, 6, "more\nlast\n");
}

int main(void)
{
  scratch();
  nameless();
  removed_input();
  replaced_input();
  puts("unlinked: as they must be");
  return 0;
}
