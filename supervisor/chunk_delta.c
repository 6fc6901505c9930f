/* SPDX-License-Identifier: Apache-2.0 */
/* Entries as differences, there and back (chunk_delta.h). Pure functions. */
#include "supervisor/chunk_delta.h"

#include "journal/entry.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define GROUP 8 /* words to a mask */
#define BACK_MAX 0x7fffu
#define POSITION_FOLLOWS 0x8000u
#define SLOT_COUNT 256u /* of where the latest entry of a sort lies */
#define SIZE_WORD 1     /* checksum and size */

/* ---- writing ---- */

static unsigned slot_of(const struct journal_entry *entry)
{
  return (entry->call ^ (unsigned)entry->kind << 5 ^ entry->size >> 3) % SLOT_COUNT;
}

/* Each word is stored, and then counted or not: no branch depends on the words. */
static inline uint8_t *encode_group(const uint64_t *words, const uint64_t *models, size_t count, uint8_t *to)
{
  uint8_t *mask_place = to++;
  unsigned mask = 0;

#pragma GCC unroll 8
  for (size_t i = 0; i < count; i++) {
    size_t differs = words[i] != models[i];

    memcpy(to, &words[i], sizeof words[i]);
    to += differs * sizeof words[i];
    mask |= (unsigned)differs << i;
  }
  *mask_place = (uint8_t)mask;
  return to;
}

/* back 0: no model. */
static uint8_t *encode_entry(const uint64_t *words, size_t count, size_t back, bool follows, uint8_t *to)
{
  static const uint64_t zeros[GROUP];
  uint16_t head = (uint16_t)(back | (follows ? 0 : POSITION_FOLLOWS));

  memcpy(to, &head, sizeof head);
  to += sizeof head;
  if (!follows) {
    memcpy(to, words, sizeof *words);
    to += sizeof *words;
  }
  for (size_t i = 1; i < count; i += GROUP) {
    const uint64_t *models = back != 0 ? words + i - back : zeros;

    if (count - i >= GROUP)
      to = encode_group(words + i, models, GROUP, to);
    else
      to = encode_group(words + i, models, count - i, to);
  }
  return to;
}

size_t chunk_delta_encode(const void *bytes, size_t length, void *to)
{
  const uint64_t *words = bytes;
  uint32_t latest[SLOT_COUNT] = {0}; /* the word after its position, so that 0 is none */
  uint32_t length_stored = (uint32_t)length;
  uint64_t position = 0;
  uint8_t *end = to;

  assert(length <= CHUNK_LENGTH_MAX && length % 8 == 0);
  memcpy(end, &length_stored, sizeof length_stored);
  end += sizeof length_stored;
  for (size_t start = 0; start < length / 8;) {
    const struct journal_entry *entry = (const struct journal_entry *)(words + start);
    uint32_t *slot = &latest[slot_of(entry)];
    size_t back = *slot != 0 ? start + 1 - *slot : 0;

    assert(entry->size >= JOURNAL_ENTRY_HEADER_SIZE && entry->size <= length - start * 8);
    if (back > BACK_MAX || back < entry->size / 8)
      back = 0;
    end = encode_entry(words + start, entry->size / 8, back, entry->position == position, end);
    *slot = (uint32_t)start + 1;
    position = entry->position + entry->size;
    start += entry->size / 8;
  }
  return (size_t)(end - (uint8_t *)to);
}

/* ---- reading ---- */

struct reader {
  const uint8_t *at, *end;
};

static bool take(struct reader *reader, void *to, size_t size)
{
  if ((size_t)(reader->end - reader->at) < size)
    return false;
  memcpy(to, reader->at, size);
  reader->at += size;
  return true;
}

/* Words [first, last) of an entry, a group; what is not there is already as its model. */
static bool decode_group(struct reader *reader, uint64_t *words, size_t first, size_t last, uint8_t mask)
{
  unsigned left = mask;

  if (last - first < GROUP && mask >> (last - first) != 0)
    return false;
  for (; left != 0; left &= left - 1)
    if (!take(reader, &words[first + (size_t)__builtin_ctz(left)], sizeof *words))
      return false;
  return true;
}

/* Words [1, *count) of an entry. count: as many as there may be; it becomes what the entry says. */
static bool decode_words(struct reader *reader, uint64_t *words, size_t back, size_t *count)
{
  const struct journal_entry *entry = (const struct journal_entry *)words;
  uint8_t mask;

  if (!take(reader, &mask, sizeof mask))
    return false;
  words[SIZE_WORD] = back != 0 ? *(words + SIZE_WORD - back) : 0;
  if ((mask & 1) != 0) {
    if ((size_t)(reader->end - reader->at) < sizeof *words)
      return false;
    memcpy(&words[SIZE_WORD], reader->at, sizeof *words); /* taken below, with the others */
  }
  if (entry->size % 8 != 0 || entry->size < JOURNAL_ENTRY_HEADER_SIZE || entry->size / 8 > *count)
    return false;
  *count = entry->size / 8;
  if (back == 0)
    memset(words + 1, 0, (*count - 1) * sizeof *words);
  else if (back >= *count)
    memcpy(words + 1, words + 1 - back, (*count - 1) * sizeof *words);
  else
    return false; /* a model in the entry itself */
  for (size_t i = 1; i < *count; i += GROUP) {
    if (i > 1 && !take(reader, &mask, sizeof mask))
      return false;
    if (!decode_group(reader, words, i, *count - i < GROUP ? *count : i + GROUP, mask))
      return false;
  }
  return true;
}

size_t chunk_delta_length(const void *bytes, size_t size)
{
  uint32_t length;

  if (size < sizeof length)
    return 0;
  memcpy(&length, bytes, sizeof length);
  return length <= CHUNK_LENGTH_MAX && length % 8 == 0 ? length : 0;
}

/* The entry whose first word is words[start], of at most *count words; *count becomes its own. */
static bool decode_entry(struct reader *reader, uint64_t *words, size_t start, uint64_t position,
                         size_t *count)
{
  uint16_t head;

  if (*count < JOURNAL_ENTRY_HEADER_SIZE / 8 || !take(reader, &head, sizeof head) ||
      (head & BACK_MAX) > start)
    return false;
  words[start] = position;
  if ((head & POSITION_FOLLOWS) != 0 && !take(reader, &words[start], sizeof *words))
    return false;
  return decode_words(reader, words + start, head & BACK_MAX, count);
}

size_t chunk_delta_decode(const void *bytes, size_t size, void *to)
{
  struct reader reader = {.at = (const uint8_t *)bytes + sizeof(uint32_t), .end = (const uint8_t *)bytes + size};
  size_t total = chunk_delta_length(bytes, size) / 8, start = 0;
  uint64_t *words = to, position = 0;

  while (start < total) {
    size_t count = total - start;

    if (!decode_entry(&reader, words, start, position, &count))
      break;
    if (start + count == total && reader.at != reader.end)
      break; /* more bytes than entries */
    position = words[start] + count * 8;
    start += count;
  }
  return start * 8;
}
