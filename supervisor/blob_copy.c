/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs only ever grow: what a copy lacks is its end. A crash leaves a shorter copy, which the next one goes on with. */
#include "supervisor/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP (1u << 20)

static int copy_range(int from, int to, off_t begin, off_t end)
{
  while (begin < end) {
    off_t in = begin, out = begin;
    ssize_t count = copy_file_range(from, &in, to, &out, end - begin < STEP ? (size_t)(end - begin) : STEP, 0);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return count < 0 ? -errno : -EIO;
    begin += count;
  }
  return 0;
}

static int copy_one(int from_directory, int to_directory, const char *name)
{
  struct stat here, there;
  int error = 0;
  int from = openat(from_directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  int to = from < 0 ? -1 : openat(to_directory, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (from < 0 || to < 0 || fstat(from, &here) < 0 || fstat(to, &there) < 0)
    error = -errno;
  if (error == 0 && S_ISREG(here.st_mode) && there.st_size < here.st_size) {
    error = copy_range(from, to, there.st_size, here.st_size);
    if (error == 0 && fdatasync(to) < 0)
      error = -errno;
  }
  if (to >= 0)
    close(to);
  if (from >= 0)
    close(from);
  return error;
}

static int copy_all(DIR *from, int to)
{
  const struct dirent *found;
  bool any = false;
  int error = 0;
  while (error == 0 && (found = readdir(from)) != NULL) {
    if (found->d_name[0] == '.')
      continue;
    any = true;
    error = copy_one(dirfd(from), to, found->d_name);
  }
  if (error == 0 && any && fsync(to) < 0)
    error = -errno;
  return error;
}

int blobs_copy(const char *from, const char *to)
{
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s/" BLOBS_NAME, from) >= sizeof path)
    return -ENAMETOOLONG;
  DIR *directory = opendir(path);
  if (!directory)
    return errno == ENOENT ? 0 : -errno; /* there never were any, or the run has ended */
  int error = -ENAMETOOLONG;
  if ((size_t)snprintf(path, sizeof path, "%s/" BLOBS_NAME, to) < sizeof path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = fd < 0 ? -errno : copy_all(directory, fd);
    if (fd >= 0)
      close(fd);
  }
  closedir(directory);
  return error;
}
