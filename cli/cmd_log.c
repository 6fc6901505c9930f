/* SPDX-License-Identifier: Apache-2.0 */
/* perdure log: the journal as lines, of a live run too. */
#include "cli/command.h"
#include "cli/log_lines.h"
#include "cli/run_copy.h"
#include "supervisor/run_lock.h"

#include <stdlib.h>

static int follow(struct log_lines *lines, const struct run_place *place, struct failure *failure)
{
  struct run_watch watch;
  bool live = true;
  int error = run_watch_open(place, &watch, failure);

  if (error < 0)
    return error;
  while (error == 0 && live && !ferror(stdout)) {
    error = log_lines_print(lines, failure);
    fflush(stdout);
    if (error == 0)
      error = run_watch_wait(&watch, &live, failure);
  }
  run_watch_close(&watch);
  return error < 0 ? error : log_lines_print(lines, failure);
}

static bool parse_filter(const struct command_line *line, struct log_lines *ret_lines)
{
  const char *stream = line->value[OPTION_STREAM];
  char *end = NULL;

  *ret_lines = (struct log_lines){.json = line->given[OPTION_JSON], .one_stream = stream != NULL};
  if (stream == NULL)
    return true;
  ret_lines->stream = (uint32_t)strtoul(stream, &end, 10);
  if (*stream != '\0' && *end == '\0')
    return true;
  command_fail("--stream %.60s: it is no number; give one of those in brackets in `perdure log`", stream);
  return false;
}

int cmd_log(const struct command_line *line)
{
  struct run_reader *reader;
  struct log_lines lines;
  struct run_place place;
  struct failure failure;
  int error;

  if (!command_line_operands(line, 1, 1) || !parse_filter(line, &lines))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      command_reader(line, &place, 1, &reader, &failure) < 0)
    return command_fail("%s", failure.text);
  if (line->given[OPTION_FOLLOW] && run_copy_is(&place)) {
    run_reader_close(reader);
    return command_fail("log --follow: run %s is read from elsewhere, as it is there now; follow it on the machine that runs it", place.id);
  }
  if (line->given[OPTION_TREE]) {
    int status = command_print_tree(line, &place, reader);
    run_reader_close(reader);
    return status;
  }
  error = log_lines_open(&lines, reader, &failure);
  if (error == 0) {
    error = line->given[OPTION_FOLLOW] ? follow(&lines, &place, &failure) : log_lines_print(&lines, &failure);
    if (error == 0)
      error = log_lines_finish(&lines, run_lock_owner(&place) != 0, &failure);
    log_lines_close(&lines);
  }
  run_reader_close(reader);
  fflush(stdout);
  return error < 0 ? command_fail("%s", failure.text) : command_finish_output(0);
}
