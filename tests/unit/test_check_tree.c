/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/check_tree.h"

#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

static struct failure failure;

static void write_file(const char *path, const char *text, mode_t mode)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ssize_t written = write(fd, text, strlen(text));

  assert(fd >= 0 && written == (ssize_t)strlen(text));
  fchmod(fd, mode);
  close(fd);
}

static void read_text(const char *path, char *ret_text, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, ret_text, size - 1);

  ret_text[length < 0 ? 0 : length] = '\0';
  if (fd >= 0)
    close(fd);
}

static void set_times(const char *path)
{
  struct timespec times[2] = {{1000000000, 5}, {1100000000, 7}};
  int set = utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);

  assert(set == 0);
}

/* A megabyte of hole, one block of data, a hole. */
static void write_sparse(const char *path)
{
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool made = fd >= 0 && pwrite(fd, "data", 4, 1 << 20) == 4 && ftruncate(fd, 3 << 20) == 0;

  assert(made);
  close(fd);
}

static bool has_attributes;

static void make_source(void)
{
  mkdir(scratch_path("from"), 0751);
  mkdir(scratch_path("from/d"), 0700);
  mkdir(scratch_path("from/d/empty"), 0500);
  write_file(scratch_path("from/a"), "hello", 0640);
  write_file(scratch_path("from/closed"), "secret", 0400);
  int linked = link(scratch_path("from/a"), scratch_path("from/d/same"));
  int symlinked = symlink("no/where", scratch_path("from/s"));
  int pipe_made = mkfifo(scratch_path("from/p"), 0622);
  assert(linked == 0 && symlinked == 0 && pipe_made == 0);
  write_sparse(scratch_path("from/sparse"));
  chmod(scratch_path("from/p"), 0622);
  has_attributes = setxattr(scratch_path("from/a"), "user.colour", "red", 3, 0) == 0;
  set_times(scratch_path("from/a"));
  set_times(scratch_path("from/s"));
  set_times(scratch_path("from/d"));
}

static void test_copy(void)
{
  struct stat a, same, status;
  char text[16], target[32] = "";
  int error;

  make_source();
  error = check_tree_copy(scratch_path("from"), scratch_path("to"), NULL, &failure);
  if (!tap_ok(error == 0, "a tree is copied"))
    tap_note("%s", failure.text);
  read_text(scratch_path("to/a"), text, sizeof text);
  tap_ok(strcmp(text, "hello") == 0, "contents are copied");
  stat(scratch_path("to/a"), &a);
  stat(scratch_path("to/d/same"), &same);
  tap_ok(a.st_ino == same.st_ino && a.st_nlink == 2, "names of one file are names of one copy");
  stat(scratch_path("from/a"), &same);
  tap_ok(a.st_ino != same.st_ino, "the copy is another file than the original");
  stat(scratch_path("to"), &status);
  tap_ok((a.st_mode & 07777) == 0640 && (status.st_mode & 07777) == 0751, "modes are copied");
  stat(scratch_path("to/d"), &status);
  tap_ok(a.st_mtim.tv_sec == 1100000000 && a.st_mtim.tv_nsec == 7 &&
             status.st_mtim.tv_sec == 1100000000,
         "times of files and directories are copied");
  ssize_t length = readlink(scratch_path("to/s"), target, sizeof target - 1);
  lstat(scratch_path("to/s"), &status);
  tap_ok(length == 8 && strcmp(target, "no/where") == 0 && status.st_mtim.tv_sec == 1100000000,
         "symlinks are copied as symlinks");
  stat(scratch_path("to/p"), &status);
  tap_ok(status.st_mode == (S_IFIFO | 0622), "named pipes are copied as named pipes");
  stat(scratch_path("to/sparse"), &status);
  tap_ok(status.st_size == 3 << 20 && status.st_blocks * 512 < 1 << 20, "holes stay holes");
  tap_ok(!has_attributes ||
             (getxattr(scratch_path("to/a"), "user.colour", text, sizeof text) == 3 &&
              memcmp(text, "red", 3) == 0),
         "extended attributes are copied");
}

static void test_leave_out(void)
{
  struct stat status;
  int error;

  mkdir(scratch_path("from/inside"), 0700);
  stat(scratch_path("from/inside"), &status);
  error =
      check_tree_copy(scratch_path("from"), scratch_path("from/inside/copy"), &status, &failure);
  tap_ok(error == 0 && access(scratch_path("from/inside/copy/a"), F_OK) == 0 &&
         access(scratch_path("from/inside/copy/inside"), F_OK) < 0,
         "a copy inside of what is copied does not copy itself");
  tap_ok(check_tree_copy(scratch_path("from"), scratch_path("to"), NULL, &failure) == -EEXIST,
         "an existing directory is not copied into");
  tap_ok(check_tree_copy(scratch_path("missing"), scratch_path("x"), NULL, &failure) == -ENOENT &&
         strstr(failure.text, "missing") != NULL, "a missing directory is named");
}

static const struct check_entry *find(const struct check_tree *tree, const char *path)
{
  for (size_t i = 0; i < tree->count; i++)
    if (strcmp(tree->entries[i].path, path) == 0)
      return &tree->entries[i];
  return NULL;
}

static void test_list(void)
{
  struct check_tree tree;
  bool ordered = true;
  int error;

  write_file(scratch_path("to/d.x"), "", 0600);
  error = check_tree_list(scratch_path("to"), &tree, &failure);
  assert(error == 0);
  for (size_t i = 1; i < tree.count; i++)
    ordered = ordered && check_path_order(tree.entries[i - 1].path, tree.entries[i].path) < 0;
  tap_ok(ordered && strcmp(tree.entries[0].path, ".") == 0 && tree.count == 10,
         "a tree is listed in order, its root first");
  tap_ok(find(&tree, "d/empty") < find(&tree, "d.x") &&
             find(&tree, "d") + 1 == find(&tree, "d/empty"),
         "what is in a directory follows it at once");
  tap_ok(strcmp(find(&tree, "s")->target, "no/where") == 0 && find(&tree, "a")->target == NULL,
         "symlinks have their target");
  tap_ok(find(&tree, "d/same")->first_link == (size_t)(find(&tree, "a") - tree.entries) &&
         find(&tree, "a")->first_link == (size_t)(find(&tree, "a") - tree.entries) &&
         find(&tree, "closed")->first_link == (size_t)(find(&tree, "closed") - tree.entries),
         "each entry knows the first name of its file");
  tap_ok(!has_attributes || strcmp(find(&tree, "a")->attributes, "user.colour=726564") == 0,
         "extended attributes are listed");
  check_tree_release(&tree);
  tap_ok(check_path_within("d/x", "d") && !check_path_within("dx", "d") &&
             !check_path_within("d", "d") && check_path_within("d", ".") &&
             !check_path_within(".", "."),
         "a path lies in a directory or not");
}

static void test_remove(void)
{
  chmod(scratch_path("to/d"), 0);
  tap_ok(check_tree_remove(scratch_path("to"), &failure) == 0 &&
             access(scratch_path("to"), F_OK) < 0,
         "a tree is removed, whatever modes it has");
  tap_ok(check_tree_remove(scratch_path("to"), &failure) == 0,
         "what is not there need not be removed");
}

int main(void)
{
  scratch_create();
  umask(022);
  test_copy();
  test_leave_out();
  test_list();
  test_remove();
  scratch_remove();
  return tap_done();
}
