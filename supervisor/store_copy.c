/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/store_copy.h"

#include "supervisor/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int store_copy(struct store *store, const char *path, struct failure *failure)
{
  sqlite3 *copy = NULL;
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0)
    return failure_set(failure, -errno, "cannot create %s: %s; look at that directory's permissions", path, strerror(errno));
  close(fd);
  int code = sqlite3_open(path, &copy);
  sqlite3_backup *backup = code == SQLITE_OK ? sqlite3_backup_init(copy, "main", store->database, "main") : NULL;
  if (backup != NULL) {
    sqlite3_backup_step(backup, -1);
    code = sqlite3_backup_finish(backup);
  } else if (code == SQLITE_OK) {
    code = sqlite3_errcode(copy);
  }
  int error = code == SQLITE_OK ? 0 : store_path_failed(copy, path, code, "copy the journal to", failure);
  sqlite3_close(copy);
  return error;
}

int store_fold(struct store *store, struct failure *failure)
{
  return store_execute(store, "PRAGMA wal_checkpoint(TRUNCATE)", "write to", failure);
}

int store_rename(const char *from, const char *to)
{
  return rename(from, to) < 0 ? -errno : store_sync_directory(to);
}
