/* SPDX-License-Identifier: Apache-2.0 */
/* Reading chunks. They come from a file that anybody may have damaged: no byte is trusted unchecked. */
#include "supervisor/chunk.h"

#include <errno.h>

static int defective(const char *defect, const char **ret_defect)
{
  *ret_defect = defect;
  return -EBADMSG;
}

int chunk_next(struct chunk_walk *walk, const struct journal_entry **ret_entry, uint64_t *ret_seq,
               const char **ret_defect)
{
  const struct chunk *chunk = &walk->chunk;
  *ret_seq = chunk->first_seq + walk->index;
  if (walk->offset == chunk->length) {
    if (walk->index != chunk->entry_count)
      return defective("its chunk holds another number of entries than it says", ret_defect);
    *ret_entry = NULL;
    return 0;
  }
  size_t available = chunk->length - walk->offset;
  if (available < JOURNAL_ENTRY_HEADER_SIZE)
    return defective("it is cut off", ret_defect);
  const struct journal_entry *entry = (const struct journal_entry *)(chunk->bytes + walk->offset);
  if (!(walk->trusted ? journal_entry_formed : journal_entry_valid)(entry, available, entry->position))
    return defective("its checksum or its form is wrong", ret_defect);
  uint64_t low = walk->index == 0 ? chunk->first_position : walk->position;
  if (entry->position < low || entry->position > chunk->end_position ||
      entry->size > chunk->end_position - entry->position)
    return defective("its position is out of order", ret_defect);
  walk->offset += entry->size;
  walk->position = entry->position + entry->size;
  walk->index++;
  *ret_entry = entry;
  return 0;
}
