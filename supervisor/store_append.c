/* SPDX-License-Identifier: Apache-2.0 */
/* Entries into the store, and how far it reaches. Harmless at any crash: inside a transaction. */
#include "supervisor/chunk_delta.h"
#include "supervisor/clock.h"
#include "supervisor/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* meta: the end of the journal where gaps follow the last chunk. */
#define META_SKIPPED_TO "skipped_to"

/* The entries as differences, in store->delta. */
static int encode(struct store *store, const void *bytes, size_t length, size_t *ret_size,
                  struct failure *failure)
{
  size_t room = chunk_delta_size_max(length);
  if (room > store->delta_size) {
    uint8_t *larger = realloc(store->delta, room);
    if (larger == NULL)
      return store_failed(store, SQLITE_NOMEM, "write to", failure);
    store->delta = larger;
    store->delta_size = room;
  }
  *ret_size = chunk_delta_encode(bytes, length, store->delta);
  return 0;
}

int store_append(struct store *store, const void *bytes, size_t length, uint64_t entry_count,
                 uint64_t first_position, uint64_t end_position, struct failure *failure)
{
  assert(store->in_transaction);
  assert(entry_count > 0 && length >= entry_count * JOURNAL_ENTRY_HEADER_SIZE && length <= CHUNK_LENGTH_MAX);
  assert(end_position >= first_position + length);
  size_t size = 0;
  int error = encode(store, bytes, length, &size, failure);
  if (error != 0)
    return error;
  if (store->append == NULL) {
    error = store_prepare(
        store,
        /* VALUES is one row: SQLite keeps no copy of the pages, as it would for a SELECT. */
        "INSERT INTO chunk(first_seq, first_position, end_position, entry_count, time_ns, bytes) VALUES("
        "coalesce((SELECT first_seq + entry_count FROM chunk ORDER BY first_seq DESC LIMIT 1), 1), "
        "?1, ?2, ?3, ?4, ?5)",
        &store->append, "write to", failure);
    if (error != 0)
      return error;
  }
  sqlite3_stmt *append = store->append;
  sqlite3_bind_int64(append, 1, (sqlite3_int64)first_position);
  sqlite3_bind_int64(append, 2, (sqlite3_int64)end_position);
  sqlite3_bind_int64(append, 3, (sqlite3_int64)entry_count);
  sqlite3_bind_int64(append, 4, clock_ns(CLOCK_REALTIME));
  sqlite3_bind_blob(append, 5, store->delta, (int)size, SQLITE_STATIC);
  int code = sqlite3_step(append);
  error = code == SQLITE_DONE ? 0 : store_failed(store, code, "write to", failure);
  sqlite3_reset(append);
  return error;
}

int store_skip_to(struct store *store, uint64_t end_position, struct failure *failure)
{
  return store_meta_set_number(store, META_SKIPPED_TO, (int64_t)end_position, failure);
}

int store_end(struct store *store, uint64_t *ret_position, uint64_t *ret_entry_count,
              struct failure *failure)
{
  uint64_t position = 0, entry_count = 0;
  int64_t skipped_to = 0;
  sqlite3_stmt *statement;
  int error = store_prepare(
      store, "SELECT end_position, first_seq + entry_count - 1 FROM chunk ORDER BY first_seq DESC LIMIT 1",
      &statement, "read", failure);
  if (error != 0)
    return error;
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    position = (uint64_t)sqlite3_column_int64(statement, 0);
    entry_count = (uint64_t)sqlite3_column_int64(statement, 1);
  } else if (code != SQLITE_DONE) {
    error = store_failed(store, code, "read", failure);
  }
  sqlite3_finalize(statement);
  if (error == 0) {
    error = store_meta_number(store, META_SKIPPED_TO, &skipped_to, failure);
    if (error == -ENOENT)
      error = 0;
  }
  if (error != 0)
    return error;
  *ret_position = (uint64_t)skipped_to > position ? (uint64_t)skipped_to : position;
  *ret_entry_count = entry_count;
  return 0;
}

int store_attempt_begin(struct store *store, unsigned number, uint64_t first_seq,
                        struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = store_prepare(store,
                            "INSERT INTO attempt(number, began_ns, first_seq) VALUES(?1, ?2, ?3)",
                            &statement, "write to", failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, number);
  sqlite3_bind_int64(statement, 2, clock_ns(CLOCK_REALTIME));
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)first_seq);
  return store_finish(store, statement, "write to", failure);
}

int store_attempt_end(struct store *store, unsigned number, const char *ended, int status,
                      struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = store_prepare(store,
                            "UPDATE attempt SET ended_ns = ?2, ended = ?3, status = ?4 WHERE number = ?1",
                            &statement, "write to", failure);
  if (error != 0)
    return error;
  sqlite3_bind_int64(statement, 1, number);
  sqlite3_bind_int64(statement, 2, clock_ns(CLOCK_REALTIME));
  sqlite3_bind_text(statement, 3, ended, -1, SQLITE_STATIC);
  sqlite3_bind_int(statement, 4, status);
  return store_finish(store, statement, "write to", failure);
}

int store_attempts_lost(struct store *store, struct failure *failure)
{
  return store_execute(store, "UPDATE attempt SET ended = 'lost', status = 0 WHERE ended IS NULL", "write to", failure);
}
