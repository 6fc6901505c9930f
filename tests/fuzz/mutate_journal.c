/* SPDX-License-Identifier: Apache-2.0 */
/* The mutator of the journal's fuzz target: changes entries as entries, then repairs their frames. */
#include "journal/entry.h"

#include <string.h>

#include "tests/fuzz/fuzz_journal.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#define ENTRY_MAX 256
#define KIND_COUNT 9u
#define SEGMENT_COUNT 17u

/* Where entries begin, relative to the first; offsets[count] is the end. */
struct layout {
  uint32_t offsets[ENTRY_MAX + 1];
  unsigned count;
};

static unsigned next_random(unsigned *state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Makes the segments in [place, end) fill it: both are multiples of 8. */
static void repair_segments(uint8_t *entry, size_t place, size_t end)
{
  while (place < end) {
    struct journal_segment *segment = (struct journal_segment *)(entry + place);
    size_t room = end - place - sizeof *segment;
    segment->zero = 0;
    if (segment->length > room || journal_padded(segment->length) > room)
      segment->length = (uint32_t)room;
    place += sizeof *segment + journal_padded(segment->length);
  }
}

/* Makes a chain of valid entries of the bytes; returns how many of them are used. */
static size_t repair(uint8_t *entries, size_t length, struct layout *ret_layout)
{
  size_t at = 0;
  ret_layout->count = 0;
  while (length - at >= JOURNAL_ENTRY_HEADER_SIZE && ret_layout->count < ENTRY_MAX) {
    struct journal_entry *entry = (struct journal_entry *)(entries + at);
    unsigned args = journal_arg_count(entry) % (JOURNAL_ARG_COUNT_MAX + 1);
    size_t least = JOURNAL_ENTRY_HEADER_SIZE + 8 * args, room = (length - at) & ~(size_t)7;
    if (least > room)
      break;
    entry->arg_count = (uint8_t)((entry->arg_count & 0xf0) | args);
    entry->size &= ~7u;
    if (entry->size < least || entry->size > room)
      entry->size = (uint32_t)(entry->size < least ? least : room);
    if (entry->kind == 0 || entry->kind > KIND_COUNT)
      entry->kind = (uint8_t)(1 + entry->kind % KIND_COUNT);
    repair_segments((uint8_t *)entry, least, entry->size);
    entry->position = at;
    entry->checksum = journal_checksum(entry);
    ret_layout->offsets[ret_layout->count++] = (uint32_t)at;
    at += entry->size;
  }
  ret_layout->offsets[ret_layout->count] = (uint32_t)at;
  return at;
}

/* Puts a copy of entry `from` before entry `to`. Returns the new length. */
static size_t duplicate(uint8_t *entries, size_t length, size_t room, const struct layout *layout,
                        unsigned from, unsigned to)
{
  size_t size = layout->offsets[from + 1] - layout->offsets[from];
  static uint8_t copy[1 << 20];
  if (size > sizeof copy || length + size > room)
    return length;
  memcpy(copy, entries + layout->offsets[from], size);
  memmove(entries + layout->offsets[to] + size, entries + layout->offsets[to],
          length - layout->offsets[to]);
  memcpy(entries + layout->offsets[to], copy, size);
  return length + size;
}

static size_t cut_out(uint8_t *entries, size_t length, const struct layout *layout, unsigned which)
{
  size_t begin = layout->offsets[which], end = layout->offsets[which + 1];
  memmove(entries + begin, entries + end, length - end);
  return length - (end - begin);
}

/* Small numbers where they mean something. */
static void change_head(struct journal_entry *entry, unsigned random)
{
  static const uint16_t calls[] = {0, 1, 2, 17, 35, 42, 59, 76, 82, 83, 84, 85, 86, 87, 88, 133,
                                   257, 265, 285, 316, 1025, 1026};
  unsigned value = random >> 4;
  switch (random % 6) {
  case 0:
    entry->stream = value % 4;
    break;
  case 1:
    entry->kind = (uint8_t)(1 + value % KIND_COUNT);
    break;
  case 2:
    entry->call = calls[value % (sizeof calls / sizeof *calls)];
    break;
  case 3:
    entry->result = (int64_t)(value % 64) - 16;
    break;
  case 4:
    entry->arg_count ^= JOURNAL_FLAG_RESOLVED;
    break;
  case 5:
    if (journal_arg_count(entry))
      entry->args[value % journal_arg_count(entry)] = value >> 4;
    break;
  }
}

static void change_segment(struct journal_entry *entry, unsigned random)
{
  const uint8_t *end = (const uint8_t *)entry + entry->size;
  struct journal_segment *segment = (struct journal_segment *)journal_first_segment(entry);
  if ((const uint8_t *)segment >= end)
    return;
  for (unsigned skip = random >> 4 & 3; skip > 0; skip--) {
    struct journal_segment *next = (struct journal_segment *)journal_next_segment(entry, segment);
    segment = next ? next : segment;
  }
  random >>= 6;
  switch (random % 4) {
  case 0:
    segment->type = (uint16_t)(1 + (random >> 2) % SEGMENT_COUNT);
    break;
  case 1:
    segment->arg = (uint8_t)((random >> 2) % 6);
    break;
  default:
    if (segment->length)
      LLVMFuzzerMutate(segment->data, segment->length, segment->length);
    break;
  }
}

static size_t change(uint8_t *entries, size_t length, size_t room, const struct layout *layout,
                     unsigned *state)
{
  unsigned which = next_random(state) % layout->count, random = next_random(state);
  struct journal_entry *entry = (struct journal_entry *)(entries + layout->offsets[which]);
  switch (next_random(state) % 6) {
  case 0:
    return duplicate(entries, length, room, layout, which, random % layout->count);
  case 1:
    return cut_out(entries, length, layout, which);
  case 2:
  case 3:
    change_head(entry, random);
    return length;
  default:
    change_segment(entry, random);
    return length;
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  static _Alignas(8) uint8_t entries[1 << 20];
  struct layout layout;
  unsigned state = seed;
  size_t length = size > WORLD_SIZE ? size - WORLD_SIZE : 0;
  size_t room = max_size > WORLD_SIZE ? max_size - WORLD_SIZE : 0;
  unsigned how = next_random(&state) % 16;
  if (how == 0 || length < JOURNAL_ENTRY_HEADER_SIZE || length > sizeof entries)
    return LLVMFuzzerMutate(data, size, max_size);
  if (how == 1) {
    LLVMFuzzerMutate(data, WORLD_SIZE, WORLD_SIZE);
    return size;
  }
  room = room < sizeof entries ? room : sizeof entries;
  memcpy(entries, data + WORLD_SIZE, length);
  length = repair(entries, length, &layout);
  for (unsigned times = 1 + next_random(&state) % 3; times > 0 && layout.count > 0; times--) {
    length = change(entries, length, room, &layout, &state);
    length = repair(entries, length, &layout);
  }
  memcpy(data + WORLD_SIZE, entries, length);
  return WORLD_SIZE + length;
}
