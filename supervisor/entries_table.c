/* SPDX-License-Identifier: Apache-2.0 */
/* entries_table.h says what it shows. Compiled twice: into the supervisor (with SQLITE_CORE: calls
 * SQLite directly), and as a loadable extension (through the table of functions that SQLite hands over).
 * It writes nothing. */
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include "supervisor/entries_table.h"

#include "journal/call_table.h"
#include "supervisor/chunk.h"
#include "supervisor/chunk_delta.h"
#include "supervisor/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In the order of the table. */
#define COLUMNS(FIRST, COLUMN) \
  FIRST(seq, "INTEGER") COLUMN(position, "INTEGER") COLUMN(stream, "INTEGER") \
  COLUMN(call, "TEXT") COLUMN(call_id, "INTEGER") COLUMN(kind, "TEXT") COLUMN(result, "INTEGER") \
  COLUMN(error, "TEXT") COLUMN(time_ns, "INTEGER") COLUMN(time, "TEXT") COLUMN(path, "TEXT") \
  COLUMN(args, "TEXT") COLUMN(output, "BLOB") COLUMN(output_size, "INTEGER") \
  COLUMN(signature, "INTEGER") COLUMN(flags, "INTEGER") COLUMN(attempt, "INTEGER")
#define COLUMN_NUMBER(name, type) COLUMN_##name,
#define COLUMN_FIRST(name, type) #name " " type
#define COLUMN_LATER(name, type) ", " #name " " type

enum column { COLUMNS(COLUMN_NUMBER, COLUMN_NUMBER) };

/* xBestIndex's plan: the conditions on seq whose values xFilter gets, in this order. */
enum { PLAN_GE = 1, PLAN_GT = 2, PLAN_LE = 4, PLAN_LT = 8, PLAN_EQ = 16 };

#define ERRNO_MAX 4095

struct entries_table {
  sqlite3_vtab base;
  sqlite3 *database;
  bool secrets;
};

struct attempt_start {
  sqlite3_int64 first_seq, number;
};

struct entries_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_stmt *chunks;
  struct chunk_walk walk;
  uint8_t *bytes; /* the chunk, aligned */
  size_t bytes_size;
  const struct journal_entry *entry; /* NULL: at the end */
  uint64_t seq;
  sqlite3_int64 low, high; /* both included */
  struct attempt_start *attempts; /* read when first asked for */
  size_t attempt_count;
  bool attempts_read;
};

static int entries_connect(sqlite3 *database, void *context, int argc, const char *const *argv,
                           sqlite3_vtab **ret_table, char **ret_message)
{
  static const char declaration[] =
      "CREATE TABLE entries(" COLUMNS(COLUMN_FIRST, COLUMN_LATER) ")";
  int code = sqlite3_declare_vtab(database, declaration);
  if (code != SQLITE_OK)
    return code;
  struct entries_table *table = sqlite3_malloc(sizeof *table);
  if (table == NULL)
    return SQLITE_NOMEM;
  *table = (struct entries_table){.database = database, .secrets = context != NULL};
  *ret_table = &table->base;
  return SQLITE_OK;
}

static int entries_disconnect(sqlite3_vtab *table)
{
  sqlite3_free(table);
  return SQLITE_OK;
}

static int plan_of(int operator)
{
  switch (operator) {
  case SQLITE_INDEX_CONSTRAINT_GE:
    return PLAN_GE;
  case SQLITE_INDEX_CONSTRAINT_GT:
    return PLAN_GT;
  case SQLITE_INDEX_CONSTRAINT_LE:
    return PLAN_LE;
  case SQLITE_INDEX_CONSTRAINT_LT:
    return PLAN_LT;
  case SQLITE_INDEX_CONSTRAINT_EQ:
    return PLAN_EQ;
  }
  return 0;
}

/* seq is the rowid too. SQLite checks every condition itself again: the plan only has to leave out
 * nothing. */
static int entries_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
  int place[PLAN_EQ + 1], plan = 0, argument = 1;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
    int bit = constraint->usable && constraint->iColumn <= COLUMN_seq ? plan_of(constraint->op) : 0;
    plan |= bit;
    place[bit] = i;
  }
  for (int bit = PLAN_GE; bit <= PLAN_EQ; bit <<= 1)
    if ((plan & bit) != 0)
      info->aConstraintUsage[place[bit]].argvIndex = argument++;
  info->idxNum = plan;
  info->estimatedRows = (plan & PLAN_EQ) != 0 ? 1 : plan != 0 ? 10000 : 1000000;
  info->estimatedCost = (plan & PLAN_EQ) != 0 ? 1000 : (double)info->estimatedRows;
  info->orderByConsumed = info->nOrderBy == 1 && info->aOrderBy[0].iColumn <= COLUMN_seq &&
                          !info->aOrderBy[0].desc;
  return SQLITE_OK;
}

static int entries_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
  struct entries_cursor *cursor = sqlite3_malloc(sizeof *cursor);
  if (cursor == NULL)
    return SQLITE_NOMEM;
  memset(cursor, 0, sizeof *cursor);
  *ret_cursor = &cursor->base;
  return SQLITE_OK;
}

static int entries_close(sqlite3_vtab_cursor *base)
{
  struct entries_cursor *cursor = (struct entries_cursor *)base;
  sqlite3_finalize(cursor->chunks);
  sqlite3_free(cursor->bytes);
  sqlite3_free(cursor->attempts);
  sqlite3_free(cursor);
  return SQLITE_OK;
}

static int entries_failed(struct entries_cursor *cursor, int code, char *message)
{
  sqlite3_free(cursor->base.pVtab->zErrMsg);
  cursor->base.pVtab->zErrMsg = message;
  cursor->entry = NULL;
  return code;
}

static int load_chunk(struct entries_cursor *cursor)
{
  const void *blob = sqlite3_column_blob(cursor->chunks, 4);
  size_t size = (size_t)sqlite3_column_bytes(cursor->chunks, 4);
  size_t length = chunk_delta_length(blob, size);
  if (length > cursor->bytes_size) {
    sqlite3_free(cursor->bytes);
    cursor->bytes_size = 0;
    cursor->bytes = sqlite3_malloc64(length);
    if (cursor->bytes == NULL)
      return SQLITE_NOMEM;
    cursor->bytes_size = length;
  }
  if (length > 0)
    length = chunk_delta_decode(blob, size, cursor->bytes);
  cursor->walk = (struct chunk_walk){
      .chunk = {
          .first_seq = (uint64_t)sqlite3_column_int64(cursor->chunks, 0),
          .first_position = (uint64_t)sqlite3_column_int64(cursor->chunks, 1),
          .end_position = (uint64_t)sqlite3_column_int64(cursor->chunks, 2),
          .entry_count = (uint64_t)sqlite3_column_int64(cursor->chunks, 3),
          .bytes = cursor->bytes,
          .length = length,
      }};
  return SQLITE_OK;
}

static int entries_next(sqlite3_vtab_cursor *base)
{
  struct entries_cursor *cursor = (struct entries_cursor *)base;
  for (;;) {
    const char *defect;
    if (chunk_next(&cursor->walk, &cursor->entry, &cursor->seq, &defect) != 0)
      return entries_failed(cursor, SQLITE_CORRUPT_VTAB,
                            sqlite3_mprintf("entry %lld: %s", (sqlite3_int64)cursor->seq, defect));
    if (cursor->entry != NULL) {
      if ((sqlite3_int64)cursor->seq > cursor->high)
        cursor->entry = NULL;
      else if ((sqlite3_int64)cursor->seq < cursor->low)
        continue;
      return SQLITE_OK;
    }
    int code = sqlite3_step(cursor->chunks);
    if (code == SQLITE_DONE)
      return SQLITE_OK;
    code = code == SQLITE_ROW ? load_chunk(cursor) : code;
    if (code != SQLITE_OK)
      return entries_failed(cursor, code, NULL);
  }
}

/* What is not a number sets no bound; a fraction lies between its neighbours. */
static void apply_bound(struct entries_cursor *cursor, int bit, sqlite3_value *value)
{
  sqlite3_int64 low, high;
  double number = sqlite3_value_double(value);
  switch (sqlite3_value_numeric_type(value)) {
  case SQLITE_INTEGER:
    low = high = sqlite3_value_int64(value);
    low += bit == PLAN_GT && low < INT64_MAX;
    high -= bit == PLAN_LT && high > INT64_MIN;
    break;
  case SQLITE_FLOAT:
    if (number < -9e18 || number > 9e18)
      return;
    low = (sqlite3_int64)number - 1;
    high = (sqlite3_int64)number + 1;
    break;
  default:
    return;
  }
  if ((bit & (PLAN_GE | PLAN_GT | PLAN_EQ)) != 0 && low > cursor->low)
    cursor->low = low;
  if ((bit & (PLAN_LE | PLAN_LT | PLAN_EQ)) != 0 && high < cursor->high)
    cursor->high = high;
}

static int entries_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc,
                          sqlite3_value **argv)
{
  struct entries_cursor *cursor = (struct entries_cursor *)base;
  struct entries_table *table = (struct entries_table *)base->pVtab;
  cursor->low = 1;
  cursor->high = INT64_MAX;
  cursor->walk = (struct chunk_walk){0};
  int argument = 0;
  for (int bit = PLAN_GE; bit <= PLAN_EQ; bit <<= 1)
    if ((plan & bit) != 0)
      apply_bound(cursor, bit, argv[argument++]);
  if (cursor->chunks == NULL) {
    int code = sqlite3_prepare_v2(
        table->database,
        "SELECT first_seq, first_position, end_position, entry_count, bytes FROM main.chunk "
        "WHERE first_seq >= coalesce((SELECT max(first_seq) FROM main.chunk WHERE first_seq <= ?1), 0) "
        "AND first_seq <= ?2 ORDER BY first_seq",
        -1, &cursor->chunks, NULL);
    if (code != SQLITE_OK)
      return entries_failed(cursor, code,
                            sqlite3_mprintf("not a perdure store: %s", sqlite3_errmsg(table->database)));
  }
  sqlite3_reset(cursor->chunks);
  sqlite3_bind_int64(cursor->chunks, 1, cursor->low);
  sqlite3_bind_int64(cursor->chunks, 2, cursor->high);
  return entries_next(base);
}

static int entries_eof(sqlite3_vtab_cursor *base)
{
  return ((struct entries_cursor *)base)->entry == NULL;
}

static int entries_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
  *ret_rowid = (sqlite3_int64)((struct entries_cursor *)base)->seq;
  return SQLITE_OK;
}

/* The chunk is the cursor's own copy. */
static void hide_secrets(struct entries_cursor *cursor)
{
  if (!((const struct entries_table *)cursor->base.pVtab)->secrets)
    secrets_hide_entry((struct journal_entry *)cursor->entry);
}

/* "2024-05-01T12:00:00.000000001Z" */
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

static void result_args(sqlite3_context *context, const struct journal_entry *entry)
{
  char text[JOURNAL_ARG_COUNT_MAX * 24];
  size_t length = 0;
  text[0] = '\0';
  for (unsigned i = 0; i < journal_arg_count(entry); i++)
    length += (size_t)snprintf(text + length, sizeof text - length, "%s%lld", i > 0 ? ", " : "",
                               (long long)entry->args[i]);
  sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static void result_error(sqlite3_context *context, const struct journal_entry *entry)
{
  bool failed = entry->result < 0 && entry->result >= -ERRNO_MAX;
  const char *name = failed ? strerrorname_np((int)-entry->result) : NULL;
  if (name != NULL)
    sqlite3_result_text(context, name, -1, SQLITE_STATIC);
}

static void result_segment(sqlite3_context *context, const struct journal_entry *entry, unsigned type,
                           enum column column)
{
  const struct journal_segment *segment = journal_find_segment(entry, type, -1);
  if (segment == NULL)
    return;
  if (column == COLUMN_path)
    sqlite3_result_text(context, (const char *)segment->data, (int)segment->length, SQLITE_TRANSIENT);
  else if (column == COLUMN_output)
    sqlite3_result_blob(context, segment->data, (int)segment->length, SQLITE_TRANSIENT);
  else
    sqlite3_result_int64(context, segment->length);
}

static int read_attempts(struct entries_cursor *cursor)
{
  sqlite3 *database = ((struct entries_table *)cursor->base.pVtab)->database;
  sqlite3_stmt *statement;
  int code = sqlite3_prepare_v2(database,
                                "SELECT first_seq, number FROM main.attempt ORDER BY first_seq, number", -1,
                                &statement, NULL);
  if (code != SQLITE_OK)
    return code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct attempt_start *larger = sqlite3_realloc64(
        cursor->attempts, (cursor->attempt_count + 1) * sizeof *cursor->attempts);
    if (larger == NULL) {
      code = SQLITE_NOMEM;
      break;
    }
    cursor->attempts = larger;
    cursor->attempts[cursor->attempt_count++] = (struct attempt_start){
        sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1)};
  }
  sqlite3_finalize(statement);
  cursor->attempts_read = code == SQLITE_DONE;
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int result_attempt(sqlite3_context *context, struct entries_cursor *cursor)
{
  int code = cursor->attempts_read ? SQLITE_OK : read_attempts(cursor);
  if (code != SQLITE_OK)
    return code;
  size_t low = 0, high = cursor->attempt_count; /* the last one that begins at or before seq */
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (cursor->attempts[middle].first_seq <= (sqlite3_int64)cursor->seq)
      low = middle + 1;
    else
      high = middle;
  }
  if (low > 0)
    sqlite3_result_int64(context, cursor->attempts[low - 1].number);
  return SQLITE_OK;
}

static void result_call(sqlite3_context *context, const struct journal_entry *entry)
{
  const struct call_row *row = call_table_find(entry->call);
  if (row != NULL)
    sqlite3_result_text(context, row->name, -1, SQLITE_STATIC);
}

static int entries_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
  struct entries_cursor *cursor = (struct entries_cursor *)base;
  const struct journal_entry *entry = cursor->entry;
  if (column == COLUMN_path || column == COLUMN_output)
    hide_secrets(cursor);
  switch ((enum column)column) {
  case COLUMN_seq: sqlite3_result_int64(context, (sqlite3_int64)cursor->seq); break;
  case COLUMN_position: sqlite3_result_int64(context, (sqlite3_int64)entry->position); break;
  case COLUMN_stream: sqlite3_result_int64(context, entry->stream); break;
  case COLUMN_call: result_call(context, entry); break;
  case COLUMN_call_id: sqlite3_result_int(context, entry->call); break;
  case COLUMN_kind:
    sqlite3_result_text(context, journal_kind_name(entry->kind), -1, SQLITE_STATIC);
    break;
  case COLUMN_result: sqlite3_result_int64(context, entry->result); break;
  case COLUMN_error: result_error(context, entry); break;
  case COLUMN_time_ns: sqlite3_result_int64(context, (sqlite3_int64)entry->time_ns); break;
  case COLUMN_time: result_time(context, entry->time_ns); break;
  case COLUMN_path: result_segment(context, entry, SEGMENT_PATH, COLUMN_path); break;
  case COLUMN_args: result_args(context, entry); break;
  case COLUMN_output: result_segment(context, entry, SEGMENT_OUTPUT, COLUMN_output); break;
  case COLUMN_output_size: result_segment(context, entry, SEGMENT_OUTPUT, COLUMN_output_size); break;
  case COLUMN_signature: sqlite3_result_int64(context, (sqlite3_int64)entry->signature); break;
  case COLUMN_flags: sqlite3_result_int(context, entry->arg_count & 0xf0); break;
  case COLUMN_attempt: return result_attempt(context, cursor);
  }
  return SQLITE_OK;
}

/* No xCreate: eponymous, and there without CREATE VIRTUAL TABLE. No xUpdate: read only. */
static const sqlite3_module entries_module = {
    .iVersion = 1,
    .xConnect = entries_connect,
    .xBestIndex = entries_best_index,
    .xDisconnect = entries_disconnect,
    .xOpen = entries_open,
    .xClose = entries_close,
    .xFilter = entries_filter,
    .xNext = entries_next,
    .xEof = entries_eof,
    .xColumn = entries_column,
    .xRowid = entries_rowid,
};

int entries_table_register(sqlite3 *database, bool secrets)
{
  return sqlite3_create_module_v2(database, "entries", &entries_module,
                                  secrets ? (void *)&entries_module : NULL, NULL);
}

#ifndef SQLITE_CORE
/* The name that the sqlite3 shell derives from perdure_entries.so. */
__attribute__((visibility("default"))) int sqlite3_perdureentries_init(sqlite3 *database,
                                                                       char **ret_message,
                                                                       const sqlite3_api_routines *api);

int sqlite3_perdureentries_init(sqlite3 *database, char **ret_message, const sqlite3_api_routines *api)
{
  SQLITE_EXTENSION_INIT2(api);
  int code = entries_table_register(database, false);
  return code == SQLITE_OK ? exchanges_table_register(database, false) : code;
}
#endif
