/* SPDX-License-Identifier: Apache-2.0 */
/* perdure http: a run's exchanges with servers, of a live run too. */
#include "cli/command.h"
#include "cli/exchange_text.h"

#include <errno.h>

static int collect(struct run_reader *reader, struct exchanges *exchanges, struct failure *failure)
{
  const struct journal_entry *entry;
  uint64_t seq;
  size_t index;
  int error;

  while ((error = run_reader_next(reader, &entry, &seq, failure)) == 0 && entry != NULL)
    if (exchanges_add(exchanges, entry, seq, &index) < 0)
      return failure_set(failure, -ENOMEM, "out of memory; free some");
  return error;
}

int cmd_http(const struct command_line *line)
{
  struct exchanges exchanges = {0};
  struct run_rewound rewound = {0};
  struct run_reader *reader;
  struct run_place place;
  struct failure failure;
  int error;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      command_reader(line, &place, 1, &reader, &failure) < 0)
    return command_fail("%s", failure.text);
  error = collect(reader, &exchanges, &failure);
  if (error == 0)
    error = run_rewound_load(run_reader_store(reader), &rewound, &failure);
  run_reader_close(reader);
  if (error == 0 && line->given[OPTION_JSON])
    exchange_text_array(stdout, &exchanges, &rewound);
  else if (error == 0)
    exchange_text_table(stdout, &exchanges, &rewound);
  run_rewound_release(&rewound);
  exchanges_release(&exchanges);
  return error < 0 ? command_fail("%s", failure.text) : command_finish_output(0);
}
