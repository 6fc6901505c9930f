/* SPDX-License-Identifier: Apache-2.0 */
/* What a run is, for a person. Writes nothing. */
#include "supervisor/run_info.h"

#include "supervisor/run_attempt.h"
#include "supervisor/run_read.h"
#include "supervisor/secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool needs_quotes(const char *word)
{
  return word[0] == '\0' || strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                         "_-+=./:,@%^") != strlen(word);
}

static void print_word(FILE *stream, const char *word)
{
  if (!needs_quotes(word)) {
    fputs(word, stream);
    return;
  }
  fputc('\'', stream);
  for (; *word != '\0'; word++)
    if (*word == '\'')
      fputs("'\\''", stream);
    else
      fputc(*word, stream);
  fputc('\'', stream);
}

static char *quoted(char *const *argv)
{
  char *text = NULL;
  size_t size;
  FILE *stream = open_memstream(&text, &size);

  if (stream == NULL)
    return NULL;
  for (size_t i = 0; argv[i] != NULL; i++) {
    fputs(i > 0 ? " " : "", stream);
    print_word(stream, argv[i]);
  }
  if (fclose(stream) != 0) {
    free(text);
    return NULL;
  }
  return text;
}

char *run_info_quote_words(const char *words, size_t length)
{
  size_t count = 0;
  char *copy = malloc(length + 1), **argv = malloc((length + 2) * sizeof *argv), *text = NULL;

  if (copy != NULL && argv != NULL) {
    memcpy(copy, words, length);
    copy[length] = '\0';
    for (size_t at = 0; at < length; at += strlen(copy + at) + 1)
      argv[count++] = copy + at;
    argv[count] = NULL;
    text = quoted(argv);
  }
  free(copy);
  free(argv);
  return text;
}

static int count_attempts(struct store *store, uint64_t *ret_count, struct failure *failure)
{
  sqlite3_stmt *statement;
  int error = -EIO;

  if (sqlite3_prepare_v2(store_database(store), "SELECT count(*) FROM attempt", -1, &statement, NULL) !=
      SQLITE_OK)
    return failure_set(failure, error, "cannot read the store: %s; run `perdure verify`",
                       sqlite3_errmsg(store_database(store)));
  if (sqlite3_step(statement) == SQLITE_ROW) {
    *ret_count = (uint64_t)sqlite3_column_int64(statement, 0);
    error = 0;
  } else {
    failure_set(failure, error, "cannot read the store: %s; run `perdure verify`",
                sqlite3_errmsg(store_database(store)));
  }
  sqlite3_finalize(statement);
  return error;
}

int run_info_of_store(struct store *store, bool secrets, struct run_info *info, struct failure *failure)
{
  int64_t status = 0, sync = 0;
  char **argv;
  int error = run_get_state(store, &info->state, failure);

  if (error == 0)
    error = store_meta_number(store, "created_ns", &info->created_ns, failure);
  if (error == 0)
    error = store_meta_number(store, "sync", &sync, failure);
  if (error == 0 && info->state == RUN_STATE_FINISHED)
    error = store_meta_number(store, "exit_status", &status, failure);
  if (error == 0)
    error = store_meta_text(store, "cwd", &info->cwd, failure);
  if (error == 0)
    error = count_attempts(store, &info->attempt_count, failure);
  if (error == 0)
    error = store_strings(store, "argument", &argv, failure);
  if (error < 0)
    return error;
  for (size_t i = 0; !secrets && argv[i] != NULL; i++)
    secrets_hide(argv[i], strlen(argv[i]));
  info->command = quoted(argv);
  free(argv);
  info->exit_status = (int)status;
  info->sync = (unsigned)sync;
  return info->command == NULL ? failure_set(failure, -ENOMEM, "out of memory; free some") : 0;
}

int run_info_read(const struct run_place *place, bool secrets, struct run_info *ret_info,
                  struct failure *failure)
{
  struct run_info info = {0};
  struct store *store;
  char path[PATH_MAX];
  uint64_t position;
  int error;

  run_place_path(place, "run.db", path);
  /* The owner first: a run that ends in between is then live and finished, which is shown as it is. */
  info.supervisor_pid = run_lock_owner(place);
  info.live = info.supervisor_pid != 0;
  error = store_open(path, true, &store, failure);
  if (error < 0) {
    run_advise_for(failure, error);
    return error;
  }
  error = run_info_of_store(store, secrets, &info, failure);
  if (error == 0)
    error = store_end(store, &position, &info.entry_count, failure);
  store_close(store);
  if (error < 0) {
    run_info_release(&info);
    run_advise_for(failure, error);
    return error;
  }
  if (info.state == RUN_STATE_RUNNING && !info.live)
    info.state = RUN_STATE_UNFINISHED;
  *ret_info = info;
  return 0;
}

void run_info_release(struct run_info *info)
{
  free(info->command);
  free(info->cwd);
  free(info->store);
  free(info->owner);
  info->command = info->cwd = info->store = info->owner = NULL;
}
