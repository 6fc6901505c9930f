/* SPDX-License-Identifier: Apache-2.0 */
/* Reading blobs, and making them durable. Changes no blob. */
#include "supervisor/blob.h"

#include "journal/call_table.h"
#include "journal/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int sync_all(DIR *directory)
{
  const struct dirent *found;

  while ((found = readdir(directory)) != NULL) {
    if (found->d_name[0] == '.')
      continue;
    int fd = openat(dirfd(directory), found->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int error = fd < 0 || fdatasync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
      close(fd);
    if (error != 0)
      return error;
  }
  return fsync(dirfd(directory)) < 0 ? -errno : 0;
}

int blobs_sync(struct tail_header *header, struct failure *failure)
{
  uint64_t written = atomic_load(&header->blob_written), synced = atomic_load(&header->blob_synced);
  char path[TAIL_PATH_SIZE + sizeof BLOBS_NAME + 1];

  if (synced >= written)
    return 0;
  snprintf(path, sizeof path, "%s/" BLOBS_NAME, header->run_directory);
  DIR *directory = opendir(path);
  int error = directory != NULL ? sync_all(directory) : -errno;
  if (directory != NULL)
    closedir(directory);
  if (error != 0)
    return failure_set(failure, error, "cannot write %s to disk: %s; look at that disk", path, strerror(-error));
  /* Only ever forward: the program may have synced further meanwhile. */
  while (synced < written && !atomic_compare_exchange_weak(&header->blob_synced, &synced, written)) {
  }
  return 0;
}

static const char *name_of(const struct journal_segment *segment, struct journal_blob *ret_blob,
                           size_t *ret_length)
{
  if (segment->length <= sizeof *ret_blob)
    return NULL;
  memcpy(ret_blob, segment->data, sizeof *ret_blob);
  *ret_length = segment->length - sizeof *ret_blob;
  const char *name = (const char *)segment->data + sizeof *ret_blob;
  return name[0] == '.' || memchr(name, '/', *ret_length) != NULL ? NULL : name;
}

int64_t blob_read(const struct journal_segment *segment, const char *run_directory, void *bytes, size_t size)
{
  struct journal_blob blob;
  char path[PATH_MAX];
  size_t length, done = 0;
  const char *name = name_of(segment, &blob, &length);

  if (name == NULL)
    return -EBADMSG;
  if ((size_t)snprintf(path, sizeof path, "%s/" BLOBS_NAME "/%.*s", run_directory, (int)length, name) >= sizeof path)
    return -ENAMETOOLONG;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return -errno;
  if (size > blob.length)
    size = blob.length;
  while (done < size) {
    ssize_t got = pread(fd, (char *)bytes + done, size - done, (off_t)(blob.offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      break;
    done += (size_t)got;
  }
  close(fd);
  return done < size ? -EBADMSG : (int64_t)done;
}

int blob_check(const struct journal_entry *entry, const char *run_directory)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_BLOB, -1);
  struct journal_blob blob;
  size_t length;

  if (segment == NULL)
    return 0;
  if (name_of(segment, &blob, &length) == NULL || blob.length > JOURNAL_ENTRY_SIZE_MAX)
    return -EBADMSG;
  void *bytes = malloc(blob.length + 1);
  if (bytes == NULL)
    return -ENOMEM;
  int64_t got = blob_read(segment, run_directory, bytes, blob.length);
  if (got >= 0 && journal_hash(bytes, blob.length) != blob.hash)
    got = -EBADMSG;
  free(bytes);
  return got < 0 ? (int)got : 0;
}

int64_t blobs_verify(struct store *store, const char *run_directory,
                     void (*say)(const char *line, void *context), void *context, struct failure *failure)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  int64_t defects = 0;
  uint64_t seq;
  int error = store_cursor_open(store, 1, &cursor, failure);

  if (error < 0)
    return error;
  while ((error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry != NULL) {
    char line[128];
    int found = entry->call == CALL_ID_CALLBACK ? blob_check(entry, run_directory) : 0;

    if (found == 0)
      continue;
    snprintf(line, sizeof line, "entry %llu: the bytes that it refers to in " BLOBS_NAME "/ %s",
             (unsigned long long)seq, found == -EBADMSG ? "are not what they were" : "cannot be read");
    say(line, context);
    defects++;
  }
  store_cursor_close(cursor);
  return error < 0 ? error : defects;
}
