/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's result codes as one line each for a person, and small wrappers that use it. */
#include "supervisor/store_internal.h"

#include <errno.h>
#include <string.h>

/* A database file that is shorter than its own header says (offset 16: page size, 28: pages, big-
 * endian) has been cut; anything else that SQLite calls malformed has been overwritten. Reads through
 * SQLite's own descriptor: closing another one of this process would drop SQLite's locks. */
static bool file_is_truncated(sqlite3 *database, uint64_t *ret_size, uint64_t *ret_expected)
{
  unsigned char header[32];
  sqlite3_file *file = NULL;
  sqlite3_int64 size;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (file == NULL || file->pMethods == NULL ||
      file->pMethods->xRead(file, header, sizeof header, 0) != SQLITE_OK ||
      file->pMethods->xFileSize(file, &size) != SQLITE_OK ||
      memcmp(header, "SQLite format 3", 16) != 0)
    return false;
  uint64_t page_size = (uint64_t)header[16] << 8 | header[17];
  if (page_size == 1)
    page_size = 65536;
  uint64_t pages = (uint64_t)header[28] << 24 | header[29] << 16 | header[30] << 8 | header[31];
  *ret_size = (uint64_t)size;
  *ret_expected = page_size * pages;
  return *ret_size < *ret_expected;
}

static int store_damaged(sqlite3 *database, const char *path, const char *detail,
                         struct failure *failure)
{
  uint64_t size, expected;
  if (database != NULL && file_is_truncated(database, &size, &expected))
    return failure_set(failure, -EBADMSG,
                       "cannot use the store %s: it is truncated: %llu bytes of %llu are there; restore it from a copy",
                       path, (unsigned long long)size, (unsigned long long)expected);
  return failure_set(failure, -EBADMSG, "cannot use the store %s: it is corrupt (%s); restore it from a copy", path,
                     detail);
}

/* The errno of the WAL's last failed write: sqlite3_system_errno does not say it after a COMMIT. */
static int wal_errno(sqlite3 *database)
{
  sqlite3_file *wal = NULL;
  int error = 0;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (wal != NULL && wal->pMethods != NULL)
    wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &error);
  return error;
}

/* SQLite calls a file that cannot be extended "full" only when the kernel says ENOSPC. */
static bool is_lack_of_space(int code, int system_error)
{
  if (code == SQLITE_IOERR_SHMSIZE)
    return true;
  return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

int store_path_failed(sqlite3 *database, const char *path, int code, const char *action,
                      struct failure *failure)
{
  bool database_knows = database != NULL && sqlite3_errcode(database) != SQLITE_OK;
  const char *detail = database_knows ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  int system_error = database != NULL ? sqlite3_system_errno(database) : 0;
  switch (code & 0xff) {
  case SQLITE_FULL:
    return failure_set(failure, -ENOSPC, "cannot %s the store %s: the disk is full", action, path);
  case SQLITE_IOERR:
    if (system_error == 0 && database != NULL)
      system_error = wal_errno(database);
    if (is_lack_of_space(code, system_error))
      return failure_set(failure, -ENOSPC, "cannot %s the store %s: %s", action, path,
                         strerror(system_error != 0 ? system_error : ENOSPC));
    return failure_set(failure, -EIO, "cannot %s the store %s: %s (%s)", action, path, detail,
                       system_error != 0 ? strerror(system_error) : "no cause given");
  case SQLITE_CORRUPT:
    return store_damaged(database, path, detail, failure);
  case SQLITE_NOTADB:
    return failure_set(failure, -EBADMSG, "%s is not a perdure store: it is not a database", path);
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return failure_set(failure, -EBUSY, "cannot %s the store %s: another process keeps it locked",
                       action, path);
  case SQLITE_READONLY:
    return failure_set(failure, -EROFS, "cannot %s the store %s: it is read-only", action, path);
  case SQLITE_CANTOPEN:
    return failure_set(failure, system_error > 0 ? -system_error : -EIO,
                       "cannot open the store %s: %s", path,
                       system_error > 0 ? strerror(system_error) : detail);
  case SQLITE_NOMEM:
    return failure_set(failure, -ENOMEM, "cannot %s the store %s: out of memory", action, path);
  default:
    return failure_set(failure, -EIO, "cannot %s the store %s: %s", action, path, detail);
  }
}

int store_failed(const struct store *store, int code, const char *action, struct failure *failure)
{
  return store_path_failed(store->database, store->path, code, action, failure);
}

int store_execute(struct store *store, const char *sql, const char *action, struct failure *failure)
{
  int code = sqlite3_exec(store->database, sql, NULL, NULL, NULL);
  return code == SQLITE_OK ? 0 : store_failed(store, code, action, failure);
}

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                  const char *action, struct failure *failure)
{
  sqlite3_stmt *statement;
  int code = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL);
  if (code != SQLITE_OK)
    return store_failed(store, code, action, failure);
  *ret_statement = statement;
  return 0;
}

int store_finish(struct store *store, sqlite3_stmt *statement, const char *action,
                 struct failure *failure)
{
  int code = sqlite3_step(statement);
  int error = code == SQLITE_DONE ? 0 : store_failed(store, code, action, failure);
  sqlite3_finalize(statement);
  return error;
}
