/* SPDX-License-Identifier: Apache-2.0 */
/* perdure sql: asks a run's store, read-only. */
#include "cli/command.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void print_text_value(sqlite3_stmt *statement, int column)
{
  if (sqlite3_column_type(statement, column) == SQLITE_NULL)
    return;
  fwrite(sqlite3_column_blob(statement, column), 1, (size_t)sqlite3_column_bytes(statement, column),
         stdout);
}

static void print_json_value(sqlite3_stmt *statement, int column)
{
  switch (sqlite3_column_type(statement, column)) {
  case SQLITE_NULL:
    fputs("null", stdout);
    break;
  case SQLITE_INTEGER:
    printf("%" PRId64, (int64_t)sqlite3_column_int64(statement, column));
    break;
  case SQLITE_FLOAT:
    if (isfinite(sqlite3_column_double(statement, column)))
      printf("%.17g", sqlite3_column_double(statement, column));
    else
      fputs("null", stdout);
    break;
  default:
    command_json_string(stdout, sqlite3_column_blob(statement, column),
                        (size_t)sqlite3_column_bytes(statement, column));
  }
}

static void print_header(sqlite3_stmt *statement)
{
  for (int i = 0; i < sqlite3_column_count(statement); i++)
    printf("%s%s", i > 0 ? "|" : "", sqlite3_column_name(statement, i));
  putchar('\n');
}

static void print_row(sqlite3_stmt *statement, bool json, bool first)
{
  if (json)
    fputs(first ? "[{" : ",\n{", stdout);
  for (int i = 0; i < sqlite3_column_count(statement); i++) {
    if (json) {
      const char *name = sqlite3_column_name(statement, i);

      fputs(i > 0 ? "," : "", stdout);
      command_json_string(stdout, name, strlen(name));
      putchar(':');
      print_json_value(statement, i);
    } else {
      fputs(i > 0 ? "|" : "", stdout);
      print_text_value(statement, i);
    }
  }
  fputs(json ? "}" : "\n", stdout);
}

/* Runs one statement; returns SQLite's code. */
static int print_statement(sqlite3_stmt *statement, bool json, bool header)
{
  bool first = true;
  int code;

  if (header && !json)
    print_header(statement);
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    print_row(statement, json, first);
    first = false;
  }
  if (json)
    puts(first ? "[]" : "]");
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int ask(sqlite3 *database, const char *query, bool json, bool header)
{
  int code = SQLITE_OK;

  while (code == SQLITE_OK && query[0] != '\0') {
    sqlite3_stmt *statement = NULL;

    code = sqlite3_prepare_v2(database, query, -1, &statement, &query);
    if (code == SQLITE_OK && statement != NULL)
      code = print_statement(statement, json, header);
    sqlite3_finalize(statement);
  }
  if (code == SQLITE_OK)
    return command_finish_output(0);
  fflush(stdout);
  return command_fail("the query failed: %s; `select sql from sqlite_schema` shows the tables",
                      sqlite3_errmsg(database));
}

int cmd_sql(const struct command_line *line)
{
  struct run_place place;
  struct failure failure;
  struct store *store;
  char path[PATH_MAX];
  int status, error;

  if (!command_line_operands(line, 2, 2))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0)
    return command_fail("%s", failure.text);
  run_place_path(&place, "run.db", path);
  error = store_open(path, true, &store, &failure);
  if (error < 0) {
    run_advise_for(&failure, error);
    return command_fail("%s", failure.text);
  }
  status = ask(store_database(store), line->operands[1], line->given[OPTION_JSON],
               line->given[OPTION_HEADER]);
  store_close(store);
  return status;
}
