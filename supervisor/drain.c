/* SPDX-License-Identifier: Apache-2.0 */
/* Moves entries from the tail to the store: one pass.
 *
 * The ring is read with pread, a buffer at a time, so that its pages are never this process's memory.
 * Every entry is checked once, here. Chunks are slices of the buffer; the store writes them as
 * differences (chunk_delta.h).
 *
 * A crash at any line is harmless: before a commit the entries are still in the tail; between the
 * commit and the store to `drained` they are in both, and the next pass begins where the store ends.
 * Commits are put on disk only once somebody in the program needs that (enum tail_durable); from then on many of
 * them by one sync, for it makes the program's own wait: until there is enough to give away, entries stay in the ring
 * too, where they are as safe.
 *
 * After the machine itself died (another boot id), pages of the tail that were not synced may be lost in any
 * order, the header's among them. Then entries are taken also past `head`, and what is not valid is a
 * gap only below `synced` or `holes_to`; above, it is where the journal ends: what follows a lost entry proves nothing.
 * Nor does what lies above `holes_to`, once a hole was skipped: it was not promised to anybody, or there was no hole.
 */
#include "supervisor/drain.h"

#include "supervisor/blob.h"
#include "supervisor/boot_id.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One entry of any size fits. */
#define BUFFER_SIZE JOURNAL_ENTRY_SIZE_MAX
#define CHUNK_SIZE (256u << 10)
/* Writers that wait for room get it in steps of this. */
#define TRANSACTION_SIZE (8u << 20)
/* What is in the store leaves the ring when it is this part of it. */
#define RING_PARTS 4u

struct pass {
  struct tail_file *file;
  struct store *store;
  struct failure *failure;
  uint8_t *buffer;
  bool finished;
  bool rebooted;
  bool stopped;      /* at what is not valid: nothing more to take */
  bool skipped;      /* a hole */
  bool open;         /* a transaction is */
  uint64_t head;     /* as the pass began: what comes later is the next one's */
  uint64_t position; /* all below is taken or skipped */
  uint64_t end;      /* of the last entry taken, or of the store */
  uint64_t uncommitted; /* bytes */
  uint64_t entries_taken, entries_committed;
  /* the chunk that is growing, in the buffer */
  size_t chunk_offset, chunk_length;
  uint64_t chunk_entries;
};

static void publish(struct tail_header *header, uint64_t position)
{
  if (position > atomic_load(&header->head))
    atomic_store(&header->head, position); /* only after a reboot: the header's page was older */
  atomic_store(&header->drained, position);
  atomic_fetch_add(&header->drained_futex, 1);
  /* Shared between processes, so not FUTEX_PRIVATE_FLAG. */
  syscall(SYS_futex, &header->drained_futex, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* There is more in the store for others to take. */
static void tell_replicas(struct tail_header *header)
{
  if (!header->replication.on)
    return;
  atomic_fetch_add(&header->replication.wake, 1);
  syscall(SYS_futex, &header->replication.wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int open_transaction(struct pass *pass)
{
  if (pass->open)
    return 0;
  int error = store_begin(pass->store, pass->failure);
  if (error == 0)
    pass->open = true;
  return error;
}

/* Nobody waits for the room, and there is enough of it. */
static bool may_wait(const struct pass *pass)
{
  const struct tail_header *header = pass->file->header;
  return !pass->finished && atomic_load(&header->writers_waiting) == 0 &&
         pass->end - atomic_load(&header->drained) < header->ring_size / RING_PARTS;
}

/* Entries may leave the tail only for where they are as safe. */
static int give_room(struct pass *pass)
{
  struct tail_header *header = pass->file->header;
  if (pass->end <= atomic_load(&header->drained))
    return 0;
  if (atomic_load(&header->durable) != TAIL_DURABLE_NOT_YET) {
    if (may_wait(pass))
      return 0;
    int error = store_sync(pass->store, pass->failure);
    if (error != 0)
      return error;
    tail_raise(&header->synced, pass->end);
  }
  publish(header, pass->end);
  return 0;
}

static int commit(struct pass *pass)
{
  int error = 0;
  if (pass->position > pass->end) {
    error = open_transaction(pass);
    if (error == 0)
      error = store_skip_to(pass->store, pass->position, pass->failure);
  }
  /* Before the commit: what it says of blobs must not outlive them. */
  if (error == 0 && pass->open && atomic_load(&pass->file->header->durable) != TAIL_DURABLE_NOT_YET)
    error = blobs_sync(pass->file->header, pass->failure);
  if (error == 0 && pass->open) {
    pass->open = false; /* a failed commit has rolled back */
    error = store_commit(pass->store, pass->failure);
    if (error == 0)
      tell_replicas(pass->file->header);
  }
  if (error != 0)
    return error;
  pass->end = pass->position;
  pass->uncommitted = 0;
  pass->entries_committed = pass->entries_taken;
  return give_room(pass);
}

/* Puts the growing chunk into the store. pass->position is its end. */
static int flush_chunk(struct pass *pass)
{
  if (pass->chunk_length == 0)
    return 0;
  int error = open_transaction(pass);
  if (error == 0)
    error = store_append(pass->store, pass->buffer + pass->chunk_offset, pass->chunk_length,
                         pass->chunk_entries, pass->position - pass->chunk_length, pass->position,
                         pass->failure);
  if (error != 0)
    return error;
  pass->end = pass->position;
  pass->entries_taken += pass->chunk_entries;
  pass->uncommitted += pass->chunk_length;
  pass->chunk_length = 0;
  pass->chunk_entries = 0;
  return pass->uncommitted >= TRANSACTION_SIZE ? commit(pass) : 0;
}

static int take_entry(struct pass *pass, size_t offset, uint32_t size)
{
  if (pass->chunk_length + size > CHUNK_SIZE) {
    int error = flush_chunk(pass);
    if (error != 0)
      return error;
  }
  if (pass->chunk_length == 0)
    pass->chunk_offset = offset;
  pass->chunk_length += size;
  pass->chunk_entries++;
  pass->position += size;
  return 0;
}

/* Is what lies at `entry` perhaps valid, and only cut by the buffer's end? */
static bool is_cut(const struct pass *pass, const struct journal_entry *entry, size_t available)
{
  if (entry->position != pass->position)
    return false;
  return available < JOURNAL_ENTRY_HEADER_SIZE ||
         (entry->size > available && entry->size <= JOURNAL_ENTRY_SIZE_MAX);
}

/* A position is stored last, and pages reach the disk in any order only when the machine dies: what bears its
 * position and is not valid otherwise was written whole, and changed afterwards. In a gap, words that look
 * like one may lie by chance: the size must fit too. */
static bool is_damaged(const struct pass *pass, const struct journal_entry *entry, size_t available)
{
  if (!pass->finished || pass->rebooted || available < JOURNAL_ENTRY_HEADER_SIZE || entry->position != pass->position)
    return false;
  if (entry->position == 0 && entry->size == 0) /* nothing has been written there yet */
    return false;
  return pass->position == pass->end || pass->chunk_length > 0 ||
         (entry->size >= JOURNAL_ENTRY_HEADER_SIZE && entry->size <= JOURNAL_ENTRY_SIZE_MAX &&
          entry->size % 8 == 0 && pass->position + entry->size <= pass->head);
}

/* After a reboot: all that was promised to be on disk lies below. */
static uint64_t promised_to(const struct tail_header *header)
{
  uint64_t synced = atomic_load(&header->synced), holes_to = atomic_load(&header->holes_to);
  return synced > holes_to ? synced : holes_to;
}

static bool may_skip(const struct pass *pass)
{
  if (!pass->finished)
    return false;
  return !pass->rebooted || pass->position < promised_to(pass->file->header);
}

/* Where what follows a hole proves nothing. */
static bool ends_here(const struct pass *pass)
{
  const struct tail_header *header = pass->file->header;
  return pass->rebooted && pass->skipped && atomic_load(&header->holes_to) != 0 && pass->position >= promised_to(header);
}

/* After a reboot an entry may be there whose bytes in a blob are lost: as if it were lost itself. */
static bool is_whole(const struct pass *pass, const struct journal_entry *entry, size_t available)
{
  return journal_entry_valid(entry, available, pass->position) &&
         (!pass->rebooted || blob_check(entry, pass->file->header->run_directory) == 0);
}

/* Takes what is valid in the next `length` bytes; stops early at an entry that the buffer cuts. */
static int take_buffer(struct pass *pass, size_t length, bool more_follows)
{
  int error = tail_file_read(pass->file, pass->position, pass->buffer, length);
  if (error != 0)
    return failure_set(pass->failure, error, "cannot read the tail: %s", strerror(-error));
  size_t offset = 0;
  while (error == 0 && offset < length) {
    const struct journal_entry *entry = (const struct journal_entry *)(pass->buffer + offset);
    if (!ends_here(pass) && is_whole(pass, entry, length - offset)) {
      error = take_entry(pass, offset, entry->size);
      offset += entry->size;
      continue;
    }
    if (offset > 0 && more_follows && is_cut(pass, entry, length - offset))
      break;
    bool damaged = is_damaged(pass, entry, length - offset);
    error = flush_chunk(pass);
    if (error == 0 && damaged)
      error = failure_set(pass->failure, -EBADMSG, "the tail is damaged at position %llu: an entry was changed "
                          "after it was written; restore the tail from a copy, or give the run up with "
                          "`perdure rm`", (unsigned long long)pass->position);
    if (error == 0 && !may_skip(pass)) {
      pass->stopped = true;
      break;
    }
    if (error == 0) {
      offset += 8;
      pass->position += 8;
      pass->skipped = true;
    }
  }
  return error != 0 ? error : flush_chunk(pass);
}

/* Where taking ends for now: nothing was ever written a ring or more past `drained`. */
static uint64_t limit_of(const struct pass *pass)
{
  const struct tail_header *header = pass->file->header;
  uint64_t room = atomic_load(&header->drained) + header->ring_size;
  return pass->rebooted || pass->head > room ? room : pass->head;
}

static int take_all(struct pass *pass)
{
  while (!pass->stopped) {
    uint64_t limit = limit_of(pass);
    if (pass->position >= limit) {
      if (pass->rebooted)
        break;
      /* The commit gives room, and what was reserved beyond it can be looked at. */
      int error = commit(pass);
      if (error != 0 || limit_of(pass) == limit)
        return error;
      continue;
    }
    uint64_t length = limit - pass->position;
    if (length > BUFFER_SIZE)
      length = BUFFER_SIZE;
    if (length > pass->file->header->ring_size)
      length = pass->file->header->ring_size;
    int error = take_buffer(pass, length, length < limit - pass->position);
    if (error != 0)
      return error;
  }
  /* After a reboot: gaps that only led to where the journal ends are not part of it. */
  if (pass->rebooted)
    pass->position = pass->end;
  return commit(pass);
}

/* The machine has been booted since the attempt began. Zeros: the tail does not say. */
static bool machine_rebooted(const struct tail_header *header)
{
  static const uint8_t unknown[16];
  uint8_t now[16];
  if (memcmp(header->boot_id, unknown, sizeof unknown) == 0 || boot_id_read(now) != 0)
    return false;
  return memcmp(header->boot_id, now, sizeof now) != 0;
}

/* Where the store ends is where the pass begins; the two must fit. */
static int find_start(struct pass *pass)
{
  struct tail_header *header = pass->file->header;
  uint64_t position, entry_count;
  int error = store_end(pass->store, &position, &entry_count, pass->failure);
  if (error != 0)
    return error;
  uint64_t drained = atomic_load(&header->drained);
  if (position < drained && pass->rebooted && atomic_load(&header->synced) <= position) {
    /* What the store lost with the machine, nobody was promised: the journal ends where the store does. */
    pass->stopped = true;
    pass->position = pass->end = position;
    return 0;
  }
  if (position < drained)
    return failure_set(pass->failure, -EBADMSG,
                       "the journal has a hole: the store ends at position %llu, and the tail has "
                       "given away all below %llu; restore the store from a copy",
                       (unsigned long long)position, (unsigned long long)drained);
  if (position > pass->head && !pass->rebooted)
    return failure_set(pass->failure, -EBADMSG,
                       "the store reaches to position %llu, the tail only to %llu: they are not of "
                       "the same run",
                       (unsigned long long)position, (unsigned long long)pass->head);
  pass->position = pass->end = position;
  return give_room(pass);
}

int drain_once(struct tail_file *file, struct store *store, bool finished, uint64_t *ret_entry_count,
               struct failure *failure)
{
  struct tail_header *header = file->header;
  struct pass pass = {.file = file, .store = store, .failure = failure, .finished = finished};
  pass.rebooted = finished && machine_rebooted(header);
  pass.head = atomic_load(&header->head);
  int error = 0;
  if (finished || pass.head != atomic_load(&header->drained)) {
    pass.buffer = malloc(BUFFER_SIZE);
    if (pass.buffer == NULL)
      return failure_set(failure, -ENOMEM, "cannot drain the tail: out of memory");
    error = find_start(&pass);
    if (error == 0)
      error = take_all(&pass);
    if (pass.open)
      store_rollback(store);
    free(pass.buffer);
  }
  if (error == 0 && ret_entry_count != NULL)
    *ret_entry_count = pass.entries_committed;
  return error;
}
