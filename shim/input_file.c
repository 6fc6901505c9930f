/* SPDX-License-Identifier: Apache-2.0 */
/* Reading referenced bytes again would be an open, a pread and a close for each read, more than the read
 * was. So the descriptor stays, on a high number, while the program makes calls that cannot tell, and
 * with it a window of the bytes, for reads that are small.
 *
 * Replay runs one stream at a time, so that its turn guards what is kept here. Nothing is written. */
#include "shim/input_file.h"

#include "shim/descriptors.h"

#include <fcntl.h>

/* So far below the lock's number that the program's own descriptors end before. */
#define BELOW_LOCK 16

static int64_t kept = -1;
static const char *kept_path; /* in the feed: the same file has the same address */

LARGE_TABLE static uint8_t window[8192];
static uint64_t window_offset, window_length;

static int64_t open_file(const char *path)
{
  if (kept >= 0 && path == kept_path)
    return kept;
  input_file_close_before(NULL);
  int64_t fd = open_aside(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0)
    return fd;
  /* An open of the program's would get the low number. */
  int64_t high = engine.tail.header->lock_fd - BELOW_LOCK;
  kept = high > fd ? raw_syscall3(SYS_fcntl, (uint64_t)fd, F_DUPFD_CLOEXEC, (uint64_t)high) : -1;
  kept_path = path;
  if (kept < 0)
    return kept = fd;
  raw_syscall1(SYS_close, (uint64_t)fd);
  return kept;
}

/* Calls that replay answers without making, copying, closing or listing descriptors. */
static bool cannot_notice(const struct call *call)
{
  switch (call->id) {
  case SYS_read:
  case SYS_readv:
  case SYS_pread64:
  case SYS_preadv:
  case SYS_preadv2:
  case SYS_write:
  case SYS_writev:
  case SYS_pwrite64:
  case SYS_lseek:
  case SYS_stat:
  case SYS_fstat:
  case SYS_lstat:
  case SYS_newfstatat:
  case SYS_statx:
  case SYS_clock_gettime:
  case SYS_gettimeofday:
  case SYS_time:
    return true;
  }
  return call->shape->class == CALL_CLASS_OBSERVE && !call->shape->handler;
}

int64_t input_file_read(const char *path, void *to, uint64_t length, uint64_t offset)
{
  int64_t fd = open_file(path);
  if (fd < 0)
    return fd;
  if (length >= sizeof window / 2)
    return raw_syscall4(SYS_pread64, (uint64_t)fd, (uint64_t)to, length, offset);
  if (offset < window_offset || offset + length > window_offset + window_length) {
    uint64_t begin = offset & ~(sizeof window / 2 - 1);
    int64_t got = raw_syscall4(SYS_pread64, (uint64_t)fd, (uint64_t)window, sizeof window, begin);
    window_offset = begin;
    window_length = got > 0 ? (uint64_t)got : 0;
    if (got < 0)
      return got;
  }
  uint64_t end = window_offset + window_length;
  if (offset >= end)
    return 0;
  if (length > end - offset)
    length = end - offset;
  raw_copy(to, window + (offset - window_offset), length);
  return (int64_t)length;
}

void input_file_close_before(const struct call *call)
{
  if (__builtin_expect(kept < 0, 1) || (call && cannot_notice(call)))
    return;
  raw_syscall1(SYS_close, (uint64_t)kept);
  kept = -1;
  window_length = 0;
}
