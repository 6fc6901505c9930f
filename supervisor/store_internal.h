/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's own files share; nobody else includes it. */
#ifndef PERDURE_SUPERVISOR_STORE_INTERNAL_H
#define PERDURE_SUPERVISOR_STORE_INTERNAL_H

#include "supervisor/store.h"

/* PRAGMA application_id: "perd". */
#define STORE_APPLICATION_ID 0x70657264
/* Another process that checkpoints or reads holds a lock for milliseconds, never for this long. */
#define STORE_BUSY_TIMEOUT_MS 10000

struct store {
  sqlite3 *database;
  sqlite3_stmt *append; /* prepared once: the drain's only hot statement */
  uint8_t *delta;       /* a chunk on its way to SQLite */
  size_t delta_size;
  char *path;
  unsigned sync; /* enum tail_sync */
  bool read_only;
  bool in_transaction;
  int log_fd;            /* of SQLite's log, for store_write_out() alone; 0: not opened yet */
  uint64_t log_written;  /* bytes of the log whose way to the disk has begun */
};

/* Turns SQLite's result code of a failed `action` ("append entries to") on the store into a negative
 * errno and one line that names the store and what to do about it. */
int store_failed(const struct store *store, int code, const char *action, struct failure *failure);
/* The same before a struct store exists. database may be NULL. */
int store_path_failed(sqlite3 *database, const char *path, int code, const char *action,
                      struct failure *failure);

/* fsync of the directory that holds `path`: a new name there is on disk. */
int store_sync_directory(const char *path);

/* Runs SQL without results. */
int store_execute(struct store *store, const char *sql, const char *action, struct failure *failure);
/* sqlite3_prepare_v3; the caller finalizes. */
int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                  const char *action, struct failure *failure);
/* Steps a statement that returns no rows, and finalizes it either way. */
int store_finish(struct store *store, sqlite3_stmt *statement, const char *action,
                 struct failure *failure);

#endif
