/* SPDX-License-Identifier: Apache-2.0 */
/* perdure log: the journal as lines, of a live run too. */
#include "cli/command.h"
#include "supervisor/format_entry.h"

#include <stdlib.h>

struct log_filter {
  bool json;
  bool one_stream;
  uint32_t stream;
  struct run_rewound rewound;
};

static int print_all(struct run_reader *reader, const struct log_filter *filter, struct failure *failure)
{
  static char line[FORMAT_ENTRY_SIZE_MAX];
  const struct journal_entry *entry;
  uint64_t seq;
  int error;

  while ((error = run_reader_next(reader, &entry, &seq, failure)) == 0 && entry != NULL) {
    if (filter->one_stream && entry->stream != filter->stream)
      continue;
    if (filter->json)
      format_entry_json(entry, seq, line, sizeof line);
    else
      format_entry(entry, seq, line, sizeof line);
    bool taken_back = !filter->json && run_rewound_has(&filter->rewound, entry->position);
    if (fputs(line, stdout) < 0 || puts(taken_back ? "  [taken back]" : "") < 0)
      return 0; /* command_finish_output() says it */
  }
  return error;
}

static int follow(struct run_reader *reader, const struct run_place *place,
                  const struct log_filter *filter, struct failure *failure)
{
  struct run_watch watch;
  bool live = true;
  int error = run_watch_open(place, &watch, failure);

  if (error < 0)
    return error;
  while (error == 0 && live && !ferror(stdout)) {
    error = print_all(reader, filter, failure);
    fflush(stdout);
    if (error == 0)
      error = run_watch_wait(&watch, &live, failure);
  }
  run_watch_close(&watch);
  return error < 0 ? error : print_all(reader, filter, failure);
}

static bool parse_filter(const struct command_line *line, struct log_filter *ret_filter)
{
  const char *stream = line->value[OPTION_STREAM];
  char *end = NULL;

  *ret_filter = (struct log_filter){.json = line->given[OPTION_JSON], .one_stream = stream != NULL};
  if (stream == NULL)
    return true;
  ret_filter->stream = (uint32_t)strtoul(stream, &end, 10);
  if (*stream != '\0' && *end == '\0')
    return true;
  command_fail("--stream %.60s: it is no number; give one of those in brackets in `perdure log`", stream);
  return false;
}

int cmd_log(const struct command_line *line)
{
  struct run_reader *reader;
  struct log_filter filter;
  struct run_place place;
  struct failure failure;
  int error;

  if (!command_line_operands(line, 1, 1) || !parse_filter(line, &filter))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      command_reader(line, &place, 1, &reader, &failure) < 0)
    return command_fail("%s", failure.text);
  if (line->given[OPTION_TREE]) {
    int status = command_print_tree(line, &place, reader);
    run_reader_close(reader);
    return status;
  }
  if (run_rewound_load(run_reader_store(reader), &filter.rewound, &failure) < 0) {
    run_reader_close(reader);
    return command_fail("%s", failure.text);
  }
  error = line->given[OPTION_FOLLOW] ? follow(reader, &place, &filter, &failure)
                                     : print_all(reader, &filter, &failure);
  run_rewound_release(&filter.rewound);
  run_reader_close(reader);
  fflush(stdout);
  return error < 0 ? command_fail("%s", failure.text) : command_finish_output(0);
}
