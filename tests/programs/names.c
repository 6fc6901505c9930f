/* SPDX-License-Identifier: Apache-2.0 */
/* Names: given, exchanged, taken once. What fails, fails in every attempt. */
#include "must.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#define fails_with(error, call) must((call) < 0 && errno == (error))

static void make(const char *name, const char *text)
{
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
  must(fd >= 0);
  put(fd, text);
  must(close(fd) == 0);
}

static void renames(void)
{
  make("x", "x\n");
  make("y", "y\n");
  fails_with(EEXIST, renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE));
  must(renameat2(AT_FDCWD, "x", AT_FDCWD, "free", RENAME_NOREPLACE) == 0);
  must(renameat2(AT_FDCWD, "free", AT_FDCWD, "y", RENAME_EXCHANGE) == 0);
  must(renameat2(AT_FDCWD, "free", AT_FDCWD, "y", RENAME_EXCHANGE) == 0);
  must(renameat2(AT_FDCWD, "free", AT_FDCWD, "y", RENAME_EXCHANGE) == 0);
  fails_with(ENOENT, renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_EXCHANGE));
  int fd = open("y", O_RDONLY);
  must_hold(fd, 0, "x\n");
  must(rename("y", "y") == 0);
  must(link("y", "y2") == 0 && rename("y", "y2") == 0);
  must(access("y", F_OK) == 0 && access("y2", F_OK) == 0);
  fails_with(ENOENT, rename("nothing", "y"));
  fails_with(EISDIR, rename("y", "tree"));
  fails_with(ENOTDIR, rename("tree", "y"));
  fails_with(EINVAL, rename("tree", "tree/below/tree"));
  must(renameat2(AT_FDCWD, "tree/below", AT_FDCWD, "free", RENAME_EXCHANGE) == 0);
  must(access("free/c", F_OK) == 0);
  must(close(fd) == 0);
}

static void links(void)
{
  must(link("small", "hard") == 0);
  fails_with(EEXIST, link("small", "hard"));
  fails_with(ENOENT, link("nothing", "hard2"));
  fails_with(EPERM, link("tree", "hard2"));
  must(linkat(AT_FDCWD, "tree/link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW) == 0);
  must(linkat(AT_FDCWD, "tree/link", AT_FDCWD, "itself", 0) == 0);
  must(symlink("small", "soft") == 0);
  fails_with(EEXIST, symlink("small", "soft"));
  must(symlink("nowhere/at/all", "dangling") == 0);
  char target[64];
  must(readlink("dangling", target, sizeof target) == 14);
  must(symlinkat("small", AT_FDCWD, "soft2") == 0);
  must(unlink("soft2") == 0 && unlink("hard") == 0);
  fails_with(ENOENT, unlink("hard"));
  fails_with(EISDIR, unlink("tree"));
  struct stat about;
  must(stat("small", &about) == 0 && about.st_nlink == 1);
  int fd = open("soft", O_WRONLY | O_APPEND);
  put(fd, "by its link\n");
  fails_with(EEXIST, open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0600));
  fails_with(ELOOP, open("soft", O_RDONLY | O_NOFOLLOW));
  fails_with(ENOENT, open("dangling", O_WRONLY | O_CREAT, 0600));
  must(symlink("made_by_link", "late") == 0);
  fd = open("late", O_WRONLY | O_CREAT, 0600);
  put(fd, "made by its link\n");
  must(unlink("late") == 0);
  put(fd, "and the link is gone\n");
}

static void nodes(void)
{
  umask(027);
  must(mknod("fifo", S_IFIFO | 0666, 0) == 0);
  fails_with(EEXIST, mkfifo("fifo", 0600));
  must(mknod("plain", S_IFREG | 0666, 0) == 0);
  fails_with(EEXIST, mknod("plain", S_IFREG | 0666, 0));
  fails_with(EEXIST, open("plain", O_WRONLY | O_CREAT | O_EXCL, 0600));
  fails_with(ENOENT, open("no/where", O_WRONLY | O_CREAT, 0600));
  fails_with(EISDIR, open("tree", O_WRONLY | O_CREAT, 0600));
  fails_with(ENOTDIR, open("small/under", O_RDONLY));
  must(open("fifo", O_RDWR | O_NONBLOCK) >= 0);
  must(creat("plain", 0600) >= 0);
  struct stat about;
  must(stat("plain", &about) == 0 && (about.st_mode & 0777) == 0640);
  make("masked", "");
  for (int i = 0; i < 3; i++) {
    make("again", "and again\n");
    must(unlink("again") == 0);
  }
  make("again", "the last one\n");
}

int main(void)
{
  renames();
  links();
  nodes();
  puts("names: each once");
  return 0;
}
