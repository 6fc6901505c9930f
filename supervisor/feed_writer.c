/* SPDX-License-Identifier: Apache-2.0 */
/* The file is a temporary one until it is whole, so a crash at any line leaves nothing that is read. */
#include "supervisor/feed_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int feed_writer_begin(struct feed_writer *writer, int fd, uint64_t offset)
{
  *writer = (struct feed_writer){.fd = fd, .offset = offset};
  writer->buffer = malloc(FEED_WRITER_BUFFER_SIZE);
  return writer->buffer ? 0 : -ENOMEM;
}

static int write_whole(int fd, const uint8_t *bytes, size_t length, uint64_t offset)
{
  while (length > 0) {
    ssize_t done = pwrite(fd, bytes, length, (off_t)offset);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return -errno;
    bytes += done;
    length -= (size_t)done;
    offset += (uint64_t)done;
  }
  return 0;
}

int feed_writer_flush(struct feed_writer *writer)
{
  int error = write_whole(writer->fd, writer->buffer, writer->used, writer->offset - writer->used);
  if (!error)
    writer->used = 0;
  return error;
}

int feed_writer_put(struct feed_writer *writer, const void *bytes, size_t length)
{
  const uint8_t *from = bytes;
  while (length > 0) {
    size_t part = FEED_WRITER_BUFFER_SIZE - writer->used;
    part = part < length ? part : length;
    memcpy(writer->buffer + writer->used, from, part);
    writer->used += part;
    writer->offset += part;
    from += part;
    length -= part;
    if (writer->used < FEED_WRITER_BUFFER_SIZE)
      continue;
    int error = feed_writer_flush(writer);
    if (error)
      return error;
  }
  return 0;
}

int feed_writer_pad(struct feed_writer *writer)
{
  static const uint8_t zeros[8];
  return feed_writer_put(writer, zeros, -writer->offset & 7);
}

void feed_writer_release(struct feed_writer *writer)
{
  free(writer->buffer);
  writer->buffer = NULL;
}
