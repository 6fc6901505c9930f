/* SPDX-License-Identifier: Apache-2.0 */
/* Copies a tree. It writes only below a new directory, which whoever asked for it removes: a crash
 * at any line leaves that directory behind and nothing else. */
#include "supervisor/check_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COPY_CHUNK 65536
#define ATTRIBUTES_MAX 65536 /* bytes of names, and of one value: the kernel's own limit */

/* A file with several names, under the first one that was copied. */
struct linked {
  dev_t device;
  ino_t inode;
  char path[]; /* relative to the copy's root */
};

struct copying {
  int to_root;
  const struct stat *leave_out;
  void *linked; /* tsearch tree of struct linked */
  bool no_clone; /* this filesystem shares no blocks */
  uint64_t entries, bytes;
  struct failure *failure;
};

/* One directory of the tree; `path` is relative to the root, for hard links and messages. */
struct place {
  int from, to;
  const char *path;
};

static int fail(struct copying *copying, const char *what, const char *path)
{
  int error = errno != 0 ? -errno : -EIO;

  return failure_set(copying->failure, error, "cannot %s %s: %s", what, path, strerror(-error));
}

static int compare_linked(const void *a, const void *b)
{
  const struct linked *left = a, *right = b;

  if (left->device != right->device)
    return left->device < right->device ? -1 : 1;
  return left->inode < right->inode ? -1 : left->inode > right->inode;
}

/* All names of the attributes of a file: of /proc/self/fd/N for an open one, which may be a
 * symlink. */
static void copy_attributes(const char *from, const char *to, bool follow)
{
  static char names[ATTRIBUTES_MAX], value[ATTRIBUTES_MAX];
  ssize_t length =
      follow ? listxattr(from, names, sizeof names) : llistxattr(from, names, sizeof names);

  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
    ssize_t size = follow ? getxattr(from, names + at, value, sizeof value)
                          : lgetxattr(from, names + at, value, sizeof value);

    /* Some are not ours to set (security.*): as with owners, what may be copied is. */
    if (size >= 0 && (follow ? setxattr(to, names + at, value, (size_t)size, 0)
                             : lsetxattr(to, names + at, value, (size_t)size, 0)) < 0)
      continue;
  }
}

static int write_all(int fd, const char *bytes, size_t length)
{
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);

    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return -1;
    bytes += written;
    length -= (size_t)written;
  }
  return 0;
}

/* The bytes from `offset` up to `end`, which are no hole. -1: errno says why. */
static int copy_range(int from, int to, off_t offset, off_t end)
{
  static char chunk[COPY_CHUNK];

  if (lseek(from, offset, SEEK_SET) < 0 || lseek(to, offset, SEEK_SET) < 0)
    return -1;
  while (offset < end) {
    size_t wanted = end - offset < COPY_CHUNK ? (size_t)(end - offset) : COPY_CHUNK;
    ssize_t length = read(from, chunk, wanted);

    if (length < 0 && errno == EINTR)
      continue;
    if (length < 0 || write_all(to, chunk, (size_t)length) < 0)
      return -1;
    if (length == 0)
      return 0; /* it has become shorter */
    offset += length;
  }
  return 0;
}

static int copy_contents(struct copying *copying, int from, int to, const struct stat *status)
{
  off_t data = 0, hole;

  if (status->st_size == 0)
    return 0;
  if (!copying->no_clone) {
    if (ioctl(to, FICLONE, from) == 0)
      return 0;
    copying->no_clone = true;
  }
  if ((uint64_t)status->st_blocks * 512 >= (uint64_t)status->st_size)
    return copy_range(from, to, 0, status->st_size);
  if (ftruncate(to, status->st_size) < 0)
    return -1;
  while ((data = lseek(from, data, SEEK_DATA)) >= 0) {
    hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0 || copy_range(from, to, data, hole) < 0)
      return -1;
    data = hole;
  }
  return errno == ENXIO ? 0 : -1; /* no data behind the last */
}

/* Owner, mode, times and attributes of an open copy. The owner first: changing it may drop mode
 * bits. */
static int copy_status(struct copying *copying, int from, int to, const struct stat *status,
                       const char *path)
{
  struct timespec times[2] = {status->st_atim, status->st_mtim};
  char from_name[64], to_name[64];

  snprintf(from_name, sizeof from_name, "/proc/self/fd/%d", from);
  snprintf(to_name, sizeof to_name, "/proc/self/fd/%d", to);
  if (fchown(to, status->st_uid, status->st_gid) < 0 && errno != EPERM && errno != EINVAL)
    return fail(copying, "set the owner of the copy of", path);
  copy_attributes(from_name, to_name, true);
  if (fchmod(to, status->st_mode & 07777) < 0 || futimens(to, times) < 0)
    return fail(copying, "set mode and times of the copy of", path);
  return 0;
}

static int copy_file(struct copying *copying, const struct place *place, const char *name,
                     const struct stat *status, const char *path)
{
  int from = openat(place->from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  int to, error;

  if (from < 0)
    return fail(copying, "read", path);
  to = openat(place->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0 || copy_contents(copying, from, to, status) < 0)
    error = fail(copying, "copy", path);
  else
    error = copy_status(copying, from, to, status, path);
  close(from);
  if (to >= 0)
    close(to);
  return error;
}

/* A symlink, device, named pipe or socket. */
static int copy_special(struct copying *copying, const struct place *place, const char *name,
                        const struct stat *status, const char *path)
{
  struct timespec times[2] = {status->st_atim, status->st_mtim};
  char target[PATH_MAX], from_name[PATH_MAX], to_name[PATH_MAX];
  ssize_t length;

  if (S_ISLNK(status->st_mode)) {
    length = readlinkat(place->from, name, target, sizeof target - 1);
    if (length < 0)
      return fail(copying, "read", path);
    target[length] = '\0';
    if (symlinkat(target, place->to, name) < 0)
      return fail(copying, "copy", path);
  } else if (mknodat(place->to, name, status->st_mode & (S_IFMT | 07777), status->st_rdev) < 0) {
    return fail(copying, "copy", path);
  }
  if (fchownat(place->to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
      errno != EPERM && errno != EINVAL)
    return fail(copying, "set the owner of the copy of", path);
  if (!S_ISLNK(status->st_mode) && fchmodat(place->to, name, status->st_mode & 07777, 0) < 0)
    return fail(copying, "set the mode of the copy of", path);
  snprintf(from_name, sizeof from_name, "/proc/self/fd/%d/%s", place->from, name);
  snprintf(to_name, sizeof to_name, "/proc/self/fd/%d/%s", place->to, name);
  copy_attributes(from_name, to_name, false);
  if (utimensat(place->to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
    return fail(copying, "set the times of the copy of", path);
  return 0;
}

/* A file with several names is copied under its first and linked to the others. *ret_done: it was
 * copied before, and has got this name now. */
static int copy_link(struct copying *copying, const struct place *place, const char *name,
                     const struct stat *status, const char *path, bool *ret_done)
{
  struct linked *link = malloc(sizeof *link + strlen(path) + 1), **found;

  *ret_done = false;
  if (link == NULL)
    return fail(copying, "copy", path);
  link->device = status->st_dev;
  link->inode = status->st_ino;
  strcpy(link->path, path);
  found = tsearch(link, &copying->linked, compare_linked);
  if (found == NULL) {
    free(link);
    errno = ENOMEM;
    return fail(copying, "copy", path);
  }
  if (*found == link)
    return 0;
  free(link);
  if (linkat(copying->to_root, (*found)->path, place->to, name, 0) < 0)
    return fail(copying, "link the copy of", path);
  *ret_done = true;
  return 0;
}

static int copy_directory(struct copying *copying, const struct place *place);

static int copy_subdirectory(struct copying *copying, const struct place *place, const char *name,
                             const struct stat *status, const char *path)
{
  struct place below = {.from = -1, .to = -1, .path = path};
  int error;

  if (mkdirat(place->to, name, 0700) < 0)
    return fail(copying, "make", path);
  below.from = openat(place->from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  below.to = openat(place->to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (below.from < 0 || below.to < 0)
    error = fail(copying, "read", path);
  else
    error = copy_directory(copying, &below);
  if (error == 0)
    error = copy_status(copying, below.from, below.to, status, path);
  if (below.from >= 0)
    close(below.from);
  if (below.to >= 0)
    close(below.to);
  return error;
}

static int copy_entry(struct copying *copying, const struct place *place, const char *name)
{
  char path[PATH_MAX];
  struct stat status;
  bool done = false;
  int error = 0;

  if (snprintf(path, sizeof path, "%s%s%s", place->path, place->path[0] != '\0' ? "/" : "", name) >=
      (int)sizeof path) {
    errno = ENAMETOOLONG;
    return fail(copying, "copy", place->path);
  }
  if (fstatat(place->from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return fail(copying, "read", path);
  if (copying->leave_out != NULL && status.st_dev == copying->leave_out->st_dev &&
      status.st_ino == copying->leave_out->st_ino)
    return 0;
  copying->entries++;
  copying->bytes += (uint64_t)status.st_blocks * 512;
  if (copying->entries > CHECK_TREE_ENTRIES_MAX || copying->bytes > CHECK_TREE_BYTES_MAX)
    return failure_set(copying->failure, -EFBIG,
                       "the directory holds more than %u files or %llu MiB: "
                       "each point gets a copy of it; give a smaller one with --from",
                       CHECK_TREE_ENTRIES_MAX, CHECK_TREE_BYTES_MAX >> 20);
  if (S_ISDIR(status.st_mode))
    return copy_subdirectory(copying, place, name, &status, path);
  if (status.st_nlink > 1)
    error = copy_link(copying, place, name, &status, path, &done);
  if (error < 0 || done)
    return error;
  return S_ISREG(status.st_mode) ? copy_file(copying, place, name, &status, path)
                                 : copy_special(copying, place, name, &status, path);
}

static int copy_directory(struct copying *copying, const struct place *place)
{
  int again = openat(place->from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = again < 0 ? NULL : fdopendir(again);
  struct dirent *found;
  int error = 0;

  if (directory == NULL) {
    error = fail(copying, "read", place->path);
    if (again >= 0)
      close(again);
    return error;
  }
  while (error == 0 && (errno = 0, found = readdir(directory)) != NULL)
    if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
      error = copy_entry(copying, place, found->d_name);
  if (error == 0 && errno != 0)
    error = fail(copying, "read", place->path);
  closedir(directory);
  return error;
}

int check_tree_copy(const char *from, const char *to, const struct stat *leave_out,
                    struct failure *failure)
{
  struct copying copying = {.leave_out = leave_out, .failure = failure};
  struct place place = {.from = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                        .to = -1,
                        .path = ""};
  struct stat status;
  int error = 0;

  if (place.from < 0 || fstat(place.from, &status) < 0)
    error = fail(&copying, "read", from);
  else if (mkdir(to, 0700) < 0 || (place.to = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    error = fail(&copying, "make", to);
  copying.to_root = place.to;
  if (error == 0)
    error = copy_directory(&copying, &place);
  if (error == 0)
    error = copy_status(&copying, place.from, place.to, &status, from);
  tdestroy(copying.linked, free);
  if (place.from >= 0)
    close(place.from);
  if (place.to >= 0)
    close(place.to);
  return error;
}
