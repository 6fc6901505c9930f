/* SPDX-License-Identifier: Apache-2.0 */
/* What the program gave of an upload that had no end: replay reads it from the program again, and keeps it
 * in a nameless file of the run's folder until the request has been sent again. A pipe cannot be
 * read twice, and a program need not be able to seek.
 *
 * The file is a sequence of the reads' results (8 bytes), each with its bytes. Killed at any line: the file is
 * gone with the process, and the next attempt makes it again. */
#include "shim/curl.h"

#include <fcntl.h>

#define SPOOL_NUMBER_FIRST 960

static bool is_count(uint64_t result)
{
  return result < CURL_READ_ABORT;
}

static void write_all(int64_t fd, const void *bytes, uint64_t length)
{
  while (length) {
    int64_t done = raw_syscall3(SYS_write, (uint64_t)fd, (uint64_t)bytes, length);
    if (done <= 0)
      engine_failed(TAIL_REPORT_FAILED, "an upload cannot be kept in ", engine.tail.header->run_directory, done);
    bytes = (const uint8_t *)bytes + done;
    length -= (uint64_t)done;
  }
}

void spool_put(struct curl_handle *handle, const void *bytes, uint64_t result)
{
  if (handle->spool < 0) {
    int64_t fd = raw_syscall3(SYS_open, (uint64_t)engine.tail.header->run_directory,
                              O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
      engine_failed(TAIL_REPORT_FAILED, "an upload cannot be kept in ", engine.tail.header->run_directory, fd);
    int64_t moved = raw_syscall3(SYS_fcntl, (uint64_t)fd, F_DUPFD_CLOEXEC, SPOOL_NUMBER_FIRST);
    if (moved >= 0)
      raw_syscall1(SYS_close, (uint64_t)fd);
    handle->spool = moved >= 0 ? moved : fd;
  }
  write_all(handle->spool, &result, sizeof result);
  if (is_count(result))
    write_all(handle->spool, bytes, result);
}

bool spool_take(struct curl_handle *handle, void *bytes, size_t room, uint64_t *ret_result)
{
  if (handle->spool < 0)
    return false;
  uint64_t fd = (uint64_t)handle->spool;
  if (!handle->frame_left) {
    uint64_t result;
    if (raw_syscall4(SYS_pread64, fd, (uint64_t)&result, sizeof result, handle->spool_place) != sizeof result)
      return false;
    handle->spool_place += sizeof result;
    if (!is_count(result) || !result) {
      *ret_result = result;
      return true;
    }
    handle->frame_left = result;
  }
  size_t piece = handle->frame_left < room ? (size_t)handle->frame_left : room;
  int64_t got = raw_syscall4(SYS_pread64, fd, (uint64_t)bytes, piece, handle->spool_place);
  if (got <= 0)
    engine_failed(TAIL_REPORT_FAILED, "an upload cannot be read back from ", engine.tail.header->run_directory, got);
  handle->spool_place += (uint64_t)got;
  handle->frame_left -= (uint64_t)got;
  *ret_result = (uint64_t)got;
  return true;
}

void spool_close(struct curl_handle *handle)
{
  if (handle->spool >= 0)
    raw_syscall1(SYS_close, (uint64_t)handle->spool);
  handle->spool = -1;
}
