/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic regions with every change of files that they take back. Each step reads what it is about to change: if
 * anything of an unfinished region were left, it would find something else than in its first run. */
#include "control-api/perdure.h"
#include "must.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static void make(const char *name, const char *text)
{
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0640);
  must(fd >= 0);
  put(fd, text);
  close(fd);
}

static void holds(const char *name, const char *text)
{
  char bytes[256] = "";
  int fd = open(name, O_RDONLY);
  must(fd >= 0);
  must(read(fd, bytes, sizeof bytes - 1) == (ssize_t)strlen(text));
  must(strcmp(bytes, text) == 0);
  close(fd);
}

static void must_be_free(const char *name)
{
  must(access(name, F_OK) < 0 && errno == ENOENT);
}

static void prepare(void)
{
  make("over", "0123456789");
  make("append", "one\n");
  make("cut", "long enough to be cut");
  make("gone", "it goes");
  make("from", "moved");
  make("victim", "replaced");
  make("left", "left");
  make("right", "right");
  make("moded", "mode");
  must(setxattr("moded", "user.kept", "old", 3, 0) == 0);
  must(setxattr("over", "user.gone", "", 0, 0) == 0);
  must(mkdir("old", 0750) == 0);
  must(symlink("over", "link") == 0);
  make("linked", "behind a link");
  must(symlink("linked", "to-linked") == 0);
  must(symlink("nowhere", "to-nowhere") == 0);
}

/* What symlinks lead to. */
static void through_links(void)
{
  struct stat status;
  must(stat("linked", &status) == 0 && (status.st_mode & 07777) == 0640);
  holds("linked", "behind a link");
  must_be_free("nowhere");
  must(chmod("to-linked", 0604) == 0);
  int fd = open("to-linked", O_WRONLY | O_TRUNC);
  put(fd, "cut through a link");
  close(fd);
  fd = open("to-nowhere", O_WRONLY | O_CREAT, 0600);
  put(fd, "somewhere");
  close(fd);
}

/* Contents, by a descriptor from before the region too. */
static void contents(int before)
{
  holds("over", "0123456789");
  holds("append", "one\n");
  holds("cut", "long enough to be cut");
  must(pwrite(before, "AB", 2, 3) == 2);
  must(pwrite(before, "CD", 2, 4) == 2);
  int fd = open("append", O_WRONLY | O_APPEND);
  put(fd, "two\n");
  put(fd, "three\n");
  close(fd);
  must(truncate("cut", 4) == 0);
  fd = open("cut", O_WRONLY);
  must(pwrite(fd, "beyond", 6, 8) == 6);
  must(ftruncate(fd, 12) == 0);
  close(fd);
}

static void names(void)
{
  holds("gone", "it goes");
  holds("from", "moved");
  holds("victim", "replaced");
  must_be_free("new");
  must_be_free("made");
  make("new", "created");
  must(mkdir("made", 0700) == 0);
  make("made/inside", "inside");
  must(unlink("gone") == 0);
  make("gone", "another of that name");
  must(rename("from", "victim") == 0);
  must(link("over", "hard") == 0);
  must(unlink("link") == 0);
  must(symlink("left", "link") == 0);
  must(rmdir("old") == 0);
  must(rename("made", "old") == 0);
  must(renameat2(AT_FDCWD, "left", AT_FDCWD, "right", RENAME_EXCHANGE) == 0);
}

static void states(void)
{
  struct stat status;
  must(stat("moded", &status) == 0 && (status.st_mode & 07777) == 0640);
  char value[8] = "";
  must(getxattr("moded", "user.kept", value, sizeof value) == 3 && strcmp(value, "old") == 0);
  must(getxattr("moded", "user.new", value, sizeof value) < 0 && errno == ENODATA);
  must(setxattr("moded", "user.kept", "other", 5, 0) == 0);
  must(setxattr("moded", "user.kept", "another", 7, 0) == 0);
  must(setxattr("moded", "user.new", "", 0, XATTR_CREATE) == 0);
  must(removexattr("over", "user.gone") == 0);
  must(chmod("moded", 0600) == 0);
  const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
  must(utimensat(AT_FDCWD, "moded", times, 0) == 0);
}

int main(void)
{
  struct perdure_token outer, inner;
  umask(022);
  prepare();
  int before = open("over", O_RDWR);
  must(perdure_atomic_begin(&outer) == 0);
  contents(before);
  must(perdure_atomic_begin(&inner) == 0);
  names();
  if (perdure_journal_index())
    must(perdure_atomic_end(outer) == PERDURE_ERROR_ORDER);
  must(perdure_atomic_end(inner) == 0);
  states();
  through_links();
  must(perdure_atomic_end(outer) == 0);
  holds("over", "012ACD6789");
  holds("victim", "moved");
  for (int i = 0; i < 3; i++)
    PERDURE_ATOMICALLY {
      make("again", "x");
      if (i == 2)
        break;
      must(unlink("again") == 0);
    }
  puts("done");
  return 0;
}
