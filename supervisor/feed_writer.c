/* SPDX-License-Identifier: Apache-2.0 */
/* The file is a temporary one until it is whole, so a crash at any line leaves nothing that is read. */
#include "supervisor/feed_writer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int feed_writer_begin(struct feed_writer *writer, int fd, uint64_t offset)
{
  *writer = (struct feed_writer){.fd = fd,
                                 .offset = offset,
                                 .written_at = offset,
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .more = PTHREAD_COND_INITIALIZER,
                                 .less = PTHREAD_COND_INITIALIZER};
  writer->buffer = writer->buffers[0] = malloc(FEED_WRITER_BUFFER_SIZE);
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

/* ---- the thread ---- */

static void *write_full(void *context)
{
  struct feed_writer *writer = context;
  pthread_mutex_lock(&writer->lock);
  for (;;) {
    while (writer->written == writer->filled && !writer->ending)
      pthread_cond_wait(&writer->more, &writer->lock);
    if (writer->written == writer->filled)
      break;
    const uint8_t *full = writer->buffers[writer->written % FEED_WRITER_BUFFERS];
    uint64_t at = writer->written_at;
    pthread_mutex_unlock(&writer->lock);
    int error = write_whole(writer->fd, full, FEED_WRITER_BUFFER_SIZE, at);
    pthread_mutex_lock(&writer->lock);
    writer->error = writer->error ? writer->error : error;
    writer->written++;
    writer->written_at += FEED_WRITER_BUFFER_SIZE;
    pthread_cond_signal(&writer->less);
  }
  pthread_mutex_unlock(&writer->lock);
  return NULL;
}

static int start_thread(struct feed_writer *writer)
{
  sigset_t all, before;
  for (size_t i = 0; i < FEED_WRITER_BUFFERS; i++)
    if (!writer->buffers[i] && !(writer->buffers[i] = malloc(FEED_WRITER_BUFFER_SIZE)))
      return -ENOMEM;
  /* Signals are for the command's own thread. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&writer->thread, NULL, write_full, writer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  writer->threaded = error == 0;
  return -error;
}

/* Waits until the thread has no more than `most` full buffers. */
static int await_written(struct feed_writer *writer, uint64_t most)
{
  while (!writer->error && writer->filled - writer->written > most)
    pthread_cond_wait(&writer->less, &writer->lock);
  return writer->error;
}

/* The full buffer goes to the thread, the next one is filled. */
static int hand_over(struct feed_writer *writer)
{
  int error = writer->threaded ? 0 : start_thread(writer);
  if (error)
    return error;
  pthread_mutex_lock(&writer->lock);
  writer->filled++;
  pthread_cond_signal(&writer->more);
  error = await_written(writer, FEED_WRITER_BUFFERS - 1);
  pthread_mutex_unlock(&writer->lock);
  writer->buffer = writer->buffers[writer->filled % FEED_WRITER_BUFFERS];
  writer->used = 0;
  return error;
}

int feed_writer_flush(struct feed_writer *writer)
{
  pthread_mutex_lock(&writer->lock);
  int error = await_written(writer, 0);
  pthread_mutex_unlock(&writer->lock);
  if (!error)
    error = write_whole(writer->fd, writer->buffer, writer->used, writer->offset - writer->used);
  return error;
}

/* ---- what goes in ---- */

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
    int error = hand_over(writer);
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
  if (writer->threaded) {
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    pthread_cond_signal(&writer->more);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
  }
  writer->threaded = false;
  for (size_t i = 0; i < FEED_WRITER_BUFFERS; i++) {
    free(writer->buffers[i]);
    writer->buffers[i] = NULL;
  }
}
