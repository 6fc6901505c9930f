/* SPDX-License-Identifier: Apache-2.0 */
/* perdure fork: another run that goes on from a place of this one's journal. */
#include "cli/command.h"
#include "supervisor/run_cut.h"

#include <inttypes.h>

int cmd_fork(const struct command_line *line)
{
  struct run_place place, to;
  struct failure failure;
  uint64_t seq = 0;

  if (!command_line_operands(line, 2, 2) || !command_to(line, &seq))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      run_place_find(place.base, line->operands[1], &to, &failure) < 0 || run_fork(&place, seq, &to, &seq, &failure) < 0)
    return command_fail("%s", failure.text);
  printf("%s: a run with the journal of %s up to entry %" PRIu64 "; `perdure resume %s` goes on from there\n", to.id, place.id,
         seq, to.id);
  return command_finish_output(0);
}
