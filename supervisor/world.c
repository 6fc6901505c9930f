/* SPDX-License-Identifier: Apache-2.0 */
/* The world as it is. No call follows a symlink in the last component: what lies under the very name
 * is asked for. Only attributes are looked at as the program's call did.
 *
 * A crash at any line is harmless: cutting and removing are one call each, and recovery comes to the
 * same conclusion when it looks again. */
#include "supervisor/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "journal/hash.h"

#define HASH_PIECE (64u << 10)

static uint64_t time_ns(const struct statx_timestamp *time)
{
  return (uint64_t)time->tv_sec * 1000000000u + time->tv_nsec;
}

static int world_look(void *context, const char *path, struct journal_file *ret_file)
{
  struct statx stx;
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stx) != 0)
    return -errno;
  *ret_file = (struct journal_file){
      .device = (uint64_t)stx.stx_dev_major << 32 | stx.stx_dev_minor,
      .inode = stx.stx_ino,
      .birth_ns = stx.stx_mask & STATX_BTIME ? time_ns(&stx.stx_btime) : 0,
      .size = stx.stx_size,
      .mtime_ns = time_ns(&stx.stx_mtime),
      .ctime_ns = time_ns(&stx.stx_ctime),
      .mode = stx.stx_mode,
      .link_count = stx.stx_nlink,
  };
  return 0;
}

static int world_look_link(void *context, const char *path, char *ret_target, size_t size)
{
  ssize_t length = readlink(path, ret_target, size);
  if (length < 0)
    return -errno;
  if ((size_t)length >= size)
    return -ENAMETOOLONG;
  ret_target[length] = '\0';
  return 0;
}

/* O_NONBLOCK: a name that has become a pipe must not hold recovery up. */
static int open_regular(const char *path, int flags)
{
  struct stat status;
  int fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
    return fd;
  close(fd);
  return -ENODATA;
}

static int hash_range(int fd, XXH3_state_t *state, uint64_t offset, uint64_t length)
{
  uint8_t piece[HASH_PIECE];
  while (length > 0) {
    ssize_t got = pread(fd, piece, length < sizeof piece ? length : sizeof piece, (off_t)offset);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -errno;
    if (got == 0)
      return -ENODATA;
    XXH3_64bits_update(state, piece, (size_t)got);
    offset += (uint64_t)got;
    length -= (uint64_t)got;
  }
  return 0;
}

static int world_hash(void *context, const char *path, uint64_t offset, uint64_t length,
                      uint64_t *ret_hash)
{
  int fd = open_regular(path, O_RDONLY);
  if (fd < 0)
    return fd;
  XXH3_state_t *state = XXH3_createState();
  int error = state ? 0 : -ENOMEM;
  if (!error) {
    XXH3_64bits_reset(state);
    error = hash_range(fd, state, offset, length);
  }
  if (!error)
    *ret_hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  close(fd);
  return error;
}

static int world_look_attribute(void *context, const char *path, const char *name, bool follow)
{
  ssize_t size = follow ? getxattr(path, name, NULL, 0) : lgetxattr(path, name, NULL, 0);
  if (size >= 0)
    return 1;
  return errno == ENODATA ? 0 : -errno;
}

static int world_cut(void *context, const char *path, uint64_t size)
{
  int fd = open_regular(path, O_WRONLY);
  if (fd < 0)
    return fd;
  int error = ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
  close(fd);
  return error;
}

static int world_remove(void *context, const char *path)
{
  return unlink(path) == 0 ? 0 : -errno;
}

const struct world world_real = {
    .look = world_look,
    .look_link = world_look_link,
    .hash = world_hash,
    .look_attribute = world_look_attribute,
    .cut = world_cut,
    .remove = world_remove,
};
