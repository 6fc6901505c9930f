/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual table `exchanges` (entries_table.h says what it shows). Compiled twice, as entries_table.c is.
 * A query walks the whole journal once, and holds all its exchanges. It writes nothing. */
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3

#include "supervisor/entries_table.h"

#include "supervisor/chunk.h"
#include "supervisor/chunk_delta.h"
#include "supervisor/exchange.h"
#include "supervisor/secrets.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* In the order of the table. */
#define COLUMNS(FIRST, COLUMN) \
  FIRST(seq, "INTEGER") COLUMN(time_ns, "INTEGER") COLUMN(time, "TEXT") COLUMN(stream, "INTEGER") \
  COLUMN(method, "TEXT") COLUMN(url, "TEXT") COLUMN(state, "TEXT") COLUMN(status, "INTEGER") \
  COLUMN(code, "INTEGER") COLUMN(code_name, "TEXT") COLUMN(request_size, "INTEGER") \
  COLUMN(response_size, "INTEGER") COLUMN(duration_ns, "INTEGER") COLUMN(sent, "INTEGER") \
  COLUMN(attempt, "INTEGER") COLUMN(replayed, "INTEGER") COLUMN(keyed, "INTEGER") \
  COLUMN(resolved, "INTEGER")
#define COLUMN_NUMBER(name, type) COLUMN_##name,
#define COLUMN_FIRST(name, type) #name " " type
#define COLUMN_LATER(name, type) ", " #name " " type

enum column { COLUMNS(COLUMN_NUMBER, COLUMN_NUMBER) };

struct exchanges_table {
  sqlite3_vtab base;
  sqlite3 *database;
  bool secrets;
};

struct exchanges_cursor {
  sqlite3_vtab_cursor base;
  struct exchanges exchanges;
  size_t index;
};

static int table_connect(sqlite3 *database, void *context, int argc, const char *const *argv,
                         sqlite3_vtab **ret_table, char **ret_message)
{
  static const char declaration[] = "CREATE TABLE exchanges(" COLUMNS(COLUMN_FIRST, COLUMN_LATER) ")";
  int code = sqlite3_declare_vtab(database, declaration);
  if (code != SQLITE_OK)
    return code;
  struct exchanges_table *table = sqlite3_malloc(sizeof *table);
  if (table == NULL)
    return SQLITE_NOMEM;
  *table = (struct exchanges_table){.database = database, .secrets = context != NULL};
  *ret_table = &table->base;
  return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *table)
{
  sqlite3_free(table);
  return SQLITE_OK;
}

static int table_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
  info->estimatedCost = 1000000;
  info->estimatedRows = 1000;
  info->orderByConsumed = info->nOrderBy == 1 && info->aOrderBy[0].iColumn <= COLUMN_seq &&
                          !info->aOrderBy[0].desc;
  return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
  struct exchanges_cursor *cursor = sqlite3_malloc(sizeof *cursor);
  if (cursor == NULL)
    return SQLITE_NOMEM;
  memset(cursor, 0, sizeof *cursor);
  *ret_cursor = &cursor->base;
  return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
  struct exchanges_cursor *cursor = (struct exchanges_cursor *)base;
  exchanges_release(&cursor->exchanges);
  sqlite3_free(cursor);
  return SQLITE_OK;
}

static int failed(struct exchanges_cursor *cursor, int code, char *message)
{
  sqlite3_free(cursor->base.pVtab->zErrMsg);
  cursor->base.pVtab->zErrMsg = message;
  return code;
}

static int add_entries(struct exchanges_cursor *cursor, struct chunk_walk *walk)
{
  const struct exchanges_table *table = (const struct exchanges_table *)cursor->base.pVtab;
  for (;;) {
    const struct journal_entry *entry;
    const char *defect;
    uint64_t seq;
    size_t index;
    if (chunk_next(walk, &entry, &seq, &defect) != 0)
      return failed(cursor, SQLITE_CORRUPT_VTAB,
                    sqlite3_mprintf("entry %lld: %s", (sqlite3_int64)seq, defect));
    if (entry == NULL)
      return SQLITE_OK;
    /* The chunk's bytes are this function's caller's own copy. */
    if (!table->secrets && entry->kind == JOURNAL_INTENT)
      secrets_hide_entry((struct journal_entry *)entry);
    if (exchanges_add(&cursor->exchanges, entry, seq, &index) != 0)
      return SQLITE_NOMEM;
  }
}

static int add_chunk(struct exchanges_cursor *cursor, sqlite3_stmt *row)
{
  const void *blob = sqlite3_column_blob(row, 4);
  size_t size = (size_t)sqlite3_column_bytes(row, 4), length = chunk_delta_length(blob, size);
  uint8_t *bytes = sqlite3_malloc64(length + 1);
  if (bytes == NULL)
    return SQLITE_NOMEM;
  if (length > 0)
    length = chunk_delta_decode(blob, size, bytes);
  struct chunk_walk walk = {
      .chunk = {
          .first_seq = (uint64_t)sqlite3_column_int64(row, 0),
          .first_position = (uint64_t)sqlite3_column_int64(row, 1),
          .end_position = (uint64_t)sqlite3_column_int64(row, 2),
          .entry_count = (uint64_t)sqlite3_column_int64(row, 3),
          .bytes = bytes,
          .length = length,
      }};
  int code = add_entries(cursor, &walk);
  sqlite3_free(bytes);
  return code;
}

static int cursor_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc,
                         sqlite3_value **argv)
{
  struct exchanges_cursor *cursor = (struct exchanges_cursor *)base;
  sqlite3 *database = ((struct exchanges_table *)base->pVtab)->database;
  sqlite3_stmt *rows;
  int code = sqlite3_prepare_v2(
      database,
      "SELECT first_seq, first_position, end_position, entry_count, bytes FROM main.chunk ORDER BY first_seq",
      -1, &rows, NULL);
  if (code != SQLITE_OK)
    return failed(cursor, code, sqlite3_mprintf("not a perdure store: %s", sqlite3_errmsg(database)));
  exchanges_release(&cursor->exchanges);
  cursor->index = 0;
  while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
    code = add_chunk(cursor, rows);
    if (code != SQLITE_OK)
      break;
  }
  sqlite3_finalize(rows);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
  ((struct exchanges_cursor *)base)->index++;
  return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
  const struct exchanges_cursor *cursor = (const struct exchanges_cursor *)base;
  return cursor->index >= cursor->exchanges.count;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
  const struct exchanges_cursor *cursor = (const struct exchanges_cursor *)base;
  *ret_rowid = (sqlite3_int64)cursor->exchanges.list[cursor->index].seq;
  return SQLITE_OK;
}

static void result_time(sqlite3_context *context, uint64_t time_ns)
{
  time_t seconds = (time_t)(time_ns / 1000000000);
  struct tm broken_down;
  char text[64];
  if (gmtime_r(&seconds, &broken_down) == NULL)
    return;
  size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &broken_down);
  snprintf(text + length, sizeof text - length, ".%09uZ", (unsigned)(time_ns % 1000000000));
  sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
  const struct exchanges_cursor *cursor = (const struct exchanges_cursor *)base;
  const struct exchange *exchange = &cursor->exchanges.list[cursor->index];
  bool ended = exchange->state == EXCHANGE_ENDED;
  switch ((enum column)column) {
  case COLUMN_seq: sqlite3_result_int64(context, (sqlite3_int64)exchange->seq); break;
  case COLUMN_time_ns: sqlite3_result_int64(context, (sqlite3_int64)exchange->time_ns); break;
  case COLUMN_time: result_time(context, exchange->time_ns); break;
  case COLUMN_stream: sqlite3_result_int64(context, exchange->stream); break;
  case COLUMN_method: sqlite3_result_text(context, exchange->method, -1, SQLITE_TRANSIENT); break;
  case COLUMN_url: sqlite3_result_text(context, exchange->url, -1, SQLITE_TRANSIENT); break;
  case COLUMN_state:
    sqlite3_result_text(context, exchange_state_name(exchange->state), -1, SQLITE_STATIC);
    break;
  case COLUMN_status:
    if (exchange->status != 0)
      sqlite3_result_int64(context, exchange->status);
    break;
  case COLUMN_code:
    if (ended)
      sqlite3_result_int64(context, exchange->code);
    break;
  case COLUMN_code_name:
    if (ended)
      sqlite3_result_text(context, curl_code_name(exchange->code), -1, SQLITE_STATIC);
    break;
  case COLUMN_request_size: sqlite3_result_int64(context, (sqlite3_int64)exchange->request_size); break;
  case COLUMN_response_size: sqlite3_result_int64(context, (sqlite3_int64)exchange->answer_size); break;
  case COLUMN_duration_ns:
    if (ended)
      sqlite3_result_int64(context, (sqlite3_int64)exchange->duration_ns);
    break;
  case COLUMN_sent: sqlite3_result_int64(context, exchange->sent_count); break;
  case COLUMN_attempt: sqlite3_result_int64(context, exchange->attempt); break;
  case COLUMN_replayed:
    sqlite3_result_int(context, exchange_replayed(&cursor->exchanges, exchange));
    break;
  case COLUMN_keyed: sqlite3_result_int(context, exchange->keyed); break;
  case COLUMN_resolved: sqlite3_result_int(context, exchange->resolved); break;
  }
  return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 1,
    .xConnect = table_connect,
    .xBestIndex = table_best_index,
    .xDisconnect = table_disconnect,
    .xOpen = cursor_open,
    .xClose = cursor_close,
    .xFilter = cursor_filter,
    .xNext = cursor_next,
    .xEof = cursor_eof,
    .xColumn = cursor_column,
    .xRowid = cursor_rowid,
};

int exchanges_table_register(sqlite3 *database, bool secrets)
{
  return sqlite3_create_module_v2(database, "exchanges", &module, secrets ? (void *)&module : NULL, NULL);
}
