/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: bytes that an entry refers to.
 *
 * A blob only grows, at its end, by the one that made it, and has a name that nobody had before. The bytes are
 * written before their entry is appended. Whoever makes entries durable (record.c, the drain) first syncs the
 * blobs that were written meanwhile: blob_written in the tail's header says whether there are any. The drain,
 * which commits ten times a second, so has them written out beside the program. Killed at
 * any line: bytes at a blob's end that no entry refers to; and after the machine's death an entry whose
 * bytes are not there is where the journal ends (supervisor/drain.c). */
#include "shim/blob.h"

#include "shim/descriptors.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>

/* High, as all descriptors of ours. */
#define BLOB_NUMBER_FIRST 600

static void blob_path(char path[PATH_ROOM + BLOB_NAME_ROOM + 16], const char *name)
{
  size_t used = path_put_text(path, 0, engine.tail.header->run_directory);
  used = path_put_text(path, used, "/blobs/");
  path_put_text(path, used, name);
}

static void open_blob(struct blob *blob, const char *name, int flags)
{
  char path[PATH_ROOM + BLOB_NAME_ROOM + 16];
  blob_path(path, name);
  int64_t fd = open_aside(AT_FDCWD, path, (uint64_t)(flags | O_NOFOLLOW), 0600);
  if (fd < 0)
    engine_failed(TAIL_REPORT_FAILED, "the bytes of an answer cannot be opened: ", path, fd);
  int64_t moved = raw_syscall3(SYS_fcntl, (uint64_t)fd, F_DUPFD_CLOEXEC, BLOB_NUMBER_FIRST);
  if (moved >= 0)
    raw_syscall1(SYS_close, (uint64_t)fd);
  blob->fd = moved >= 0 ? moved : fd;
}

/* A name that no other thread has, and no other attempt. */
static void make_name(char name[BLOB_NAME_ROOM])
{
  static _Atomic uint32_t serial;
  size_t used = path_put_number(name, 0, atomic_load(&engine.tail.header->head), 16);
  used = path_put_text(name, used, "-");
  used = path_put_number(name, used, engine.tail.header->attempt, 16);
  used = path_put_text(name, used, "-");
  used = path_put_number(name, used, (uint32_t)engine.pid_real, 16);
  used = path_put_text(name, used, "-");
  path_put_number(name, used, atomic_fetch_add(&serial, 1), 16);
}

void blob_add(struct draft *draft, struct blob *blob, const void *bytes, size_t length)
{
  struct tail_header *header = engine.tail.header;
  if (engine_left())
    return;
  if (!blob->writing) {
    blob_close(blob);
    make_name(blob->name);
    open_blob(blob, blob->name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
    blob->size = 0;
    blob->writing = true;
  }
  blob->piece = (struct journal_blob){blob->size, length, hash_bytes(bytes, length)};
  const uint8_t *from = bytes;
  for (size_t left = length; left;) {
    int64_t done = raw_syscall3(SYS_write, (uint64_t)blob->fd, (uint64_t)from, left);
    if (done == -EINTR)
      continue;
    if (done <= 0)
      engine_failed(TAIL_REPORT_FAILED, "the bytes of an answer cannot be kept in ", header->run_directory, done);
    from += done;
    left -= (size_t)done;
  }
  blob->size += length;
  atomic_fetch_add(&header->blob_written, 1);
  draft_add2(draft, SEGMENT_BLOB, 0, &blob->piece, sizeof blob->piece, blob->name, raw_length(blob->name));
}

/* Opens the blob that the segment names, unless it is open. */
static void open_named(struct blob *blob, const struct journal_segment *segment)
{
  const char *name = (const char *)segment->data + sizeof(struct journal_blob);
  size_t length = segment->length - sizeof(struct journal_blob);
  if (blob->fd >= 0 && !blob->writing && raw_length(blob->name) == length && raw_equal(blob->name, name, length))
    return;
  blob_close(blob);
  if (length >= BLOB_NAME_ROOM)
    engine_failed(TAIL_REPORT_FAILED, "the bytes of an answer have too long a name in ",
                  engine.tail.header->run_directory, 0);
  raw_copy(blob->name, name, length);
  blob->name[length] = 0;
  open_blob(blob, blob->name, O_RDONLY);
}

static void damaged(const struct blob *blob)
{
  char path[PATH_ROOM + BLOB_NAME_ROOM + 16];
  blob_path(path, blob->name);
  engine_failed(TAIL_REPORT_INPUT, "the bytes of an answer are damaged: ", path, 0);
}

static void read_all(const struct blob *blob, uint64_t offset, void *bytes, size_t length)
{
  for (size_t done = 0; done < length;) {
    int64_t got = raw_syscall4(SYS_pread64, (uint64_t)blob->fd, (uint64_t)bytes + done, length - done, offset + done);
    if (got == -EINTR)
      continue;
    if (got <= 0)
      damaged(blob);
    done += (size_t)got;
  }
}

size_t blob_take(struct blob *blob, const struct journal_entry *entry, void *bytes, size_t room)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_BLOB, 0);
  if (!segment || segment->length < sizeof(struct journal_blob))
    return 0;
  const struct journal_blob *piece = (const struct journal_blob *)segment->data;
  open_named(blob, segment);
  if (piece->length > room)
    damaged(blob);
  read_all(blob, piece->offset, bytes, piece->length);
  if (hash_bytes(bytes, piece->length) != piece->hash)
    damaged(blob);
  return piece->length;
}

void blob_read_at(struct blob *blob, const struct journal_entry *entry, uint64_t offset, void *bytes, size_t length)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_BLOB, 0);
  open_named(blob, segment);
  read_all(blob, ((const struct journal_blob *)segment->data)->offset + offset, bytes, length);
}

void blob_close(struct blob *blob)
{
  if (blob->fd >= 0)
    raw_syscall1(SYS_close, (uint64_t)blob->fd);
  blob->fd = -1;
  blob->writing = false;
}

/* ---- durable ---- */

static void sync_one(int64_t directory, const char *name)
{
  int64_t fd = raw_syscall4(SYS_openat, (uint64_t)directory, (uint64_t)name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
  int64_t result = fd < 0 ? fd : raw_syscall1(SYS_fdatasync, (uint64_t)fd);
  if (fd >= 0)
    raw_syscall1(SYS_close, (uint64_t)fd);
  if (result < 0)
    engine_failed(TAIL_REPORT_FAILED, "the bytes of an answer cannot be written to disk: ", name, result);
}

static void sync_all(int64_t directory)
{
  char bytes[2048];
  for (;;) {
    int64_t size = raw_syscall3(SYS_getdents64, (uint64_t)directory, (uint64_t)bytes, sizeof bytes);
    if (size <= 0)
      break;
    for (int64_t place = 0; place < size;) {
      const struct listed_name *listed = (const struct listed_name *)(bytes + place);
      place += listed->size;
      if (listed->name[0] != '.')
        sync_one(directory, listed->name);
    }
  }
  raw_syscall1(SYS_fsync, (uint64_t)directory);
}

void blobs_sync(void)
{
  struct tail_header *header = engine.tail.header;
  uint64_t written = atomic_load(&header->blob_written), synced = atomic_load(&header->blob_synced);
  if (synced >= written)
    return;
  char path[PATH_ROOM + BLOB_NAME_ROOM + 16];
  blob_path(path, ".");
  int64_t directory = open_aside(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  if (directory < 0)
    engine_failed(TAIL_REPORT_FAILED, "the bytes of an answer cannot be written to disk: ", path, directory);
  sync_all(directory);
  raw_syscall1(SYS_close, (uint64_t)directory);
  while (synced < written && !atomic_compare_exchange_weak(&header->blob_synced, &synced, written)) {
  }
}
