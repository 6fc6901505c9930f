/* SPDX-License-Identifier: Apache-2.0 */
/* Why the shim stopped the program, in one line for a person. Writes nothing. */
#include "supervisor/run_attempt.h"

#include "journal/call_table.h"
#include "supervisor/format_entry.h"
#include "supervisor/secrets.h"
#include "supervisor/text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The chunk that holds `position`; its first entry's seq. */
static int find_chunk(struct store *store, uint64_t position, uint64_t *ret_seq)
{
  sqlite3_stmt *statement;
  int error = -ENOENT;

  if (sqlite3_prepare_v2(store_database(store),
                         "SELECT first_seq FROM chunk WHERE first_position <= ?1 "
                         "ORDER BY first_seq DESC LIMIT 1", -1, &statement, NULL) != SQLITE_OK)
    return -EIO;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)position);
  if (sqlite3_step(statement) == SQLITE_ROW) {
    *ret_seq = (uint64_t)sqlite3_column_int64(statement, 0);
    error = 0;
  }
  sqlite3_finalize(statement);
  return error;
}

/* The line of `perdure log` without time, number and stream. */
static void print_entry(const struct journal_entry *entry, uint64_t seq, char *ret_line, size_t size)
{
  static char line[FORMAT_ENTRY_SIZE_MAX];
  const char *call;

  format_entry(entry, seq, line, sizeof line);
  call = strstr(line, "] ");
  snprintf(ret_line, size, "%s", call != NULL ? call + 2 : line);
}

int run_report_find(struct store *store, uint64_t position, struct journal_entry **ret_entry, uint64_t *ret_seq)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  struct failure ignored;
  uint64_t seq;
  int error = find_chunk(store, position, &seq);

  if (error == 0)
    error = store_cursor_open(store, seq, &cursor, &ignored);
  if (error < 0)
    return error;
  while ((error = store_cursor_next(cursor, &entry, &seq, &ignored)) == 0 && entry != NULL)
    if (entry->position == position)
      break;
  struct journal_entry *copy = error == 0 && entry != NULL ? malloc(entry->size) : NULL;
  if (error == 0 && copy == NULL)
    error = entry == NULL ? -ENOENT : -ENOMEM;
  if (error == 0) {
    memcpy(copy, entry, entry->size);
    secrets_hide_entry(copy);
    *ret_entry = copy;
    *ret_seq = seq;
  }
  store_cursor_close(cursor);
  return error;
}

int run_report_entry(struct store *store, uint64_t position, uint64_t *ret_seq, char *ret_line,
                     size_t size)
{
  struct journal_entry *entry;
  int error = run_report_find(store, position, &entry, ret_seq);

  if (error == 0) {
    print_entry(entry, *ret_seq, ret_line, size);
    free(entry);
  }
  return error;
}

/* As log prints the bytes that an entry has. */
static void print_bytes(FILE *stream, const struct tail_report *report, uint32_t length)
{
  char quoted[TAIL_REPORT_BYTES_MAX * 4 + 8];
  struct text text;

  text_begin(&text, quoted, sizeof quoted);
  text_add_quoted(&text, report->bytes, length);
  fputs(quoted, stream);
}

static void print_argument(FILE *stream, const struct tail_report *report, const struct call_row *row,
                           unsigned arg, const char *path)
{
  unsigned kind = row != NULL && arg < row->arg_count ? CALL_ARG_KIND(row->args[arg]) : ARG_VAL;
  uint64_t value = report->args[arg];
  uint32_t length = report->bytes_length;

  if (kind == ARG_PATH && path[0] != '\0')
    fprintf(stream, "\"%s\"", path);
  else if (kind == ARG_IN_ARG && arg == report->bytes_arg && length > 0 && length <= sizeof report->bytes)
    print_bytes(stream, report, length);
  else if (kind == ARG_DIRFD && (int)value == -100)
    fputs("AT_FDCWD", stream);
  else if (kind == ARG_FD || kind == ARG_PID || kind == ARG_DIRFD)
    fprintf(stream, "%d", (int)value);
  else if (kind == ARG_VAL && value < 65536)
    fprintf(stream, "%" PRIu64, value);
  else
    fprintf(stream, "0x%" PRIx64, value);
}

/* What the program called instead, like strace. */
static void print_call(FILE *stream, const struct tail_report *report)
{
  const struct call_row *row = call_table_find(report->call);
  unsigned count = report->arg_count < 6 ? report->arg_count : 6;
  char path[sizeof report->path];

  /* The program's memory lies behind these; it may have ended in the middle of writing them. */
  memcpy(path, report->path, sizeof path);
  path[sizeof path - 1] = '\0';
  for (char *c = path; *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f)
      *c = '?';
  if (row != NULL)
    fprintf(stream, "%s(", row->name);
  else
    fprintf(stream, "call %u(", report->call);
  for (unsigned i = 0; i < count; i++) {
    fputs(i > 0 ? ", " : "", stream);
    print_argument(stream, report, row, i, path);
  }
  fputc(')', stream);
}

static void say_diverged(const struct run_attempt *attempt, const struct tail_report *report)
{
  const char *id = attempt->place.id;
  const char *why = attempt->tail.header->image_changed
                      ? "the program or a library is not the one that the run began with: put it back"
                      : "was something that the program depends on changed?";
  char came[1536] = "", recorded[1024];
  FILE *stream = fmemopen(came, sizeof came, "w");
  uint64_t seq;

  if (stream != NULL) {
    print_call(stream, report);
    fclose(stream);
  }
  if (report->position == UINT64_MAX ||
      run_report_entry(attempt->store, report->position, &seq, recorded, sizeof recorded) < 0)
    run_say(attempt, SAY_ERROR, "run %s diverged: the journal has no more calls of stream %u, and the "
            "program called %s; nothing was changed; %s; `perdure log %s` shows what is recorded, `perdure "
            "rm %s` gives the run up", id, report->stream, came, why, id, id);
  else
    run_say(attempt, SAY_ERROR, "run %s diverged at entry %" PRIu64 ": recorded is %s, and the program "
            "called %s; nothing was changed; %s; `perdure show %s %" PRIu64 "` shows the entry, `perdure "
            "rm %s` gives the run up", id, seq, recorded, came, why, id, seq, id);
}

static void say_unknown(const struct run_attempt *attempt, const struct tail_report *report)
{
  char line[1024];
  uint64_t seq;

  if (run_report_entry(attempt->store, report->position, &seq, line, sizeof line) < 0)
    run_say(attempt, SAY_ERROR, "run %s: nobody can tell whether a remote change happened; look at the "
            "other side, then `perdure log %s`", attempt->place.id, attempt->place.id);
  else
    run_say(attempt, SAY_ERROR, "run %s: nobody can tell what came of entry %" PRIu64 ", which had not been "
            "answered when the connection broke: %s; look at the other side, then `perdure show %s %" PRIu64 "`", attempt->place.id, seq, line,
            attempt->place.id, seq);
}

/* What the shim could not do, why, and what helps. */
static void say_failed(const struct run_attempt *attempt, const char *what, const struct tail_report *report)
{
  uint64_t number = report->args[0];
  bool known = number > 0 && number < 4096;
  struct failure failure;
  char text[sizeof report->text];

  memcpy(text, report->text, sizeof text);
  text[sizeof text - 1] = '\0';
  failure_set(&failure, 0, "run %s cannot go on: %s%s%s%s", attempt->place.id, what, text, known ? ": " : "",
              known ? strerror((int)number) : "");
  if (atomic_load(&report->code) == TAIL_REPORT_INPUT)
    run_advise(&failure, "put it back, and run the same command again");
  else if (known)
    run_advise_for(&failure, -(int)number);
  run_say(attempt, SAY_ERROR, "%s", failure.text);
}

int run_report_say(const struct run_attempt *attempt, const struct tail_report *report)
{
  switch ((enum tail_report_code)atomic_load(&report->code)) {
  case TAIL_REPORT_NONE:
    break;
  case TAIL_REPORT_DIVERGED:
    say_diverged(attempt, report);
    return RUN_EXIT_DIVERGED;
  case TAIL_REPORT_UNKNOWN:
    say_unknown(attempt, report);
    return RUN_EXIT_UNKNOWN;
  case TAIL_REPORT_FAILED:
    say_failed(attempt, "", report);
    return RUN_EXIT_FAILED;
  case TAIL_REPORT_INPUT:
    say_failed(attempt, "its input is not what it was: ", report);
    return RUN_EXIT_FAILED;
  }
  assert(!"a report");
  return RUN_EXIT_FAILED;
}
