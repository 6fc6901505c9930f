/* SPDX-License-Identifier: Apache-2.0 */
/* Which atomic regions an entry lies in, for those who read a journal from its beginning. Pure: entries in, marks out. */
#ifndef PERDURE_SUPERVISOR_REGION_MARKS_H
#define PERDURE_SUPERVISOR_REGION_MARKS_H

#include "journal/entry.h"

#include <stdbool.h>
#include <stddef.h>

struct open_region {
  uint64_t position, seq; /* of the entry that began it */
  uint32_t stream;
  unsigned column;        /* that no other one has while it is open, from 0 */
  bool taken_back;        /* its beginning was */
};

struct region_marks {
  struct open_region *open; /* in the order in which they began */
  size_t count, room;
};

enum region_edge { REGION_EDGE_NONE, REGION_EDGE_BEGIN, REGION_EDGE_END };

/* What one entry is to the regions. */
struct region_mark {
  enum region_edge edge;   /* of that one: */
  uint64_t edge_seq;       /* seq of the entry that began it */
  unsigned edge_column;
};

/* The next entry; taken_back: it was taken back with an unfinished region. What was taken back opens and ends regions of
 * its own, and leaves those around it as they are. Of an end the region is still among the open ones, until the next
 * entry comes. -ENOMEM. */
int region_marks_add(struct region_marks *marks, const struct journal_entry *entry, uint64_t seq, bool taken_back,
                     struct region_mark *ret_mark);
/* Columns up to the last one that is open, as brackets: '{' and '}' where `mark` says so, '|' else, ' ' between. Cut to
 * size - 1 of them. Returns the length. */
size_t region_marks_draw(const struct region_marks *marks, const struct region_mark *mark, char *ret_text, size_t size);
/* Forgets the region whose end was the last entry. */
void region_marks_close(struct region_marks *marks, const struct region_mark *mark);
void region_marks_release(struct region_marks *marks);

#endif
