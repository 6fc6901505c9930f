/* SPDX-License-Identifier: Apache-2.0 */
/* Failed attempts, and what was decided about them. The table comes to be with its first row, so that a
 * store of a perdure that knew no retries needs no other version. */
#include "supervisor/store_retry.h"

#include "supervisor/store_internal.h"

int store_retry_add(struct store *store, const struct store_retry *retry, struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = store_execute(store,
                            "CREATE TABLE IF NOT EXISTS retry(attempt INTEGER PRIMARY KEY, place INTEGER NOT NULL, "
                            "failure INTEGER NOT NULL, max_attempts INTEGER NOT NULL, delay_ns INTEGER)",
                            "write to", failure);
  if (error == 0)
    error = store_prepare(store, "INSERT OR REPLACE INTO retry VALUES(?1, ?2, ?3, ?4, ?5)", &statement, "write to",
                          failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, retry->attempt);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)retry->place);
  sqlite3_bind_int64(statement, 3, retry->failure);
  sqlite3_bind_int64(statement, 4, retry->max_attempts);
  if (retry->again)
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)retry->delay_ns);
  return store_finish(store, statement, "write to", failure);
}

static bool has_table(struct store *store)
{
  sqlite3_stmt *statement;
  bool has = false;
  if (sqlite3_prepare_v2(store->database, "SELECT 1 FROM sqlite_schema WHERE name = 'retry'", -1, &statement, NULL) ==
      SQLITE_OK)
    has = sqlite3_step(statement) == SQLITE_ROW;
  sqlite3_finalize(statement);
  return has;
}

int store_retry_each(struct store *store, void (*visit)(const struct store_failed_attempt *failed, void *context),
                     void *context, struct failure *failure)
{
  sqlite3_stmt *statement;
  const char *sql = has_table(store)
                        ? "SELECT number, ended, status, ended_ns, place, failure, max_attempts, delay_ns FROM attempt "
                          "LEFT JOIN retry ON attempt = number WHERE ended IS NOT NULL ORDER BY number"
                        : "SELECT number, ended, status, ended_ns, NULL, NULL, NULL, NULL FROM attempt "
                          "WHERE ended IS NOT NULL ORDER BY number";
  int code, error = store_prepare(store, sql, &statement, "read", failure);
  if (error != 0)
    return error;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct store_failed_attempt failed = {
        .number = (unsigned)sqlite3_column_int64(statement, 0),
        .ended = (const char *)sqlite3_column_text(statement, 1),
        .status = sqlite3_column_int(statement, 2),
        .ended_ns = sqlite3_column_int64(statement, 3),
        .decided = sqlite3_column_type(statement, 4) != SQLITE_NULL,
        .retry = {.attempt = (unsigned)sqlite3_column_int64(statement, 0),
                  .place = (uint64_t)sqlite3_column_int64(statement, 4),
                  .failure = (uint32_t)sqlite3_column_int64(statement, 5),
                  .max_attempts = (uint32_t)sqlite3_column_int64(statement, 6),
                  .again = sqlite3_column_type(statement, 7) != SQLITE_NULL,
                  .delay_ns = (uint64_t)sqlite3_column_int64(statement, 7)},
    };
    visit(&failed, context);
  }
  if (code != SQLITE_DONE)
    error = store_failed(store, code, "read", failure);
  sqlite3_finalize(statement);
  return error;
}
