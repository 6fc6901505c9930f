/* SPDX-License-Identifier: Apache-2.0 */
/* perdure resolve: a person says what became of a remote change that nobody could tell about. */
#include "cli/command.h"
#include "journal/entry.h"
#include "supervisor/run_resolve.h"

#include <stdlib.h>

static bool take_status(const struct command_line *line, unsigned *ret_status)
{
  const char *text = line->value[OPTION_STATUS];
  char *end = NULL;

  if (text == NULL)
    return true;
  unsigned long status = strtoul(text, &end, 10);
  if (*text == '\0' || *end != '\0' || status < 100 || status > 599) {
    command_fail("--status %.60s: it is no status of HTTP; give one from 100 to 599", text);
    return false;
  }
  *ret_status = (unsigned)status;
  return true;
}

static bool take_options(const struct command_line *line, struct run_resolution *ret_resolution)
{
  bool retry = line->given[OPTION_RETRY_IT], response = line->given[OPTION_RESPONSE];
  bool failed = line->given[OPTION_FAILED];
  char *end;

  if (retry + response + failed != 1 || (line->given[OPTION_STATUS] && !response)) {
    command_fail("resolve: %s; usage: perdure resolve %s", retry + response + failed != 1
                 ? "one of --retry, --response and --failed has to be given" : "--status goes with --response",
                 line->command->usage);
    return false;
  }
  ret_resolution->seq = strtoull(line->operands[1], &end, 10);
  if (ret_resolution->seq == 0 || *end != '\0' || line->operands[1][0] == '-') {
    command_fail("'%.60s' is no entry's number: they count from 1; `perdure http %.127s` prints those of requests",
                 line->operands[1], line->operands[0]);
    return false;
  }
  ret_resolution->kind = retry ? JOURNAL_RESOLUTION_RETRY : response ? JOURNAL_RESOLUTION_RESPONSE
                                                                     : JOURNAL_RESOLUTION_FAILED;
  ret_resolution->response = line->value[OPTION_RESPONSE];
  ret_resolution->failed = line->value[OPTION_FAILED];
  return take_status(line, &ret_resolution->status);
}

int cmd_resolve(const struct command_line *line)
{
  struct run_resolution resolution = {0};
  struct run_place place;
  struct failure failure;
  unsigned left;

  if (!command_line_operands(line, 2, 2) || !take_options(line, &resolution))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      run_resolve(&place, &resolution, &left, &failure) < 0)
    return command_fail("%s", failure.text);
  if (left > 0)
    printf("%s: %u more to resolve; `perdure resume %s` names %s\n", place.id, left, place.id,
           left == 1 ? "it" : "them");
  else
    printf("%s: `perdure resume %s` goes on with it\n", place.id, place.id);
  return command_finish_output(0);
}
