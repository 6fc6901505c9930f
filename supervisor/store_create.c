/* SPDX-License-Identifier: Apache-2.0 */
/* Makes an empty store, fast: it is part of every run's start.
 *
 * The database is built in memory and written as one file, so that it costs one write and one sync
 * instead of SQLite's journals. It is marked as WAL from birth: bytes 18 and 19 of a database file
 * say which journal it uses (SQLite's file format, section 1.3.3), and a database in memory cannot
 * say so itself.
 *
 * A crash at any line leaves at most PATH.new, which the next one overwrites: the finished and synced
 * file gets its name at the end, and only where there was none.
 */
#include "supervisor/store_internal.h"

#include "journal/tail.h"
#include "supervisor/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT_WRITE_VERSION = 18, FORMAT_READ_VERSION = 19, FORMAT_WAL = 2 };

/* Large pages: half the system calls, and twice the speed, of draining. */
static const char schema[] =
    "PRAGMA page_size = 32768; BEGIN;"
#define TABLE(name, columns, option) "CREATE TABLE " #name "(" columns ")" option ";"
#include "supervisor/store_schema.def"
#undef TABLE
;

static int build_image(unsigned sync, unsigned char **ret_image, size_t *ret_size)
{
  char marks[512];
  snprintf(marks, sizeof marks,
           "PRAGMA application_id = %d; PRAGMA user_version = %d;"
           "INSERT INTO meta VALUES('sync', %u), ('created_ns', %lld); COMMIT;",
           STORE_APPLICATION_ID, STORE_VERSION, sync,
           (long long)clock_ns(CLOCK_REALTIME));

  sqlite3 *memory = NULL;
  int code = sqlite3_open_v2(":memory:", &memory, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_exec(memory, schema, NULL, NULL, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_exec(memory, marks, NULL, NULL, NULL);
  sqlite3_int64 size = 0;
  unsigned char *image = code == SQLITE_OK ? sqlite3_serialize(memory, "main", &size, 0) : NULL;
  sqlite3_close(memory);
  if (image == NULL)
    return -ENOMEM;
  assert(size > 512);
  image[FORMAT_WRITE_VERSION] = image[FORMAT_READ_VERSION] = FORMAT_WAL;
  *ret_image = image;
  *ret_size = (size_t)size;
  return 0;
}

static int write_file(const char *path, const unsigned char *image, size_t size, bool durable)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return -errno;
  size_t written = 0;
  int error = fchmod(fd, 0600) != 0 ? -errno : 0;
  while (error == 0 && written < size) {
    ssize_t count = write(fd, image + written, size - written);
    if (count < 0 && errno != EINTR)
      error = -errno;
    else if (count > 0)
      written += (size_t)count;
  }
  if (error == 0 && durable && fdatasync(fd) != 0)
    error = -errno;
  close(fd);
  return error;
}

int store_sync_directory(const char *path)
{
  char directory[PATH_MAX];
  if (strlen(path) >= sizeof directory)
    return -ENAMETOOLONG;
  strcpy(directory, path);
  char *slash = strrchr(directory, '/');
  if (slash == NULL)
    strcpy(directory, ".");
  else
    slash[slash == directory ? 1 : 0] = '\0';
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int error = fsync(fd) != 0 ? -errno : 0;
  close(fd);
  return error;
}

static int create_file(const char *path, const unsigned char *image, size_t size, bool durable)
{
  char temporary[PATH_MAX];
  if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
    return -ENAMETOOLONG;
  int error = write_file(temporary, image, size, durable);
  if (error == 0 && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
    error = -errno;
  if (error != 0)
    unlink(temporary);
  return error;
}

int store_create(const char *path, unsigned sync, struct store **ret_store, struct failure *failure)
{
  unsigned char *image;
  size_t size;
  int error = build_image(sync, &image, &size);
  if (error == 0) {
    error = create_file(path, image, size, sync != TAIL_SYNC_NONE);
    sqlite3_free(image);
  }
  if (error == -EEXIST)
    return failure_set(failure, error, "cannot create the store %s: it is there already", path);
  if (error != 0)
    return failure_set(failure, error, "cannot create the store %s: %s", path, strerror(-error));
  return store_open(path, false, ret_store, failure);
}
