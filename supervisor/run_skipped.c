/* SPDX-License-Identifier: Apache-2.0 */
/* The line with which a resumed run says which of its commands are not run again. Writes nothing. */
#include "supervisor/run_attempt.h"

#include "supervisor/run_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAID_MAX 3u
#define WORDS_MAX 48u /* bytes of one command that a line has room for */

/* Appends the command that the entry at `position` has executed, in backquotes. */
static void add_command(FILE *stream, struct store *store, uint64_t position)
{
  const struct journal_segment *words = NULL;
  struct journal_entry *entry;
  uint64_t seq;

  if (run_report_find(store, position, &entry, &seq) < 0)
    return;
  words = journal_find_segment(entry, SEGMENT_COMMAND, -1);
  char *text = words != NULL ? run_info_quote_words((const char *)words->data, words->length) : NULL;
  for (char *c = text; c != NULL && *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f)
      *c = ' ';
  if (text != NULL)
    fprintf(stream, "%s `%.*s%s`", ftell(stream) > 0 ? "," : "", (int)WORDS_MAX, text,
            strlen(text) > WORDS_MAX ? "..." : "");
  free(text);
  free(entry);
}

void run_skipped_say(const struct run_attempt *attempt, const struct analysis *analysis)
{
  char commands[SAID_MAX * (WORDS_MAX + 16u)] = "";
  uint64_t newest[SAID_MAX];
  uint32_t count = analysis_ended_commands(analysis, newest, SAID_MAX), said = count < SAID_MAX ? count : SAID_MAX;
  FILE *stream = count > 0 ? fmemopen(commands, sizeof commands, "w") : NULL;

  if (stream == NULL)
    return;
  for (uint32_t i = said; i-- > 0;)
    add_command(stream, attempt->store, newest[i]);
  fclose(stream);
  run_say(attempt, SAY_NOTICE, "%" PRIu32 " command%s ended and %s not run again%s%s; `perdure log --tree %s` lists %s",
          count, count == 1 ? " has" : "s have", count == 1 ? "is" : "are", count > said ? ", the last of them:" : ":",
          commands, attempt->place.id, count == 1 ? "it" : "them");
}
