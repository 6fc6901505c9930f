/* SPDX-License-Identifier: Apache-2.0 */
/* perdure show: all of one entry, its segments too. */
#include "cli/command.h"
#include "cli/exchange_text.h"
#include "cli/hex_dump.h"
#include "journal/call_table.h"
#include "supervisor/format_entry.h"
#include "supervisor/format_exchange.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a segment that are printed; the rest is counted. */
#define SHOWN_SIZE_MAX 4096u

static void print_bytes(const uint8_t *data, uint32_t length)
{
  uint32_t shown = length < SHOWN_SIZE_MAX ? length : SHOWN_SIZE_MAX;

  hex_dump(stdout, data, shown);
  if (shown < length)
    printf("    ... %" PRIu32 " more bytes\n", length - shown);
}

static bool is_text(unsigned type)
{
  return type == SEGMENT_PATH || type == SEGMENT_FULL_PATH || type == SEGMENT_DIRECTORY ||
         type == SEGMENT_TEXT || type == SEGMENT_IMAGE;
}

static void print_segments(const struct journal_entry *entry)
{
  const uint8_t *end = (const uint8_t *)entry + entry->size;
  const struct journal_segment *segment = journal_first_segment(entry);

  if ((const uint8_t *)segment >= end)
    return;
  for (; segment != NULL; segment = journal_next_segment(entry, segment)) {
    printf("  %s of argument %u, %" PRIu32 " bytes\n", journal_segment_name(segment->type), segment->arg,
           segment->length);
    if (is_text(segment->type))
      printf("    %.*s\n", (int)segment->length, (const char *)segment->data);
    else
      print_bytes(segment->data, segment->length);
  }
}

static void print_fields(const struct journal_entry *entry)
{
  const struct call_row *row = call_table_find(entry->call);

  printf("  kind %s, stream %" PRIu32 ", call %u%s%s, position %" PRIu64 ", %" PRIu32 " bytes\n",
         journal_kind_name(entry->kind), entry->stream, entry->call, row != NULL ? " " : "",
         row != NULL ? row->name : "", entry->position, entry->size);
  printf("  result %" PRId64 ", signature %016" PRIx64 ", checksum %08" PRIx32 ", time %" PRIu64 " ns\n",
         entry->result, entry->signature, entry->checksum, entry->time_ns);
  if (row != NULL)
    printf("  class %s: %s\n", row->class_name, row->why);
  for (unsigned i = 0; i < journal_arg_count(entry); i++)
    printf("  argument %u: %" PRIu64 " (0x%" PRIx64 ")\n", i, entry->args[i], entry->args[i]);
}

/* The exchange that the entry belongs to; none for others. */
static int show_exchange(const struct run_place *place, uint64_t seq, const struct command_line *line,
                         struct failure *failure)
{
  struct exchange_parts parts;
  bool found;
  int error = exchange_parts_read(place, seq, line->given[OPTION_SECRETS], &parts, &found, failure);

  if (error < 0 || !found)
    return error;
  if (line->given[OPTION_JSON]) {
    fputs(",\"exchange\":{", stdout);
    exchange_parts_json(stdout, &parts);
    putchar('}');
  } else {
    exchange_parts_print(stdout, &parts);
  }
  exchange_parts_release(&parts);
  return 0;
}

static int show(const struct run_place *place, const struct journal_entry *entry, uint64_t seq,
                const struct command_line *line)
{
  static char text[FORMAT_ENTRY_SIZE_MAX];
  bool json = line->given[OPTION_JSON], exchange = format_exchange_is(entry);
  struct failure failure;
  int error = 0;

  (json ? format_entry_json : format_entry)(entry, seq, text, sizeof text);
  /* The object is left open for the exchange. */
  fwrite(text, 1, strlen(text) - (json ? 1 : 0), stdout);
  if (!json) {
    putchar('\n');
    print_fields(entry);
    if (!exchange)
      print_segments(entry);
  }
  if (exchange)
    error = show_exchange(place, seq, line, &failure);
  if (json)
    puts("}");
  if (error == 0)
    return command_finish_output(0);
  fflush(stdout);
  return command_fail("%s", failure.text);
}

int cmd_show(const struct command_line *line)
{
  const struct journal_entry *entry;
  struct run_reader *reader;
  struct run_place place;
  struct failure failure;
  uint64_t wanted, seq = 0;
  char *end;
  int error, status;

  if (!command_line_operands(line, 2, 2))
    return RUN_EXIT_FAILED;
  wanted = strtoull(line->operands[1], &end, 10);
  if (wanted == 0 || *end != '\0' || line->operands[1][0] == '-')
    return command_fail("'%.60s' is no entry's number: they count from 1; `perdure log %.127s` prints "
                        "them first", line->operands[1], line->operands[0]);
  if (command_place(line, line->operands[0], &place, &failure) < 0 ||
      command_reader(line, &place, wanted, &reader, &failure) < 0)
    return command_fail("%s", failure.text);
  error = run_reader_next(reader, &entry, &seq, &failure);
  if (error < 0)
    status = command_fail("%s", failure.text);
  else if (entry == NULL || seq != wanted)
    status = command_fail("run %s has no entry %" PRIu64 ": its journal is shorter; `perdure status %s` "
                          "says how long", place.id, wanted, place.id);
  else
    status = show(&place, entry, seq, line);
  run_reader_close(reader);
  return status;
}
