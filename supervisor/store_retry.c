/* SPDX-License-Identifier: Apache-2.0 */
/* Failed attempts, and what was decided about them. The table comes to be with its first row, so that a
 * store of a perdure that knew no retries needs no other version. */
#include "supervisor/store_retry.h"

#include "supervisor/store_internal.h"

static bool finds(struct store *store, const char *sql)
{
  sqlite3_stmt *statement;
  bool found = false;
  if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK)
    found = sqlite3_step(statement) == SQLITE_ROW;
  sqlite3_finalize(statement);
  return found;
}

static bool has_policies(struct store *store)
{
  return finds(store, "SELECT 1 FROM pragma_table_info('retry') WHERE name = 'policy'");
}

static int make_table(struct store *store, struct failure *failure)
{
  int error = store_execute(store,
                            "CREATE TABLE IF NOT EXISTS retry(attempt INTEGER PRIMARY KEY, place INTEGER NOT NULL, "
                            "failure INTEGER NOT NULL, max_attempts INTEGER NOT NULL, delay_ns INTEGER)",
                            "write to", failure);
  /* These came later. */
  if (error == 0 && !has_policies(store))
    error = store_execute(store,
                          "ALTER TABLE retry ADD COLUMN spent_ns INTEGER; ALTER TABLE retry ADD COLUMN total_ns INTEGER; "
                          "ALTER TABLE retry ADD COLUMN policy TEXT",
                          "write to", failure);
  return error;
}

int store_retry_add(struct store *store, const struct store_retry *retry, struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = make_table(store, failure);
  if (error == 0)
    error = store_prepare(store,
                          "INSERT OR REPLACE INTO retry(attempt, place, failure, max_attempts, delay_ns, spent_ns, total_ns, "
                          "policy) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                          &statement, "write to", failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, retry->attempt);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)retry->place);
  sqlite3_bind_int64(statement, 3, retry->failure);
  sqlite3_bind_int64(statement, 4, retry->max_attempts);
  if (retry->again)
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)retry->delay_ns);
  sqlite3_bind_int64(statement, 6, (sqlite3_int64)retry->spent_ns);
  sqlite3_bind_int64(statement, 7, (sqlite3_int64)retry->total_ns);
  sqlite3_bind_text(statement, 8, retry->policy, -1, SQLITE_STATIC);
  return store_finish(store, statement, "write to", failure);
}

#define ENDED_COLUMNS "SELECT number, ended, status, ended_ns, "
#define OF_ENDED " WHERE ended IS NOT NULL ORDER BY number"

static const char *select_ended(struct store *store)
{
  if (has_policies(store))
    return ENDED_COLUMNS "place, failure, max_attempts, delay_ns, spent_ns, total_ns, policy "
                         "FROM attempt LEFT JOIN retry ON attempt = number" OF_ENDED;
  if (finds(store, "SELECT 1 FROM sqlite_schema WHERE name = 'retry'"))
    return ENDED_COLUMNS "place, failure, max_attempts, delay_ns, 0, 0, NULL "
                         "FROM attempt LEFT JOIN retry ON attempt = number" OF_ENDED;
  return ENDED_COLUMNS "NULL, NULL, NULL, NULL, 0, 0, NULL FROM attempt" OF_ENDED;
}

int store_retry_each(struct store *store, void (*visit)(const struct store_failed_attempt *failed, void *context),
                     void *context, struct failure *failure)
{
  sqlite3_stmt *statement;
  int code, error = store_prepare(store, select_ended(store), &statement, "read", failure);
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
                  .delay_ns = (uint64_t)sqlite3_column_int64(statement, 7),
                  .spent_ns = (uint64_t)sqlite3_column_int64(statement, 8),
                  .total_ns = (uint64_t)sqlite3_column_int64(statement, 9),
                  .policy = (const char *)sqlite3_column_text(statement, 10)},
    };
    visit(&failed, context);
  }
  if (code != SQLITE_DONE)
    error = store_failed(store, code, "read", failure);
  sqlite3_finalize(statement);
  return error;
}
