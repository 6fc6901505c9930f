/* SPDX-License-Identifier: Apache-2.0 */
/* Reading segments by their meaning: an entry's frame has been checked, what is in it has not. */
#include "supervisor/analysis.h"

#include <limits.h>
#include <string.h>

const struct journal_segment *entry_segments(const struct journal_entry *entry)
{
  const struct journal_segment *first = journal_first_segment(entry);
  return (const uint8_t *)first < (const uint8_t *)entry + entry->size ? first : NULL;
}

static bool has_nul(const void *bytes, size_t length)
{
  return memchr(bytes, 0, length) != NULL;
}

/* A name directly in kept/, and nowhere else. */
static bool kept_name_sound(const char *name, size_t length)
{
  if (length == 0 || length > NAME_MAX || has_nul(name, length) || memchr(name, '/', length))
    return false;
  return name[0] != '.';
}

static bool extent_sound(uint64_t offset, uint64_t length)
{
  return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

static bool reference_sound(const struct journal_segment *segment)
{
  struct journal_reference reference;
  if (segment->length != sizeof reference)
    return false;
  memcpy(&reference, segment->data, sizeof reference);
  return extent_sound(reference.offset, reference.length);
}

static bool old_sound(const struct journal_segment *segment)
{
  struct journal_old old;
  if (segment->length < sizeof old)
    return false;
  memcpy(&old, segment->data, sizeof old);
  return extent_sound(old.offset, segment->length - sizeof old);
}

/* Do the values fill the segment, each 8 bytes, a string, or nothing? */
static bool infos_sound(const struct journal_segment *segment)
{
  size_t place = 0;
  while (place < segment->length) {
    struct journal_info info;
    if (segment->length - place < sizeof info)
      return false;
    memcpy(&info, segment->data + place, sizeof info);
    place += sizeof info;
    size_t padded = journal_padded(info.length);
    if (info.length > segment->length - place || padded > segment->length - place)
      return false;
    if (info.length != 0 && info.length != 8 && segment->data[place + info.length - 1] != 0)
      return false;
    place += padded;
  }
  return true;
}

/* A file directly in blobs/. */
static bool blob_name_sound(const struct journal_segment *segment)
{
  return segment->length > sizeof(struct journal_blob) &&
         kept_name_sound((const char *)segment->data + sizeof(struct journal_blob),
                         segment->length - sizeof(struct journal_blob));
}

static bool segment_sound(const struct journal_segment *segment)
{
  switch (segment->type) {
  case SEGMENT_FULL_PATH:
  case SEGMENT_DIRECTORY:
    return segment->length < KNOWN_PATH_SIZE_MAX && !has_nul(segment->data, segment->length);
  case SEGMENT_FILE:
    return segment->length == sizeof(struct journal_file);
  case SEGMENT_REFERENCE:
    return reference_sound(segment);
  case SEGMENT_WRITTEN:
    /* Offset and length are what the program asked for, however senseless. */
    return segment->length == sizeof(struct journal_written);
  case SEGMENT_OLD:
    return old_sound(segment);
  case SEGMENT_KEPT:
    return segment->length > sizeof(struct journal_kept) &&
           kept_name_sound((const char *)segment->data + sizeof(struct journal_kept),
                           segment->length - sizeof(struct journal_kept));
  case SEGMENT_DEADLINE:
    return segment->length == sizeof(struct journal_deadline);
  case SEGMENT_DESCRIPTOR:
    return segment->length == sizeof(struct journal_descriptor);
  case SEGMENT_SOURCE:
    return segment->length == sizeof(struct journal_source);
  case SEGMENT_CHANNEL:
    return segment->length == sizeof(struct journal_source);
  case SEGMENT_OFFSETS:
    return segment->length % sizeof(struct journal_offset) == 0;
  case SEGMENT_ZEROS:
    return segment->length == sizeof(uint64_t);
  case SEGMENT_CHILD:
    return segment->length == sizeof(struct journal_child);
  case SEGMENT_RESOLUTION:
    return segment->length == sizeof(struct journal_resolution);
  case SEGMENT_BLOB:
    return blob_name_sound(segment);
  case SEGMENT_INFO:
    return infos_sound(segment);
  case SEGMENT_EXTENTS:
    return false; /* the feed's alone */
  }
  return true;
}

bool entry_segments_sound(const struct journal_entry *entry)
{
  const struct journal_segment *segment = entry_segments(entry);
  for (; segment; segment = journal_next_segment(entry, segment))
    if (!segment_sound(segment))
      return false;
  return true;
}

bool entry_file(const struct journal_entry *entry, int arg, struct journal_file *ret_file)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_FILE, arg);
  if (!segment)
    return false;
  memcpy(ret_file, segment->data, sizeof *ret_file);
  return true;
}

bool entry_written(const struct journal_entry *entry, struct journal_written *ret_written)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_WRITTEN, -1);
  if (!segment)
    return false;
  memcpy(ret_written, segment->data, sizeof *ret_written);
  return true;
}

const char *entry_path(const struct journal_entry *entry, int arg, size_t *ret_length)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_FULL_PATH, arg);
  /* "pipe:[1]" and the like are no paths: what was opened has no name. */
  if (!segment || segment->length == 0 || segment->data[0] != '/')
    return NULL;
  *ret_length = segment->length;
  return (const char *)segment->data;
}
