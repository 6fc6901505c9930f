/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing and transactions of a store.
 *
 * One connection may be used by several threads (the drain's and the command's): a transaction holds
 * the connection's own recursive mutex from begin to commit, so that nobody else's statement falls
 * into it. A crash at any line leaves the last commit: SQLite's WAL.
 */
#include "supervisor/store_internal.h"

#include "journal/tail.h"
#include "supervisor/entries_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_OUT_STEP (4u << 20)

/* What can be seen before SQLite touches the file. */
static int check_file(const char *path, struct failure *failure)
{
  struct stat status;
  if (stat(path, &status) != 0) {
    int error = -errno;
    return failure_set(failure, error, "cannot open the store %s: %s", path, strerror(-error));
  }
  if (!S_ISREG(status.st_mode))
    return failure_set(failure, -EBADMSG, "%s is not a perdure store: it is not a regular file", path);
  if (status.st_uid != geteuid())
    return failure_set(failure, -EPERM,
                       "cannot open the store %s: it belongs to user %u, not to you (user %u); run as its owner", path,
                       (unsigned)status.st_uid, (unsigned)geteuid());
  if (status.st_size == 0)
    return failure_set(failure, -EBADMSG, "cannot use the store %s: it is truncated: it is empty; restore it from a copy",
                       path);
  return 0;
}

static int read_pragma(struct store *store, const char *sql, sqlite3_int64 *ret_value,
                       struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = store_prepare(store, sql, &statement, "open", failure);
  if (error != 0)
    return error;
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *ret_value = sqlite3_column_int64(statement, 0);
  else
    error = store_failed(store, code == SQLITE_DONE ? SQLITE_CORRUPT : code, "open", failure);
  sqlite3_finalize(statement);
  return error;
}

static int check_version(struct store *store, struct failure *failure)
{
  sqlite3_int64 application, version;
  int error = read_pragma(store, "PRAGMA application_id", &application, failure);
  if (error == 0)
    error = read_pragma(store, "PRAGMA user_version", &version, failure);
  if (error != 0)
    return error;
  if (application != STORE_APPLICATION_ID)
    return failure_set(failure, -EBADMSG, "%s is not a perdure store: it is another database",
                       store->path);
  if (version != STORE_VERSION)
    return failure_set(failure, -EPROTONOSUPPORT,
                       "cannot open the store %s: it has version %lld and this perdure reads version %d; use the %s "
                       "perdure that wrote it",
                       store->path, (long long)version, STORE_VERSION,
                       version > STORE_VERSION ? "newer" : "older");
  return 0;
}

static int open_database(struct store *store, struct failure *failure)
{
  int flags = SQLITE_OPEN_FULLMUTEX |
              (store->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  int code = sqlite3_open_v2(store->path, &store->database, flags, NULL);
  if (code != SQLITE_OK)
    return store_failed(store, code, "open", failure);
  sqlite3_extended_result_codes(store->database, 1);
  sqlite3_busy_timeout(store->database, STORE_BUSY_TIMEOUT_MS);
  /* A reader that closes last must change nothing, and a run that ends has no time for it: what is in the WAL
   * is as good there. */
  sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  int error = check_version(store, failure);
  if (error != 0)
    return error;
  int64_t sync = TAIL_SYNC_ALL;
  error = store_meta_number(store, "sync", &sync, failure);
  if (error != 0 && error != -ENOENT)
    return error;
  store->sync = (unsigned)sync;
  code = entries_table_register(store->database, false);
  if (code == SQLITE_OK)
    code = exchanges_table_register(store->database, false);
  if (code != SQLITE_OK)
    return store_failed(store, code, "open", failure);
  if (store->read_only)
    return 0;
  /* Memory: dirty pages beyond the cache go to the WAL early. The WAL is moved into the database
   * after every 64 MiB and starts again at its beginning. */
  error = store_execute(store, "PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 2048;", "open", failure);
  return error != 0 ? error : store_set_sync(store, store->sync, failure);
}

/* NORMAL: SQLite syncs around moving the WAL into the database, so that neither is ever torn; that a commit is on
 * disk, store_sync() sees to. */
int store_set_sync(struct store *store, unsigned sync, struct failure *failure)
{
  store->sync = sync;
  return store_execute(store, sync == TAIL_SYNC_NONE ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = NORMAL",
                       "open", failure);
}

int store_open(const char *path, bool read_only, struct store **ret_store, struct failure *failure)
{
  int error = check_file(path, failure);
  if (error != 0)
    return error;
  struct store *store = calloc(1, sizeof *store);
  char *copy = strdup(path);
  if (store == NULL || copy == NULL) {
    free(store);
    free(copy);
    return failure_set(failure, -ENOMEM, "cannot open the store %s: out of memory", path);
  }
  store->path = copy;
  store->read_only = read_only;
  error = open_database(store, failure);
  if (error != 0) {
    store_close(store);
    return error;
  }
  *ret_store = store;
  return 0;
}

void store_close(struct store *store)
{
  if (store == NULL)
    return;
  if (store->in_transaction)
    store_rollback(store);
  sqlite3_finalize(store->append);
  int code = sqlite3_close(store->database);
  assert(code == SQLITE_OK); /* else a statement of somebody's is still open */
  if (store->log_fd > 0)
    close(store->log_fd);
  free(store->delta);
  free(store->path);
  free(store);
}

sqlite3 *store_database(struct store *store)
{
  return store->database;
}

int store_begin(struct store *store, struct failure *failure)
{
  sqlite3_mutex_enter(sqlite3_db_mutex(store->database));
  assert(!store->in_transaction);
  int error = store_execute(store, "BEGIN IMMEDIATE", "write to", failure);
  if (error != 0) {
    sqlite3_mutex_leave(sqlite3_db_mutex(store->database));
    return error;
  }
  store->in_transaction = true;
  return 0;
}

int store_commit(struct store *store, struct failure *failure)
{
  assert(store->in_transaction);
  int error = store_execute(store, "COMMIT", "write to", failure);
  if (error != 0) {
    store_rollback(store);
    return error;
  }
  store->in_transaction = false;
  sqlite3_mutex_leave(sqlite3_db_mutex(store->database));
  return 0;
}

void store_rollback(struct store *store)
{
  assert(store->in_transaction);
  /* A full disk or an I/O error may have rolled back already. */
  if (!sqlite3_get_autocommit(store->database))
    sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
  store->in_transaction = false;
  sqlite3_mutex_leave(sqlite3_db_mutex(store->database));
}

int store_sync(struct store *store, struct failure *failure)
{
  if (store->sync == TAIL_SYNC_NONE)
    return 0;
  sqlite3_mutex *mutex = sqlite3_db_mutex(store->database);
  sqlite3_file *log = NULL;
  sqlite3_mutex_enter(mutex);
  int code = sqlite3_file_control(store->database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  /* No methods: nothing has been written since it was opened. */
  if (code == SQLITE_OK && log != NULL && log->pMethods != NULL)
    code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
  int error = code == SQLITE_OK ? 0 : store_failed(store, code, "sync", failure);
  sqlite3_mutex_leave(mutex);
  return error;
}

void store_write_out(struct store *store)
{
  char path[PATH_MAX];
  struct stat status;
  if (store->sync == TAIL_SYNC_NONE)
    return;
  if (store->log_fd == 0 && (size_t)snprintf(path, sizeof path, "%s-wal", store->path) < sizeof path)
    store->log_fd = open(path, O_RDONLY | O_CLOEXEC);
  if (store->log_fd <= 0 || fstat(store->log_fd, &status) != 0)
    return;
  uint64_t size = (uint64_t)status.st_size;
  if (size < store->log_written + WRITE_OUT_STEP)
    return;
  sync_file_range(store->log_fd, (off_t)store->log_written, (off_t)(size - store->log_written),
                  SYNC_FILE_RANGE_WRITE);
  store->log_written = size;
}

int store_sync_names(struct store *store, struct failure *failure)
{
  int error = store->sync == TAIL_SYNC_NONE ? 0 : store_sync_directory(store->path);
  return error == 0 ? 0 : failure_set(failure, error, "cannot put the directory of %s on disk: %s; look at that disk",
                                      store->path, strerror(-error));
}
