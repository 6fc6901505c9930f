/* SPDX-License-Identifier: Apache-2.0 */
/* Changes nothing but memory. */
#include "supervisor/chunk_cut.h"

#include "supervisor/chunk.h"
#include "supervisor/chunk_delta.h"

#include <errno.h>
#include <stdlib.h>

static int damaged(const struct store_chunk *chunk, const char *defect, struct failure *failure)
{
  return failure_set(failure, -EBADMSG, "the journal is damaged behind entry %llu: %s", (unsigned long long)chunk->first_seq, defect);
}

static int encode_rest(const struct chunk_walk *walk, const struct journal_entry *entry, struct store_chunk *chunk, void **ret_bytes,
                       struct failure *failure)
{
  size_t left = (size_t)(walk->chunk.bytes + walk->chunk.length - (const uint8_t *)entry);
  void *bytes = malloc(chunk_delta_size_max(left));
  if (!bytes)
    return failure_set(failure, -ENOMEM, "cannot cut a part of the journal: out of memory");
  chunk->length = chunk_delta_encode(entry, left, bytes);
  chunk->first_position = entry->position;
  chunk->bytes = bytes;
  *ret_bytes = bytes;
  return 0;
}

static int find_and_encode(struct chunk_walk *walk, uint64_t first_seq, struct store_chunk *chunk, void **ret_bytes,
                           struct failure *failure)
{
  const struct journal_entry *entry;
  const char *defect;
  uint64_t seq;
  do {
    if (chunk_next(walk, &entry, &seq, &defect) != 0)
      return damaged(chunk, defect, failure);
  } while (entry && seq < first_seq);
  if (!entry)
    return damaged(chunk, "it is too short", failure);
  int error = encode_rest(walk, entry, chunk, ret_bytes, failure);
  if (error != 0)
    return error;
  chunk->entry_count -= first_seq - chunk->first_seq;
  chunk->first_seq = first_seq;
  return 0;
}

int chunk_cut(struct store_chunk *chunk, uint64_t first_seq, void **ret_bytes, struct failure *failure)
{
  size_t length = chunk_delta_length(chunk->bytes, chunk->length);
  uint8_t *bytes = malloc(length ? length : 1);
  if (!bytes)
    return failure_set(failure, -ENOMEM, "cannot cut a part of the journal: out of memory");
  struct chunk_walk walk = {.chunk = {
    .first_seq = chunk->first_seq, .first_position = chunk->first_position, .end_position = chunk->end_position,
    .entry_count = chunk->entry_count, .bytes = bytes, .length = length ? chunk_delta_decode(chunk->bytes, chunk->length, bytes) : 0,
  }, .position = chunk->first_position};
  int error = find_and_encode(&walk, first_seq, chunk, ret_bytes, failure);
  free(bytes);
  return error;
}
