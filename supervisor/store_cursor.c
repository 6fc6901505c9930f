/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the entries of a store in order, one chunk in memory at a time. Changes nothing. */
#include "supervisor/chunk.h"
#include "supervisor/chunk_delta.h"
#include "supervisor/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct store_cursor {
  struct store *store;
  sqlite3_stmt *statement; /* one row per chunk */
  struct chunk_walk walk;
  bool trusted;
  uint8_t *bytes; /* SQLite's blobs need not be aligned and entries must be: a copy */
  size_t bytes_size;
  uint64_t first_seq; /* of what the caller wants */
  uint64_t next_seq;  /* that the next chunk must begin with; 0: not known yet */
};

int store_cursor_open(struct store *store, uint64_t first_seq, struct store_cursor **ret_cursor,
                      struct failure *failure)
{
  struct store_cursor *cursor = calloc(1, sizeof *cursor);
  if (cursor == NULL)
    return store_failed(store, SQLITE_NOMEM, "read", failure);
  cursor->store = store;
  cursor->first_seq = first_seq;
  int error = store_prepare(
      store,
      "SELECT first_seq, first_position, end_position, entry_count, bytes FROM chunk WHERE first_seq >= "
      "coalesce((SELECT max(first_seq) FROM chunk WHERE first_seq <= ?1), 0) ORDER BY first_seq",
      &cursor->statement, "read", failure);
  if (error != 0) {
    free(cursor);
    return error;
  }
  sqlite3_bind_int64(cursor->statement, 1, (sqlite3_int64)first_seq);
  *ret_cursor = cursor;
  return 0;
}

void store_cursor_trust(struct store_cursor *cursor)
{
  cursor->trusted = true;
}

static int load_chunk(struct store_cursor *cursor, struct failure *failure)
{
  sqlite3_stmt *row = cursor->statement;
  const void *blob = sqlite3_column_blob(row, 4);
  size_t size = (size_t)sqlite3_column_bytes(row, 4);
  size_t length = chunk_delta_length(blob, size);
  if (length > cursor->bytes_size) {
    uint8_t *larger = realloc(cursor->bytes, length);
    if (larger == NULL)
      return store_failed(cursor->store, SQLITE_NOMEM, "read", failure);
    cursor->bytes = larger;
    cursor->bytes_size = length;
  }
  if (length > 0)
    length = chunk_delta_decode(blob, size, cursor->bytes);
  struct chunk chunk = {
      .first_seq = (uint64_t)sqlite3_column_int64(row, 0),
      .first_position = (uint64_t)sqlite3_column_int64(row, 1),
      .end_position = (uint64_t)sqlite3_column_int64(row, 2),
      .entry_count = (uint64_t)sqlite3_column_int64(row, 3),
      .bytes = cursor->bytes,
      .length = length,
  };
  if (cursor->next_seq == 0 && chunk.first_seq > 1 && chunk.first_seq > cursor->first_seq)
    cursor->next_seq = 1; /* what comes before the first chunk is missing */
  if (cursor->next_seq != 0 && chunk.first_seq != cursor->next_seq)
    return failure_set(failure, -EBADMSG,
                       "the store %s is corrupt: entry %llu is missing, entry %llu follows",
                       cursor->store->path, (unsigned long long)cursor->next_seq,
                       (unsigned long long)chunk.first_seq);
  if (chunk.first_position < cursor->walk.position)
    return failure_set(failure, -EBADMSG,
                       "the store %s is corrupt: entry %llu lies before the entry that it follows",
                       cursor->store->path, (unsigned long long)chunk.first_seq);
  cursor->walk = (struct chunk_walk){
      .chunk = chunk, .position = chunk.first_position, .trusted = cursor->trusted};
  cursor->next_seq = chunk.first_seq + chunk.entry_count;
  return 0;
}

/* *ret_more: whether there was one. */
static int next_chunk(struct store_cursor *cursor, bool *ret_more, struct failure *failure)
{
  int code = sqlite3_step(cursor->statement);
  if (code == SQLITE_DONE) {
    *ret_more = false;
    return 0;
  }
  if (code != SQLITE_ROW)
    return store_failed(cursor->store, code, "read", failure);
  int error = load_chunk(cursor, failure);
  if (error == 0)
    *ret_more = true;
  return error;
}

int store_cursor_next(struct store_cursor *cursor, const struct journal_entry **ret_entry,
                      uint64_t *ret_seq, struct failure *failure)
{
  for (;;) {
    const struct journal_entry *entry;
    uint64_t seq;
    const char *defect;
    if (chunk_next(&cursor->walk, &entry, &seq, &defect) != 0)
      return failure_set(failure, -EBADMSG, "the store %s is corrupt: entry %llu: %s",
                         cursor->store->path, (unsigned long long)seq, defect);
    if (entry != NULL && seq >= cursor->first_seq) {
      *ret_entry = entry;
      *ret_seq = seq;
      return 0;
    }
    if (entry != NULL)
      continue;
    bool more = false;
    int error = next_chunk(cursor, &more, failure);
    if (error != 0)
      return error;
    if (!more) {
      *ret_entry = NULL;
      return 0;
    }
  }
}

void store_cursor_close(struct store_cursor *cursor)
{
  if (cursor == NULL)
    return;
  sqlite3_finalize(cursor->statement);
  free(cursor->bytes);
  free(cursor);
}
