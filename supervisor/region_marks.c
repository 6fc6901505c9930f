/* SPDX-License-Identifier: Apache-2.0 */
/* The same rules as the analysis has (analyse_scopes.c), over all entries, also those that were taken back. Writes
 * nothing. */
#include "supervisor/region_marks.h"

#include "journal/call_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void forget(struct region_marks *marks, size_t place)
{
  memmove(marks->open + place, marks->open + place + 1, (marks->count - place - 1) * sizeof *marks->open);
  marks->count--;
}

static unsigned free_column(const struct region_marks *marks)
{
  for (unsigned column = 0;; column++) {
    bool taken = false;
    for (size_t i = 0; i < marks->count; i++)
      taken = taken || marks->open[i].column == column;
    if (!taken)
      return column;
  }
}

static int begin(struct region_marks *marks, const struct journal_entry *entry, uint64_t seq, bool taken_back,
                 struct region_mark *ret_mark)
{
  if (marks->count == marks->room) {
    size_t room = marks->room ? marks->room * 2 : 8;
    struct open_region *grown = realloc(marks->open, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    marks->open = grown;
    marks->room = room;
  }
  const struct open_region region = {.position = entry->position, .seq = seq, .stream = entry->stream,
                                     .column = free_column(marks), .taken_back = taken_back};
  marks->open[marks->count++] = region;
  *ret_mark = (struct region_mark){REGION_EDGE_BEGIN, seq, region.column};
  return 0;
}

static void end(const struct region_marks *marks, uint64_t position, bool taken_back, struct region_mark *ret_mark)
{
  for (size_t i = 0; i < marks->count; i++)
    if (marks->open[i].position == position && marks->open[i].taken_back == taken_back)
      *ret_mark = (struct region_mark){REGION_EDGE_END, marks->open[i].seq, marks->open[i].column};
}

int region_marks_add(struct region_marks *marks, const struct journal_entry *entry, uint64_t seq, bool taken_back,
                     struct region_mark *ret_mark)
{
  bool of_region = entry->kind == JOURNAL_COMPLETE && entry->result == 0 && journal_arg_count(entry) >= 2 &&
                   entry->args[0] == JOURNAL_SCOPE_REGION;

  *ret_mark = (struct region_mark){0};
  /* What was taken back is over; and an image that begins knows of no region of the one before. */
  for (size_t i = marks->count; i-- > 0;) {
    const struct open_region *region = &marks->open[i];
    bool gone = entry->kind == JOURNAL_START && entry->stream == region->stream && region->taken_back == taken_back;
    if (gone || (region->taken_back && !taken_back))
      forget(marks, i);
  }
  if (of_region && entry->call == CALL_ID_SCOPE_BEGIN)
    return begin(marks, entry, seq, taken_back, ret_mark);
  if (of_region && entry->call == CALL_ID_SCOPE_END)
    end(marks, entry->args[1], taken_back, ret_mark);
  return 0;
}

size_t region_marks_draw(const struct region_marks *marks, const struct region_mark *mark, char *ret_text, size_t size)
{
  size_t length = 0;

  for (size_t i = 0; i < marks->count; i++) {
    unsigned column = marks->open[i].column;
    if (column + 1 >= size)
      continue;
    while (length <= column)
      ret_text[length++] = ' ';
    ret_text[column] = mark->edge == REGION_EDGE_NONE || mark->edge_column != column ? '|'
                       : mark->edge == REGION_EDGE_BEGIN                             ? '{'
                                                                                     : '}';
  }
  ret_text[length] = '\0';
  return length;
}

void region_marks_close(struct region_marks *marks, const struct region_mark *mark)
{
  for (size_t i = marks->count; mark->edge == REGION_EDGE_END && i-- > 0;)
    if (marks->open[i].seq == mark->edge_seq)
      forget(marks, i);
}

void region_marks_release(struct region_marks *marks)
{
  free(marks->open);
  *marks = (struct region_marks){0};
}
