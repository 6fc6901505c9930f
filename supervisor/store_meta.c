/* SPDX-License-Identifier: Apache-2.0 */
/* What a store says about its run: single values, and the program's argv and environment. Outside of
 * store_begin and store_commit each change is a transaction of its own. */
#include "supervisor/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int meta_write(struct store *store, const char *key, const char *text, int64_t number,
                      struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = store_prepare(store, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)", &statement, "write to",
                            failure);
  if (error != 0)
    return error;
  sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
  if (text != NULL)
    sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
  else
    sqlite3_bind_int64(statement, 2, number);
  return store_finish(store, statement, "write to", failure);
}

/* 0 with the statement on the key's row, for the caller to finalize. */
static int meta_read(struct store *store, const char *key, sqlite3_stmt **ret_statement,
                     struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = store_prepare(store, "SELECT value FROM meta WHERE key = ?1", &statement, "read", failure);
  if (error != 0)
    return error;
  sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    *ret_statement = statement;
    return 0;
  }
  if (code == SQLITE_DONE)
    error = failure_set(failure, -ENOENT, "the store %s does not say its %s", store->path, key);
  else
    error = store_failed(store, code, "read", failure);
  sqlite3_finalize(statement);
  return error;
}

int store_meta_set_text(struct store *store, const char *key, const char *value,
                        struct failure *failure)
{
  return meta_write(store, key, value, 0, failure);
}

int store_meta_set_number(struct store *store, const char *key, int64_t value, struct failure *failure)
{
  return meta_write(store, key, NULL, value, failure);
}

int store_meta_text(struct store *store, const char *key, char **ret_value, struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = meta_read(store, key, &statement, failure);
  if (error != 0)
    return error;
  const unsigned char *text = sqlite3_column_text(statement, 0);
  char *copy = strdup(text != NULL ? (const char *)text : "");
  sqlite3_finalize(statement);
  if (copy == NULL)
    return store_failed(store, SQLITE_NOMEM, "read", failure);
  *ret_value = copy;
  return 0;
}

int store_meta_number(struct store *store, const char *key, int64_t *ret_value, struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = meta_read(store, key, &statement, failure);
  if (error != 0)
    return error;
  *ret_value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return 0;
}

static int insert_strings(struct store *store, const char *table, char *const *strings,
                          struct failure *failure)
{
  char sql[128];
  snprintf(sql, sizeof sql, "INSERT INTO %s VALUES(?1, ?2)", table);
  sqlite3_stmt *statement;
  int error = store_prepare(store, sql, &statement, "write to", failure);
  if (error != 0)
    return error;
  for (int place = 0; error == 0 && strings[place] != NULL; place++) {
    sqlite3_bind_int(statement, 1, place);
    sqlite3_bind_blob(statement, 2, strings[place], (int)strlen(strings[place]), SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code != SQLITE_DONE)
      error = store_failed(store, code, "write to", failure);
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  return error;
}

/* The only tables whose names may be put into SQL. */
static void assert_strings_table(const char *table)
{
  assert(strcmp(table, "argument") == 0 || strcmp(table, "environment") == 0);
}

int store_strings_set(struct store *store, const char *table, char *const *strings,
                      struct failure *failure)
{
  assert_strings_table(table);
  char sql[128];
  snprintf(sql, sizeof sql, "SAVEPOINT strings; DELETE FROM %s", table);
  /* Held throughout, so that no other thread's statement falls between savepoint and release. */
  sqlite3_mutex_enter(sqlite3_db_mutex(store->database));
  int error = store_execute(store, sql, "write to", failure);
  if (error == 0)
    error = insert_strings(store, table, strings, failure);
  if (error == 0)
    error = store_execute(store, "RELEASE strings", "write to", failure);
  if (error != 0)
    sqlite3_exec(store->database, "ROLLBACK TO strings; RELEASE strings", NULL, NULL, NULL);
  sqlite3_mutex_leave(sqlite3_db_mutex(store->database));
  return error;
}

/* Copies the rows of `statement` into `block`: pointers, NULL, then the strings. */
static int fill_strings(struct store *store, sqlite3_stmt *statement, void *block, size_t count,
                        size_t size, struct failure *failure)
{
  char **pointers = block;
  char *end = (char *)block + (count + 1) * sizeof(char *);
  size_t index = 0;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    size_t length = (size_t)sqlite3_column_bytes(statement, 0);
    if (index == count || (size_t)(end - (char *)block) + length + 1 > size)
      return store_failed(store, SQLITE_CORRUPT, "read", failure);
    if (length > 0)
      memcpy(end, sqlite3_column_blob(statement, 0), length);
    end[length] = '\0';
    pointers[index++] = end;
    end += length + 1;
  }
  if (code != SQLITE_DONE)
    return store_failed(store, code, "read", failure);
  pointers[index] = NULL;
  return 0;
}

/* How many strings, and how large the block is that holds them. */
static int measure_strings(struct store *store, const char *table, size_t *ret_count,
                           size_t *ret_size, struct failure *failure)
{
  char sql[128];
  snprintf(sql, sizeof sql, "SELECT count(*), coalesce(sum(length(value) + 1), 0) FROM %s", table);
  sqlite3_stmt *statement;
  int error = store_prepare(store, sql, &statement, "read", failure);
  if (error != 0)
    return error;
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    *ret_count = (size_t)sqlite3_column_int64(statement, 0);
    *ret_size = (*ret_count + 1) * sizeof(char *) + (size_t)sqlite3_column_int64(statement, 1);
  } else {
    error = store_failed(store, code, "read", failure);
  }
  sqlite3_finalize(statement);
  return error;
}

int store_strings(struct store *store, const char *table, char ***ret_strings, struct failure *failure)
{
  assert_strings_table(table);
  size_t count = 0, size = 0;
  int error = measure_strings(store, table, &count, &size, failure);
  if (error != 0)
    return error;
  char **block = malloc(size);
  if (block == NULL)
    return store_failed(store, SQLITE_NOMEM, "read", failure);
  char sql[128];
  snprintf(sql, sizeof sql, "SELECT value FROM %s ORDER BY place", table);
  sqlite3_stmt *statement;
  error = store_prepare(store, sql, &statement, "read", failure);
  if (error == 0) {
    error = fill_strings(store, statement, block, count, size, failure);
    sqlite3_finalize(statement);
  }
  if (error != 0) {
    free(block);
    return error;
  }
  *ret_strings = block;
  return 0;
}
