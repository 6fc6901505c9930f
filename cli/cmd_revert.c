/* SPDX-License-Identifier: Apache-2.0 */
/* perdure revert: a run goes on from an earlier place. */
#include "cli/command.h"
#include "supervisor/format_entry.h"
#include "supervisor/run_cut.h"
#include "supervisor/secrets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What happens again, as lines; printed when it is so. */
struct effects {
  FILE *stream;
  char *text;
  size_t length;
  uint64_t count;
};

static void add_effect(const struct journal_entry *entry, uint64_t seq, void *context)
{
  static char line[FORMAT_ENTRY_SIZE_MAX];
  static _Alignas(8) uint8_t hidden[JOURNAL_ENTRY_SIZE_MAX];
  struct effects *effects = context;

  memcpy(hidden, entry, entry->size);
  secrets_hide_entry((struct journal_entry *)hidden);
  format_entry((const struct journal_entry *)hidden, seq, line, sizeof line);
  fprintf(effects->stream, "%s\n", line);
  effects->count++;
}

int cmd_revert(const struct command_line *line)
{
  struct effects effects = {0};
  struct run_place place;
  struct failure failure;
  uint64_t seq = 0, taken_back = 0;

  if (!command_line_operands(line, 1, 1) || !command_to(line, &seq))
    return RUN_EXIT_FAILED;
  if (seq == 0)
    return command_fail("revert: --to is missing; usage: perdure revert %s", line->command->usage);
  effects.stream = open_memstream(&effects.text, &effects.length);
  if (effects.stream == NULL)
    return command_fail("revert: out of memory; free some");
  int error = command_place(line, line->operands[0], &place, &failure);
  if (error == 0)
    error = run_revert(&place, seq, add_effect, &effects, &taken_back, &failure);
  fclose(effects.stream);
  if (error < 0) {
    free(effects.text);
    return command_fail("%s", failure.text);
  }
  printf("%s: back behind entry %" PRIu64 "; %" PRIu64 " entr%s taken back\n", place.id, seq, taken_back,
         taken_back == 1 ? "y is" : "ies are");
  if (effects.count > 0)
    printf("%" PRIu64 " effect%s that happened, and may happen again:\n%s", effects.count, effects.count == 1 ? "" : "s",
           effects.text);
  printf("`perdure resume %s` goes on from there\n", place.id);
  free(effects.text);
  return command_finish_output(0);
}
