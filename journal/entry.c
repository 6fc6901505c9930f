/* SPDX-License-Identifier: Apache-2.0 */
/* Reading entries: validity, segments, names. Runs in the program as well as in the supervisor, so it
 * calls nothing, and trusts no byte that it has not checked. */
#include "journal/entry.h"

#include "journal/hash.h"

uint32_t journal_checksum(const struct journal_entry *entry)
{
  const uint8_t *bytes = (const uint8_t *)entry;
  return (uint32_t)journal_hash(bytes + 12, entry->size - 12);
}

const struct journal_segment *journal_next_segment(const struct journal_entry *entry,
                                                   const struct journal_segment *segment)
{
  const uint8_t *end = (const uint8_t *)entry + entry->size;
  const uint8_t *next = segment->data + journal_padded(segment->length);
  return next < end ? (const struct journal_segment *)next : NULL;
}

const struct journal_segment *journal_find_segment(const struct journal_entry *entry, unsigned type,
                                                   int arg)
{
  const struct journal_segment *segment = journal_first_segment(entry);
  if ((const uint8_t *)segment >= (const uint8_t *)entry + entry->size)
    return NULL;
  for (; segment; segment = journal_next_segment(entry, segment))
    if (segment->type == type && (arg < 0 || segment->arg == arg))
      return segment;
  return NULL;
}

bool journal_flows(const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_CHANNEL, -1);
  return segment && segment->arg == JOURNAL_CHANNEL_FLOWS;
}

bool journal_has_channel(const struct journal_entry *entry)
{
  return journal_find_segment(entry, SEGMENT_CHANNEL, -1) != NULL;
}

uint64_t journal_given_length(const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  if (segment)
    return segment->length;
  segment = journal_find_segment(entry, SEGMENT_BLOB, 0);
  return segment && segment->length >= sizeof(struct journal_blob)
             ? ((const struct journal_blob *)segment->data)->length
             : 0;
}

static bool kind_known(unsigned kind)
{
  switch (kind) {
#define KIND(id, NAME, name, why) case id:
#include "journal/kinds.def"
#undef KIND
    return true;
  }
  return false;
}

/* Do the segments fill the entry exactly? */
static bool segments_fit(const struct journal_entry *entry)
{
  size_t place = JOURNAL_ENTRY_HEADER_SIZE + 8 * journal_arg_count(entry);
  while (place < entry->size) {
    if (entry->size - place < sizeof(struct journal_segment))
      return false;
    const struct journal_segment *segment =
        (const struct journal_segment *)((const uint8_t *)entry + place);
    size_t room = entry->size - place - sizeof *segment;
    if (segment->length > room || journal_padded(segment->length) > room)
      return false;
    place += sizeof *segment + journal_padded(segment->length);
  }
  return place == entry->size;
}

bool journal_entry_formed(const void *bytes, size_t available, uint64_t position)
{
  const struct journal_entry *entry = bytes;
  if (available < JOURNAL_ENTRY_HEADER_SIZE ||
      __atomic_load_n(&entry->position, __ATOMIC_ACQUIRE) != position)
    return false;
  if (entry->size % 8 || entry->size > available || entry->size > JOURNAL_ENTRY_SIZE_MAX ||
      journal_arg_count(entry) > JOURNAL_ARG_COUNT_MAX ||
      entry->size < JOURNAL_ENTRY_HEADER_SIZE + 8 * journal_arg_count(entry))
    return false;
  return kind_known(entry->kind) && segments_fit(entry);
}

bool journal_entry_valid(const void *bytes, size_t available, uint64_t position)
{
  const struct journal_entry *entry = bytes;
  return journal_entry_formed(entry, available, position) &&
         entry->checksum == journal_checksum(entry);
}

const char *journal_kind_name(unsigned kind)
{
  switch (kind) {
#define KIND(id, NAME, name, why) \
  case id:                        \
    return #name;
#include "journal/kinds.def"
#undef KIND
  }
  return "?";
}

const char *journal_segment_name(unsigned type)
{
  switch (type) {
#define SEGMENT(id, NAME, name, why) \
  case id:                           \
    return #name;
#include "journal/segments.def"
#undef SEGMENT
  }
  return "?";
}
