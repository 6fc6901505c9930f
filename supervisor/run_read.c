/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a run's entries from store and tail together, while the drain may be moving them.
 *
 * An entry carries its position, so what was overwritten in the ring since is not taken for another:
 * it is found in the store then. Writes nothing. */
#include "supervisor/run_read.h"

#include "journal/tail.h"
#include "supervisor/run_lock.h"
#include "supervisor/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct run_reader {
  struct run_place place;
  struct store *store;
  struct store_cursor *cursor; /* NULL: the store was read to its end */
  uint64_t first_seq;          /* wanted */
  uint64_t seq;                /* of the next entry that is read */
  uint64_t position;           /* all below is read */
  int tail_fd;                 /* -1: none open */
  ino_t tail_inode;
  const struct tail_header *header;
  uint8_t *buffer;             /* one entry of the tail */
  uint8_t *hidden;             /* one entry without its secrets; NULL: they are shown */
};

int run_reader_open(const struct run_place *place, uint64_t first_seq, struct run_reader **ret_reader,
                    struct failure *failure)
{
  struct run_reader *reader = calloc(1, sizeof *reader);
  uint64_t end, count;
  char path[PATH_MAX];
  int error;

  if (reader == NULL)
    return failure_set(failure, -ENOMEM, "out of memory; free some");
  reader->place = *place;
  reader->first_seq = first_seq;
  reader->tail_fd = -1;
  reader->buffer = malloc(JOURNAL_ENTRY_SIZE_MAX);
  run_place_path(place, "run.db", path);
  error = reader->buffer == NULL ? failure_set(failure, -ENOMEM, "out of memory; free some")
                                 : store_open(path, true, &reader->store, failure);
  if (error == 0)
    error = store_end(reader->store, &end, &count, failure);
  if (error < 0) {
    run_advise_for(failure, error);
    run_reader_close(reader);
    return error;
  }
  /* What lies in the tail yet has no number but by counting. */
  reader->seq = first_seq <= count ? first_seq : count + 1;
  *ret_reader = reader;
  return 0;
}

int run_reader_hide(struct run_reader *reader, struct failure *failure)
{
  if (reader->hidden == NULL)
    reader->hidden = malloc(JOURNAL_ENTRY_SIZE_MAX);
  return reader->hidden != NULL ? 0 : failure_set(failure, -ENOMEM, "out of memory; free some");
}

struct store *run_reader_store(struct run_reader *reader)
{
  return reader->store;
}

static void close_tail(struct run_reader *reader)
{
  if (reader->header != NULL)
    munmap((void *)reader->header, TAIL_HEADER_SIZE);
  if (reader->tail_fd >= 0)
    close(reader->tail_fd);
  reader->header = NULL;
  reader->tail_fd = -1;
}

void run_reader_close(struct run_reader *reader)
{
  close_tail(reader);
  if (reader->cursor != NULL)
    store_cursor_close(reader->cursor);
  store_close(reader->store);
  free(reader->buffer);
  free(reader->hidden);
  free(reader);
}

static bool header_usable(const struct tail_header *header, off_t size)
{
  return memcmp(header->magic, TAIL_MAGIC, sizeof header->magic) == 0 &&
         header->version == JOURNAL_VERSION && header->header_size == TAIL_HEADER_SIZE &&
         header->mode != TAIL_MODE_VERIFY && header->ring_size >= JOURNAL_ENTRY_HEADER_SIZE &&
         (header->ring_size & (header->ring_size - 1)) == 0 &&
         (uint64_t)size == TAIL_HEADER_SIZE + header->ring_size;
}

/* Holds the tail that has the name now, if there is one that can be read. */
static void open_tail(struct run_reader *reader)
{
  char path[PATH_MAX];
  struct stat status;
  void *header;

  run_place_path(&reader->place, "tail", path);
  if (stat(path, &status) < 0 || (reader->tail_fd >= 0 && status.st_ino != reader->tail_inode))
    close_tail(reader);
  if (reader->tail_fd >= 0)
    return;
  reader->tail_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (reader->tail_fd < 0)
    return;
  if (fstat(reader->tail_fd, &status) < 0 || status.st_size < (off_t)TAIL_HEADER_SIZE) {
    close_tail(reader);
    return;
  }
  header = mmap(NULL, TAIL_HEADER_SIZE, PROT_READ, MAP_SHARED, reader->tail_fd, 0);
  if (header != MAP_FAILED)
    reader->header = header;
  reader->tail_inode = status.st_ino;
  if (reader->header == NULL || !header_usable(reader->header, status.st_size))
    close_tail(reader);
}

static bool read_ring(const struct run_reader *reader, uint64_t position, size_t offset, size_t length)
{
  uint64_t ring_size = reader->header->ring_size;

  while (length > 0) {
    uint64_t at = (position + offset) & (ring_size - 1);
    size_t piece = ring_size - at < length ? (size_t)(ring_size - at) : length;
    ssize_t got = pread(reader->tail_fd, reader->buffer + offset, piece, (off_t)(TAIL_HEADER_SIZE + at));

    if (got <= 0)
      return false;
    offset += (size_t)got;
    length -= (size_t)got;
  }
  return true;
}

static bool read_entry_at(const struct run_reader *reader, uint64_t position)
{
  const struct journal_entry *entry = (const struct journal_entry *)reader->buffer;
  size_t size;

  if (!read_ring(reader, position, 0, JOURNAL_ENTRY_HEADER_SIZE) || entry->position != position)
    return false;
  size = entry->size;
  if (size < JOURNAL_ENTRY_HEADER_SIZE || size > JOURNAL_ENTRY_SIZE_MAX ||
      size > reader->header->ring_size)
    return false;
  return read_ring(reader, position, JOURNAL_ENTRY_HEADER_SIZE, size - JOURNAL_ENTRY_HEADER_SIZE) &&
         journal_entry_valid(entry, size, position);
}

/* The next valid entry of the tail, or NULL. Gaps are passed only when nobody can be filling them. */
static const struct journal_entry *next_of_tail(struct run_reader *reader)
{
  const struct journal_entry *entry = (const struct journal_entry *)reader->buffer;
  uint64_t head = atomic_load(&reader->header->head);
  uint64_t position = reader->position;

  if (position < reader->header->base)
    position = reader->header->base;
  for (; position < head; position += 8) {
    if (read_entry_at(reader, position)) {
      reader->position = position + entry->size;
      return entry;
    }
    if (run_lock_owner(&reader->place) != 0 ||
        position - reader->position > reader->header->ring_size)
      return NULL;
  }
  return NULL;
}

/* Through the open cursor; NULL: it is used up, and closed. */
static int next_of_cursor(struct run_reader *reader, const struct journal_entry **ret_entry,
                          struct failure *failure)
{
  const struct journal_entry *entry;
  uint64_t seq;
  int error = store_cursor_next(reader->cursor, &entry, &seq, failure);

  if (error < 0)
    return error;
  if (entry != NULL) {
    reader->seq = seq;
    reader->position = entry->position + entry->size;
  } else {
    store_cursor_close(reader->cursor);
    reader->cursor = NULL;
  }
  *ret_entry = entry;
  return 0;
}

static int next_of_both(struct run_reader *reader, const struct journal_entry **ret_entry,
                        struct failure *failure)
{
  uint64_t end, count;
  int error;

  for (;;) {
    *ret_entry = NULL;
    if (reader->cursor != NULL) {
      error = next_of_cursor(reader, ret_entry, failure);
      if (error < 0 || *ret_entry != NULL)
        return error;
    }
    if (reader->header != NULL && reader->position >= atomic_load(&reader->header->drained))
      *ret_entry = next_of_tail(reader);
    if (*ret_entry != NULL)
      return 0;
    error = store_end(reader->store, &end, &count, failure);
    if (error < 0)
      return error;
    if (count < reader->seq)
      break;
    error = store_cursor_open(reader->store, reader->seq, &reader->cursor, failure);
    if (error < 0)
      return error;
  }
  if (end > reader->position)
    reader->position = end;
  open_tail(reader);
  if (reader->header != NULL && reader->position >= atomic_load(&reader->header->drained))
    *ret_entry = next_of_tail(reader);
  return 0;
}

static const struct journal_entry *hide(const struct run_reader *reader, const struct journal_entry *entry)
{
  struct journal_entry *copy = (struct journal_entry *)reader->hidden;

  memcpy(copy, entry, entry->size);
  secrets_hide_entry(copy);
  return copy;
}

int run_reader_next(struct run_reader *reader, const struct journal_entry **ret_entry,
                    uint64_t *ret_seq, struct failure *failure)
{
  const struct journal_entry *entry;
  uint64_t seq;
  int error;

  do {
    error = next_of_both(reader, &entry, failure);
    if (error < 0)
      return error;
    seq = reader->seq;
    if (entry != NULL)
      reader->seq++;
  } while (entry != NULL && seq < reader->first_seq);
  if (entry != NULL)
    *ret_seq = seq;
  *ret_entry = entry != NULL && reader->hidden != NULL ? hide(reader, entry) : entry;
  return 0;
}
