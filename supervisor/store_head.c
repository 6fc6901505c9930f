/* SPDX-License-Identifier: Apache-2.0 */
/* Harmless at any crash: reads, or writes inside a transaction. */
#include "supervisor/store_head.h"

#include "supervisor/chunk_cut.h"
#include "supervisor/store_internal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTACH "ATTACH ':memory:' AS head"
#define DETACH "DETACH head"

static const char *const tables[] = {
#define TABLE(name, columns, option) #name,
#include "supervisor/store_schema.def"
#undef TABLE
};

static bool in_head(const char *table)
{
  return strcmp(table, "chunk") != 0;
}

/* BEFORE TABLE, or BEFORE TABLE BETWEEN TABLE, for each of the head's. */
static int for_tables(struct store *store, const char *before, const char *between, const char *action,
                      struct failure *failure)
{
  int error = 0;
  for (size_t i = 0; error == 0 && i < sizeof tables / sizeof tables[0]; i++) {
    char sql[256];
    if (!in_head(tables[i]))
      continue;
    snprintf(sql, sizeof sql, "%s%s%s%s", before, tables[i], between ? between : "", between ? tables[i] : "");
    error = store_execute(store, sql, action, failure);
  }
  return error;
}

int store_head_take(struct store *store, void **ret_bytes, size_t *ret_length, struct failure *failure)
{
  sqlite3_int64 length = 0;
  int error = store_execute(store, ATTACH, "read", failure);
  if (error != 0)
    return error;
  error = for_tables(store, "CREATE TABLE head.", " AS SELECT * FROM main.", "read", failure);
  if (error == 0) {
    unsigned char *image = sqlite3_serialize(store->database, "head", &length, 0);
    *ret_bytes = image ? malloc((size_t)length) : NULL;
    *ret_length = (size_t)length;
    if (*ret_bytes)
      memcpy(*ret_bytes, image, (size_t)length);
    else
      error = store_failed(store, SQLITE_NOMEM, "read", failure);
    sqlite3_free(image);
  }
  store_execute(store, DETACH, "read", &(struct failure){""});
  return error;
}

/* Inside a transaction no database can be attached: the image has a connection of its own. */
static int copy_rows(struct store *store, sqlite3 *image, const char *table, struct failure *failure)
{
  sqlite3_stmt *from = NULL, *to = NULL;
  char sql[512];
  int code;
  snprintf(sql, sizeof sql, "SELECT * FROM %s", table);
  if (sqlite3_prepare_v2(image, sql, -1, &from, NULL) != SQLITE_OK)
    return failure_set(failure, -EBADMSG, "the head of the run has no table %s: it is damaged, or of another version", table);
  int columns = sqlite3_column_count(from);
  int length = snprintf(sql, sizeof sql, "INSERT INTO main.%s VALUES(?", table);
  for (int i = 1; i < columns; i++)
    length += snprintf(sql + length, sizeof sql - (size_t)length, ",?");
  snprintf(sql + length, sizeof sql - (size_t)length, ")");
  int error = store_prepare(store, sql, &to, "write to", failure);
  while (error == 0 && (code = sqlite3_step(from)) != SQLITE_DONE) {
    if (code != SQLITE_ROW) {
      error = failure_set(failure, -EBADMSG, "the head of the run is damaged: %s", sqlite3_errmsg(image));
      break;
    }
    for (int i = 0; i < columns; i++)
      sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
    code = sqlite3_step(to);
    if (code != SQLITE_DONE)
      error = store_failed(store, code, "write to", failure);
    sqlite3_reset(to);
  }
  sqlite3_finalize(from);
  sqlite3_finalize(to);
  return error;
}

/* A database of its own in memory. */
static int open_image(const void *bytes, size_t length, sqlite3 **ret_image, struct failure *failure)
{
  sqlite3 *image = NULL;
  unsigned char *copy = sqlite3_malloc64(length);
  if (!copy || sqlite3_open(":memory:", &image) != SQLITE_OK) {
    sqlite3_free(copy);
    sqlite3_close(image);
    return failure_set(failure, -ENOMEM, "cannot read the head of the run: out of memory");
  }
  memcpy(copy, bytes, length);
  if (sqlite3_deserialize(image, "main", copy, (sqlite3_int64)length, (sqlite3_int64)length,
                          SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY) != SQLITE_OK) {
    sqlite3_close(image);
    return failure_set(failure, -EBADMSG, "the head of the run is damaged: it is no database");
  }
  *ret_image = image;
  return 0;
}

int store_head_put(struct store *store, const void *bytes, size_t length, struct failure *failure)
{
  sqlite3 *image;
  int error = open_image(bytes, length, &image, failure);
  if (error != 0)
    return error;
  error = for_tables(store, "DELETE FROM main.", NULL, "write to", failure);
  for (size_t i = 0; error == 0 && i < sizeof tables / sizeof tables[0]; i++)
    if (in_head(tables[i]))
      error = copy_rows(store, image, tables[i], failure);
  sqlite3_close(image);
  return error;
}

int store_head_open(const struct store_head *head, const char *where, struct store **ret_store, struct failure *failure)
{
  struct store *store = calloc(1, sizeof *store);
  char *path = strdup(where);
  int error = store && path ? open_image(head->bytes, head->length, &store->database, failure)
                            : failure_set(failure, -ENOMEM, "cannot read the head of the run: out of memory");
  if (error != 0) {
    free(store);
    free(path);
    return error;
  }
  store->path = path;
  store->read_only = true;
  *ret_store = store;
  return 0;
}

int store_chunk_visit_from(const struct store_chunk *chunk, uint64_t first_seq, store_chunk_visit *each, void *context,
                           struct failure *failure)
{
  struct store_chunk rest = *chunk;
  void *bytes = NULL;
  int error = 0;
  if (chunk->first_seq + chunk->entry_count <= first_seq)
    return 0;
  if (chunk->first_seq < first_seq)
    error = chunk_cut(&rest, first_seq, &bytes, failure);
  if (error == 0)
    error = each(&rest, context);
  free(bytes);
  return error;
}

int store_chunks(struct store *store, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure)
{
  sqlite3_stmt *statement;
  int code, error = store_prepare(store,
                                  "SELECT first_seq, first_position, end_position, entry_count, time_ns, bytes FROM chunk "
                                  "WHERE first_seq >= coalesce((SELECT max(first_seq) FROM chunk WHERE first_seq <= ?1), 0) "
                                  "ORDER BY first_seq",
                                  &statement, "read", failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)first_seq);
  while (error == 0 && (code = sqlite3_step(statement)) != SQLITE_DONE) {
    if (code != SQLITE_ROW) {
      error = store_failed(store, code, "read", failure);
      break;
    }
    struct store_chunk chunk = {
      .first_seq = (uint64_t)sqlite3_column_int64(statement, 0),
      .first_position = (uint64_t)sqlite3_column_int64(statement, 1),
      .end_position = (uint64_t)sqlite3_column_int64(statement, 2),
      .entry_count = (uint64_t)sqlite3_column_int64(statement, 3),
      .time_ns = sqlite3_column_int64(statement, 4),
      .bytes = sqlite3_column_blob(statement, 5),
      .length = (size_t)sqlite3_column_bytes(statement, 5),
    };
    error = store_chunk_visit_from(&chunk, first_seq, each, context, failure);
  }
  sqlite3_finalize(statement);
  return error;
}

int store_chunks_forget(struct store *store, struct failure *failure)
{
  return store_execute(store, "DELETE FROM chunk", "write to", failure);
}

int store_mark_before(struct store *store, uint64_t next_seq, struct store_mark *ret_mark, struct failure *failure)
{
  sqlite3_stmt *statement;
  struct store_mark mark = {0};
  int error = store_prepare(store,
                            "SELECT first_seq, entry_count, end_position, bytes FROM chunk WHERE first_seq < ?1 "
                            "ORDER BY first_seq DESC LIMIT 1",
                            &statement, "read", failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)next_seq);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    const void *bytes = sqlite3_column_blob(statement, 3);
    mark = (struct store_mark){(uint64_t)sqlite3_column_int64(statement, 0), (uint64_t)sqlite3_column_int64(statement, 1),
                               (uint64_t)sqlite3_column_int64(statement, 2),
                               XXH3_64bits(bytes, (size_t)sqlite3_column_bytes(statement, 3))};
  } else if (code != SQLITE_DONE) {
    error = store_failed(store, code, "read", failure);
  }
  sqlite3_finalize(statement);
  if (error == 0)
    *ret_mark = mark;
  return error;
}

int store_chunk_put(struct store *store, const struct store_chunk *chunk, struct failure *failure)
{
  uint64_t position, entry_count;
  sqlite3_stmt *statement;
  int error = store_end(store, &position, &entry_count, failure);
  if (error != 0)
    return error;
  if (chunk->first_seq != entry_count + 1 || chunk->entry_count == 0)
    return failure_set(failure, -EBADMSG, "the journal has a hole: entry %llu should follow, and %llu does",
                       (unsigned long long)entry_count + 1, (unsigned long long)chunk->first_seq);
  error = store_prepare(store,
                        "INSERT INTO chunk(first_seq, first_position, end_position, entry_count, time_ns, bytes) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                        &statement, "write to", failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)chunk->first_seq);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)chunk->first_position);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)chunk->end_position);
  sqlite3_bind_int64(statement, 4, (sqlite3_int64)chunk->entry_count);
  sqlite3_bind_int64(statement, 5, chunk->time_ns);
  sqlite3_bind_blob(statement, 6, chunk->bytes, (int)chunk->length, SQLITE_STATIC);
  return store_finish(store, statement, "write to", failure);
}
