/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/feed_writer.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BEGIN 40
#define PIECE 1009 /* divides no buffer */
#define PIECES 6000
#define LENGTH ((size_t)PIECE * PIECES)

static uint8_t pieces[PIECES][PIECE];

static bool put_all(struct feed_writer *writer, size_t flush_every)
{
  for (size_t i = 0; i < PIECES; i++)
    if (feed_writer_put(writer, pieces[i], PIECE) || (i % flush_every == 0 && feed_writer_flush(writer)))
      return false;
  return true;
}

static void test_whole(size_t flush_every, const char *promise)
{
  struct feed_writer writer;
  int fd = memfd_create("feed", MFD_CLOEXEC);
  bool passed = fd >= 0 && feed_writer_begin(&writer, fd, BEGIN) == 0 && put_all(&writer, flush_every) &&
                feed_writer_pad(&writer) == 0 && feed_writer_flush(&writer) == 0 && writer.offset % 8 == 0;
  uint8_t *written = malloc(LENGTH);
  passed = passed && pread(fd, written, LENGTH, BEGIN) == (ssize_t)LENGTH &&
           memcmp(written, pieces, LENGTH) == 0 && lseek(fd, 0, SEEK_END) == (off_t)writer.offset;
  tap_ok(passed, "%s", promise);
  feed_writer_release(&writer);
  free(written);
  close(fd);
}

static void test_failure(void)
{
  struct feed_writer writer;
  bool begun = feed_writer_begin(&writer, -1, 0) == 0;
  int error = 0;
  for (size_t i = 0; !error && i < PIECES; i++)
    error = feed_writer_put(&writer, pieces[i], PIECE);
  tap_ok(begun && error == -EBADF && feed_writer_flush(&writer) == -EBADF,
         "a write that fails beside the caller is told to the caller, and not forgotten");
  feed_writer_release(&writer);
}

int main(void)
{
  for (size_t i = 0; i < PIECES; i++)
    for (size_t j = 0; j < PIECE; j++)
      pieces[i][j] = (uint8_t)(i * 31 + j * j);
  test_whole(PIECES, "many buffers arrive whole and in order");
  test_whole(700, "so they do when the file must be whole in between");
  test_failure();
  return tap_done();
}
