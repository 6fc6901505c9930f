/* SPDX-License-Identifier: Apache-2.0 */
/* Absolute paths, joined as text: which file a name means is told by its identity, not by its path. Only
 * names that are about to change have their directory asked from the kernel. */
#include "shim/paths.h"

#include "shim/engine.h"

#include <fcntl.h>

size_t path_put_text(char *to, size_t used, const char *text)
{
  while (*text)
    to[used++] = *text++;
  to[used] = 0;
  return used;
}

size_t path_put_number(char *to, size_t used, uint64_t number, unsigned base)
{
  char digits[24];
  int place = sizeof digits;
  do {
    digits[--place] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number);
  while (place < (int)sizeof digits)
    to[used++] = digits[place++];
  to[used] = 0;
  return used;
}

void path_proc_fd(int fd, char ret_path[32])
{
  size_t used = path_put_text(ret_path, 0, "/proc/self/fd/");
  path_put_number(ret_path, used, (uint32_t)fd, 10);
}

size_t path_of_descriptor(int fd, char *ret_path)
{
  char link[32];
  path_proc_fd(fd, link);
  int64_t length = raw_syscall4(SYS_readlinkat, (uint64_t)AT_FDCWD, (uint64_t)link, (uint64_t)ret_path,
                                PATH_ROOM - 1);
  if (length < 0)
    length = 0;
  ret_path[length] = 0;
  return (size_t)length;
}

size_t path_full(int dirfd, const char *path, char *ret_full)
{
  size_t used = 0;
  if (path[0] != '/') {
    if (dirfd == AT_FDCWD) {
      size_t length = raw_length(engine.directory);
      raw_copy(ret_full, engine.directory, length);
      used = length;
    } else {
      used = path_of_descriptor(dirfd, ret_full);
    }
    if (!used)
      return 0;
  }
  while (*path) {
    while (*path == '/')
      path++;
    if (path[0] == '.' && (path[1] == '/' || path[1] == 0)) {
      path++;
      continue;
    }
    size_t length = 0;
    while (path[length] && path[length] != '/')
      length++;
    if (!length)
      break;
    if (used + length + 2 > PATH_ROOM)
      return 0;
    if (!used || ret_full[used - 1] != '/')
      ret_full[used++] = '/';
    raw_copy(ret_full + used, path, length);
    used += length;
    path += length;
  }
  if (!used)
    ret_full[used++] = '/';
  ret_full[used] = 0;
  return used;
}

/* The directory that the first `length` bytes of `path` name, as the kernel knows it. 0: it is not there. */
static size_t directory_full(int dirfd, const char *path, size_t length, char *ret_full)
{
  raw_copy(ret_full, path, length);
  ret_full[length] = 0;
  int64_t fd = raw_syscall4(SYS_openat, (uint64_t)(int64_t)dirfd, (uint64_t)ret_full,
                            O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return 0;
  size_t used = path_of_descriptor((int)fd, ret_full);
  raw_syscall1(SYS_close, (uint64_t)fd);
  return ret_full[0] == '/' ? used : 0;
}

size_t path_name(int dirfd, const char *path, char *ret_full)
{
  size_t end = raw_length(path);
  while (end > 1 && path[end - 1] == '/')
    end--;
  size_t name = end;
  while (name > 0 && path[name - 1] != '/')
    name--;
  size_t length = end - name;
  bool dots = (length == 1 && path[name] == '.') ||
              (length == 2 && path[name] == '.' && path[name + 1] == '.');
  if (name == 0 || length == 0 || dots || name >= PATH_ROOM)
    return path_full(dirfd, path, ret_full);
  size_t used = directory_full(dirfd, path, name, ret_full);
  if (!used || used + length + 2 > PATH_ROOM)
    return path_full(dirfd, path, ret_full);
  if (ret_full[used - 1] != '/')
    ret_full[used++] = '/';
  raw_copy(ret_full + used, path + name, length);
  ret_full[used + length] = 0;
  return used + length;
}

bool path_moved(char *path, size_t room, const char *from, size_t from_length, const char *to,
                size_t to_length)
{
  size_t length = raw_length(path);
  if (length < from_length || !raw_equal(path, from, from_length) ||
      (path[from_length] && path[from_length] != '/') || length - from_length + to_length + 1 > room)
    return false;
  char rest[PATH_ROOM];
  size_t rest_length = length - from_length;
  raw_copy(rest, path + from_length, rest_length + 1);
  raw_copy(path, to, to_length);
  raw_copy(path + to_length, rest, rest_length + 1);
  return true;
}
