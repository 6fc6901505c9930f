/* SPDX-License-Identifier: Apache-2.0 */
/* Buffered writing from one offset of a file on. Several writers may fill different parts of one. Full
 * buffers are written by a thread of the writer's own, beside whoever makes the next one. */
#ifndef PERDURE_SUPERVISOR_FEED_WRITER_H
#define PERDURE_SUPERVISOR_FEED_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_WRITER_BUFFER_SIZE (512u << 10)
#define FEED_WRITER_BUFFERS 4

struct feed_writer {
  int fd;
  uint64_t offset; /* where the next byte goes */
  size_t used;     /* bytes of the buffer that are not handed over yet */
  uint8_t *buffer; /* the one that is filled: buffers[filled % FEED_WRITER_BUFFERS] */
  uint8_t *buffers[FEED_WRITER_BUFFERS];
  uint64_t filled; /* full ones so far; only the caller changes it, under the lock */

  bool threaded; /* the thread runs; from here on all is under the lock */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t more, less; /* for the thread, for the caller */
  uint64_t written;          /* of the filled ones */
  uint64_t written_at;       /* where in the file the next one goes */
  bool ending;
  int error; /* -errno of the first write that failed */
};

/* -ENOMEM. */
int feed_writer_begin(struct feed_writer *writer, int fd, uint64_t offset);
/* -errno of a write, perhaps of an earlier put's bytes. */
int feed_writer_put(struct feed_writer *writer, const void *bytes, size_t length);
/* Zeros up to the next multiple of 8. */
int feed_writer_pad(struct feed_writer *writer);
/* All bytes are in the file when it returns 0. */
int feed_writer_flush(struct feed_writer *writer);
/* Ends the thread, frees the buffers; what was not flushed is lost. Fine after a failed begin. */
void feed_writer_release(struct feed_writer *writer);

#endif
