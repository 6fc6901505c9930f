/* SPDX-License-Identifier: Apache-2.0 */
/* Valid entries, packed one after another, for tests that need no tail. */
#ifndef PERDURE_TESTS_UNIT_PACKED_ENTRIES_H
#define PERDURE_TESTS_UNIT_PACKED_ENTRIES_H

#include "journal/entry.h"

#include <assert.h>
#include <string.h>

struct packed_entries {
  _Alignas(8) uint8_t bytes[1 << 16];
  size_t length;
  uint64_t position; /* of the next one */
  uint64_t count;
};

/* Adds one entry with two arguments and, unless data is NULL, one segment of argument 1. */
static inline struct journal_entry *packed_add(struct packed_entries *packed, uint32_t stream,
                                               uint16_t call, uint8_t kind, int64_t result,
                                               unsigned segment_type, const void *data, uint32_t length)
{
  uint32_t size = JOURNAL_ENTRY_HEADER_SIZE + 16;
  if (data != NULL)
    size += (uint32_t)(sizeof(struct journal_segment) + journal_padded(length));
  assert(packed->length + size <= sizeof packed->bytes);
  struct journal_entry *entry = (struct journal_entry *)(packed->bytes + packed->length);
  memset(entry, 0, size);
  entry->position = packed->position;
  entry->size = size;
  entry->stream = stream;
  entry->call = call;
  entry->kind = kind;
  entry->arg_count = 2;
  entry->result = result;
  entry->signature = packed->position * 7 + 1;
  entry->time_ns = 1700000000000000000u + packed->count;
  entry->args[0] = packed->count;
  entry->args[1] = (uint64_t)-100;
  if (data != NULL) {
    struct journal_segment *segment = (struct journal_segment *)(entry->args + 2);
    segment->type = (uint16_t)segment_type;
    segment->arg = 1;
    segment->length = length;
    memcpy(segment->data, data, length);
  }
  entry->checksum = journal_checksum(entry);
  packed->length += size;
  packed->position += size;
  packed->count++;
  return entry;
}

/* Starts the next chunk: empties the bytes, goes on with the positions. */
static inline void packed_clear(struct packed_entries *packed)
{
  packed->length = 0;
  packed->count = 0;
}

#endif
