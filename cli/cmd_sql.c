/* SPDX-License-Identifier: Apache-2.0 */
/* perdure sql: asks a run's store, read-only. */
#include "cli/command.h"
#include "supervisor/entries_table.h"
#include "supervisor/secrets.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct printing {
  bool json, header, secrets;
};

/* A text or blob as it may be seen; malloc'ed, NULL when out of memory. */
static char *text_of(sqlite3_stmt *statement, int column, bool secrets, size_t *ret_length)
{
  const void *bytes = sqlite3_column_blob(statement, column);
  size_t length = (size_t)sqlite3_column_bytes(statement, column);
  char *copy = malloc(length + 1);

  if (copy == NULL)
    return NULL;
  if (length > 0)
    memcpy(copy, bytes, length);
  if (!secrets)
    secrets_hide(copy, length);
  *ret_length = length;
  return copy;
}

static void print_text(sqlite3_stmt *statement, int column, const struct printing *printing)
{
  size_t length;
  char *text = text_of(statement, column, printing->secrets, &length);

  if (text == NULL)
    return;
  if (printing->json)
    command_json_string(stdout, text, length);
  else
    fwrite(text, 1, length, stdout);
  free(text);
}

static void print_json_value(sqlite3_stmt *statement, int column, const struct printing *printing)
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
    print_text(statement, column, printing);
  }
}

static void print_header(sqlite3_stmt *statement)
{
  for (int i = 0; i < sqlite3_column_count(statement); i++)
    printf("%s%s", i > 0 ? "|" : "", sqlite3_column_name(statement, i));
  putchar('\n');
}

static void print_row(sqlite3_stmt *statement, const struct printing *printing, bool first)
{
  bool json = printing->json;

  if (json)
    fputs(first ? "[{" : ",\n{", stdout);
  for (int i = 0; i < sqlite3_column_count(statement); i++) {
    if (json) {
      const char *name = sqlite3_column_name(statement, i);

      fputs(i > 0 ? "," : "", stdout);
      command_json_string(stdout, name, strlen(name));
      putchar(':');
      print_json_value(statement, i, printing);
    } else {
      fputs(i > 0 ? "|" : "", stdout);
      if (sqlite3_column_type(statement, i) != SQLITE_NULL)
        print_text(statement, i, printing);
    }
  }
  fputs(json ? "}" : "\n", stdout);
}

/* Runs one statement; returns SQLite's code. */
static int print_statement(sqlite3_stmt *statement, const struct printing *printing)
{
  bool first = true;
  int code;

  if (printing->header && !printing->json)
    print_header(statement);
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    print_row(statement, printing, first);
    first = false;
  }
  if (printing->json)
    puts(first ? "[]" : "]");
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int ask(sqlite3 *database, const char *query, const struct printing *printing)
{
  int code = SQLITE_OK;

  while (code == SQLITE_OK && query[0] != '\0') {
    sqlite3_stmt *statement = NULL;

    code = sqlite3_prepare_v2(database, query, -1, &statement, &query);
    if (code == SQLITE_OK && statement != NULL)
      code = print_statement(statement, printing);
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
  const struct printing printing = {
    line->given[OPTION_JSON], line->given[OPTION_HEADER], line->given[OPTION_SECRETS],
  };
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
  if (printing.secrets) {
    entries_table_register(store_database(store), true);
    exchanges_table_register(store_database(store), true);
  }
  status = ask(store_database(store), line->operands[1], &printing);
  store_close(store);
  return status;
}
