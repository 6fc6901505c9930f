/* SPDX-License-Identifier: Apache-2.0 */
/* usage: test_entries_table PERDURE_ENTRIES.SO */
#include "journal/tail.h"
#include "supervisor/entries_table.h"
#include "supervisor/store.h"

#include "tests/unit/packed_entries.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <errno.h>

static struct failure failure;

/* All rows of a query in one text: columns apart by '|', rows by ' '. */
static const char *ask(sqlite3 *database, const char *sql)
{
  static char text[4096];
  sqlite3_stmt *statement;
  size_t length = 0;
  text[0] = '\0';
  int code = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    code = sqlite3_step(statement);
    for (int i = 0; code == SQLITE_ROW && i < sqlite3_column_count(statement); i++) {
      const char *value = (const char *)sqlite3_column_text(statement, i);
      length += (size_t)snprintf(text + length, sizeof text - length, "%s%s",
                                 i > 0 ? "|" : length > 0 ? " " : "", value != NULL ? value : "NULL");
      assert(length < sizeof text);
    }
  }
  if (code != SQLITE_DONE)
    snprintf(text, sizeof text, "%s", sqlite3_errmsg(database));
  sqlite3_finalize(statement);
  return text;
}

static void answers(sqlite3 *database, const char *sql, const char *expected, const char *promise)
{
  const char *text = ask(database, sql);
  if (!tap_ok(strcmp(text, expected) == 0, "%s", promise))
    tap_note("%s: expected %s, got %s", sql, expected, text);
}

/* 3 chunks of 10 entries; two attempts, the second from seq 15 on. */
static struct store *create_store(const char *path)
{
  static struct packed_entries packed;
  struct store *store;
  int error = store_create(path, TAIL_SYNC_NONE, &store, &failure);
  assert(error == 0);
  for (int chunk = 0; chunk < 3; chunk++) {
    packed_clear(&packed);
    uint64_t first = packed.position;
    for (int i = 0; i < 10; i++) {
      if (i == 3)
        packed_add(&packed, 7, 257, JOURNAL_INTENT, 0, SEGMENT_PATH, "/tmp/a b", 8);
      else if (i == 4)
        packed_add(&packed, 7, 257, JOURNAL_RESULT, -ENOENT, 0, NULL, 0);
      else
        packed_add(&packed, 1, 0, JOURNAL_COMPLETE, 5, SEGMENT_OUTPUT, "he\0lo", 5);
    }
    error = store_begin(store, &failure);
    if (error == 0)
      error = store_append(store, packed.bytes, packed.length, 10, first, packed.position, &failure);
    if (error == 0)
      error = store_commit(store, &failure);
    assert(error == 0);
  }
  store_attempt_begin(store, 1, 1, &failure);
  store_attempt_begin(store, 2, 15, &failure);
  return store;
}

static void test_rows(sqlite3 *database)
{
  answers(database, "SELECT count(*), min(seq), max(seq) FROM entries", "30|1|30",
          "every entry of the store is a row");
  answers(database, "SELECT seq, stream, call, call_id, kind, result, error, path, args, output_size "
                    "FROM entries WHERE seq IN (1, 4, 5)",
          "1|1|read|0|complete|5|NULL|NULL|0, -100|5 4|7|openat|257|intent|0|NULL|/tmp/a b|3, -100|NULL "
          "5|7|openat|257|result|-2|ENOENT|NULL|4, -100|NULL",
          "a row says what its entry says");
  answers(database, "SELECT hex(output), time_ns, time, signature, flags, position FROM entries WHERE seq = 2",
          "6865006C6F|1700000000000000001|2023-11-14T22:13:20.000000001Z|561|0|80",
          "output is bytes, time is UTC to the nanosecond");
  answers(database, "SELECT seq, attempt FROM entries WHERE seq IN (1, 14, 15, 30)", "1|1 14|1 15|2 30|2",
          "a row knows the attempt that it belongs to");
  answers(database, "SELECT rowid FROM entries WHERE rowid = 17", "17", "the rowid is the seq");
}

static void test_bounds(sqlite3 *database)
{
  answers(database, "SELECT group_concat(seq) FROM entries WHERE seq > 8 AND seq < 12", "9,10,11",
          "bounds leave out their ends");
  answers(database, "SELECT group_concat(seq) FROM entries WHERE seq >= 8 AND seq <= 12", "8,9,10,11,12",
          "bounds take in their ends");
  answers(database, "SELECT group_concat(seq) FROM entries WHERE seq > 5 AND seq > 27 AND seq < 99",
          "28,29,30", "several bounds all hold");
  answers(database, "SELECT group_concat(seq) FROM entries WHERE seq BETWEEN 10.5 AND 12.5", "11,12",
          "bounds may be fractions");
  answers(database, "SELECT count(*) FROM entries WHERE seq = 0 OR seq = 31 OR seq = -1", "0",
          "what is not there is not there");
  answers(database, "SELECT count(*) FROM entries WHERE seq > NULL OR seq = 'x' OR seq = 1e300", "0",
          "bounds that are no numbers are harmless");
  answers(database, "SELECT count(*) FROM entries WHERE seq < 'x'", "30", "text is above all numbers");
  answers(database, "SELECT group_concat(seq) FROM (SELECT seq FROM entries WHERE seq < 4 ORDER BY seq DESC)",
          "3,2,1", "rows can be ordered backwards");
  answers(database, "SELECT count(*) FROM entries AS intent JOIN entries AS outcome ON outcome.seq = "
                    "intent.seq + 1 WHERE intent.kind = 'intent' AND outcome.kind = 'result'",
          "3", "the table can be joined with itself by seq");
  const char *plan = ask(database, "EXPLAIN QUERY PLAN SELECT * FROM entries WHERE seq > 3 ORDER BY seq");
  tap_ok(strstr(plan, "TEMP B-TREE") == NULL, "rows in the order of seq are not sorted again");
}

static void test_read_only(sqlite3 *database)
{
  answers(database, "DELETE FROM entries", "table entries may not be modified", "entries cannot be deleted");
  answers(database, "INSERT INTO entries(seq) VALUES(99)", "table entries may not be modified",
          "entries cannot be added");
}

static void test_damage(struct store *store)
{
  sqlite3 *database = store_database(store);
  ask(database, "UPDATE chunk SET bytes = substr(bytes, 1, 100) || x'ff' || substr(bytes, 102) "
                "WHERE first_seq = 11");
  answers(database, "SELECT count(*) FROM entries", "entry 12: its checksum or its form is wrong",
          "a damaged entry ends the query with its number");
  answers(database, "SELECT count(*) FROM entries WHERE seq > 20", "10", "the chunks beside it can be read");
}

/* Run by the sqlite3 shell, as a person would. */
static void test_extension(const char *extension, const char *store_path)
{
  char command[2048], line[256] = "";
  snprintf(command, sizeof command,
           "sqlite3 -readonly '%s' '.load %.*s' \"SELECT count(*), sum(call = 'openat') FROM entries\" 2>&1",
           store_path, (int)(strlen(extension) - 3), extension);
  FILE *shell = popen(command, "re");
  bool read = shell != NULL && fgets(line, sizeof line, shell) != NULL;
  if (shell != NULL)
    pclose(shell);
  if (!tap_ok(read && strcmp(line, "30|6\n") == 0, "the sqlite3 shell loads the table and sees every entry"))
    tap_note("%s", line);
}

static void test_other_database(void)
{
  sqlite3 *database;
  sqlite3_open(":memory:", &database);
  entries_table_register(database, false);
  tap_ok(strstr(ask(database, "SELECT * FROM entries"), "not a perdure store") != NULL,
         "another database says that it is no store");
  sqlite3_close(database);
}

int main(int argc, char **argv)
{
  if (argc != 2)
    return 2;
  scratch_create();
  struct store *store = create_store(scratch_path("store"));
  test_rows(store_database(store));
  test_bounds(store_database(store));
  test_read_only(store_database(store));
  test_extension(argv[1], scratch_path("store"));
  test_damage(store);
  store_close(store);
  test_other_database();
  scratch_remove();
  return tap_done();
}
