/* SPDX-License-Identifier: Apache-2.0 */
/* Buffered writing from one offset of a file on. Several writers may fill different parts of one. */
#ifndef PERDURE_SUPERVISOR_FEED_WRITER_H
#define PERDURE_SUPERVISOR_FEED_WRITER_H

#include <stddef.h>
#include <stdint.h>

#define FEED_WRITER_BUFFER_SIZE (256u << 10)

struct feed_writer {
  int fd;
  uint64_t offset; /* where the next byte goes */
  size_t used;     /* bytes of the buffer that are not in the file yet */
  uint8_t *buffer;
};

/* -ENOMEM. */
int feed_writer_begin(struct feed_writer *writer, int fd, uint64_t offset);
/* -errno of the write. */
int feed_writer_put(struct feed_writer *writer, const void *bytes, size_t length);
/* Zeros up to the next multiple of 8. */
int feed_writer_pad(struct feed_writer *writer);
int feed_writer_flush(struct feed_writer *writer);
/* Frees the buffer; what was not flushed is lost. Fine after a failed begin. */
void feed_writer_release(struct feed_writer *writer);

#endif
