/* SPDX-License-Identifier: Apache-2.0 */
/* The feed in two passes over the entries. The first measures: which entries go in, how long they
 * are with their EXTENTS, which old bytes are needed. Then all offsets are known, and the second
 * writes entries and old bytes side by side. Where no old bytes are kept at all, entries go in as they
 * are, and the second pass does alone.
 *
 * A crash at any line is harmless: the file has a temporary name until it is whole. It need not be
 * synced: it is made anew for every attempt. */
#include "supervisor/analysis.h"
#include "supervisor/entry_source.h"
#include "supervisor/feed_files.h"
#include "supervisor/feed_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOT_NEEDED UINT64_MAX

struct publishing {
  struct analysis *analysis;
  const struct entry_source *source;
  const struct verdict *verdicts;
  size_t verdict_count;
  struct failure *failure;
  struct piece_list pieces;
  uint64_t *blob_offsets; /* by record: in the feed, or NOT_NEEDED; first pass: 0 where needed */
  struct feed_files files;
  struct feed_header header;
  struct feed_writer entries, blobs;
  uint8_t *entry; /* one entry with its extents */
  size_t entry_room;
  uint32_t record; /* number of the next OLD segment */
};

/* ---- which entries ---- */

enum choice { CHOICE_OMIT, CHOICE_KEEP, CHOICE_UNFINISHED, CHOICE_SKIPPED };

static enum choice choose_open(const struct publishing *publishing,
                               const struct open_intent *intent)
{
  if (intent->settled)
    return CHOICE_KEEP;
  unsigned kind = change_of(intent->entry->call)->kind;
  if (kind == CHANGE_SLEEP || kind == CHANGE_EXCHANGE || journal_has_channel(intent->entry))
    return CHOICE_UNFINISHED;
  for (size_t i = 0; i < publishing->verdict_count; i++)
    if (publishing->verdicts[i].position == intent->entry->position)
      return publishing->verdicts[i].kind == VERDICT_UNKNOWN ? CHOICE_UNFINISHED : CHOICE_OMIT;
  return CHOICE_OMIT;
}

/* DATA goes with what it is for: with an open intent that is left out too. */
static enum choice choose_data(const struct publishing *publishing,
                               const struct journal_entry *data)
{
  for (size_t i = 0; i < publishing->analysis->open_count; i++) {
    const struct open_intent *intent = publishing->analysis->open[i];
    if (intent->entry->stream == data->stream && data->position >= intent->data_first &&
        data->position < intent->entry->position)
      return choose_open(publishing, intent) == CHOICE_OMIT ? CHOICE_OMIT : CHOICE_KEEP;
  }
  return CHOICE_KEEP;
}

static enum choice choose(const struct publishing *publishing, const struct journal_entry *entry)
{
  if (entry->kind == JOURNAL_ATTEMPT || entry->kind == JOURNAL_NOTE || entry->kind == JOURNAL_KEEP ||
      entry->kind == JOURNAL_RESOLVE || analysis_skips(publishing->analysis, entry->position))
    return CHOICE_OMIT;
  if (analysis_omits(publishing->analysis, entry->stream, entry->position) ||
      analysis_stream_skipped(publishing->analysis, entry->stream))
    return CHOICE_OMIT;
  if (entry->kind == JOURNAL_DATA)
    return choose_data(publishing, entry);
  if (analysis_entry_skips(publishing->analysis, entry))
    return CHOICE_SKIPPED;
  if (entry->kind != JOURNAL_INTENT)
    return CHOICE_KEEP;
  const struct open_intent *open = analysis_open_intent(publishing->analysis, entry->position);
  return open ? choose_open(publishing, open) : CHOICE_KEEP;
}

/* ---- extents ---- */

/* Fills publishing->pieces for a REFERENCE; false: all bytes are in the file. */
static int find_pieces(struct publishing *publishing, const struct journal_entry *entry,
                       const struct journal_segment *segment, bool *ret_moved)
{
  struct journal_reference reference;
  memcpy(&reference, segment->data, sizeof reference);
  struct file_id id = {reference.device, reference.inode, reference.birth_ns};
  uint32_t file = known_files_find(&publishing->analysis->files, &id);
  if (file == KNOWN_FILE_NONE)
    return -EBADMSG;
  struct piece_list *list = &publishing->pieces;
  int error = old_bytes_pieces(&publishing->analysis->old, file, entry->position, reference.offset,
                               reference.length, list);
  if (!error)
    *ret_moved = list->count > 1 || (list->count == 1 && list->pieces[0].source != PIECE_FILE);
  return error;
}

/* Has the run kept anything of what it read before it changed it? */
static bool keeps_old(const struct publishing *publishing)
{
  return publishing->analysis->old.record_count > 0 || publishing->analysis->old.kept_count > 0;
}

static size_t segments_length(const struct journal_entry *entry)
{
  return entry->size - JOURNAL_ENTRY_HEADER_SIZE - 8 * journal_arg_count(entry);
}

/* How long the entry is in the feed; the first time, marks the old bytes that it needs. */
static int measure_entry(struct publishing *publishing, const struct journal_entry *entry,
                         uint64_t *ret_size)
{
  const struct journal_entry *resolution = analysis_resolution(publishing->analysis, entry);
  uint64_t size = entry->size + (resolution ? segments_length(resolution) : 0);
  const struct journal_segment *segment = keeps_old(publishing) ? entry_segments(entry) : NULL;
  for (; segment; segment = journal_next_segment(entry, segment)) {
    bool moved;
    if (segment->type != SEGMENT_REFERENCE)
      continue;
    int error = find_pieces(publishing, entry, segment, &moved);
    if (error)
      return error;
    if (!moved)
      continue;
    const struct piece_list *list = &publishing->pieces;
    size += sizeof *segment + list->count * sizeof(struct feed_extent);
    for (size_t i = 0; i < list->count; i++) {
      uint32_t number = list->pieces[i].number;
      if (list->pieces[i].source == PIECE_RECORD && publishing->blob_offsets[number] == NOT_NEEDED)
        publishing->blob_offsets[number] = 0;
      else if (list->pieces[i].source == PIECE_KEPT)
        error = feed_files_keep(&publishing->files, number);
      if (error)
        return error;
    }
  }
  if (size > UINT32_MAX)
    return -EFBIG;
  *ret_size = size;
  return 0;
}

static struct feed_extent extent_of(const struct publishing *publishing, const struct piece *piece)
{
  switch (piece->source) {
  case PIECE_RECORD:
    return (struct feed_extent){
        .source = FEED_SOURCE_BLOB,
        .offset = publishing->blob_offsets[piece->number] + piece->offset,
        .length = piece->length};
  case PIECE_KEPT:
    return (struct feed_extent){
        .source = FEED_SOURCE_KEPT,
        .zero = feed_files_kept(&publishing->files, piece->number),
        .offset = piece->offset,
        .length = piece->length};
  default:
    return (struct feed_extent){
        .source = FEED_SOURCE_FILE, .offset = piece->offset, .length = piece->length};
  }
}

static void put_extents(const struct publishing *publishing, unsigned arg, uint8_t *to)
{
  const struct piece_list *list = &publishing->pieces;
  struct journal_segment head = {
      .type = SEGMENT_EXTENTS,
      .arg = (uint8_t)arg,
      .length = (uint32_t)(list->count * sizeof(struct feed_extent))};
  memcpy(to, &head, sizeof head);
  to += sizeof head;
  for (size_t i = 0; i < list->count; i++, to += sizeof(struct feed_extent)) {
    struct feed_extent extent = extent_of(publishing, &list->pieces[i]);
    memcpy(to, &extent, sizeof extent);
  }
}

/* Makes the entry as it is in the feed, in publishing->entry. */
static int build_entry(struct publishing *publishing, const struct journal_entry *entry,
                       unsigned flags)
{
  uint64_t size;
  int error = measure_entry(publishing, entry, &size);
  if (error)
    return error;
  if (size > publishing->entry_room) {
    uint8_t *grown = realloc(publishing->entry, size);
    if (!grown)
      return -ENOMEM;
    publishing->entry = grown;
    publishing->entry_room = size;
  }
  const uint8_t *from = (const uint8_t *)entry;
  uint8_t *to = publishing->entry;
  const struct journal_segment *segment = keeps_old(publishing) ? entry_segments(entry) : NULL;
  while (segment) {
    const struct journal_segment *next = journal_next_segment(entry, segment);
    bool moved = false;
    if (segment->type == SEGMENT_REFERENCE)
      error = find_pieces(publishing, entry, segment, &moved);
    if (error)
      return error;
    if (moved) {
      const uint8_t *end = segment->data + journal_padded(segment->length);
      memcpy(to, from, (size_t)(end - from));
      to += end - from;
      from = end;
      put_extents(publishing, segment->arg, to);
      to += sizeof *segment + publishing->pieces.count * sizeof(struct feed_extent);
    }
    segment = next;
  }
  size_t left = (size_t)((const uint8_t *)entry + entry->size - from);
  memcpy(to, from, left);
  const struct journal_entry *resolution = analysis_resolution(publishing->analysis, entry);
  if (resolution)
    memcpy(to + left, journal_first_segment(resolution), segments_length(resolution));
  struct journal_entry *made = (struct journal_entry *)publishing->entry;
  made->size = (uint32_t)size;
  made->arg_count |= (uint8_t)flags;
  if (flags || size != entry->size)
    made->checksum = journal_checksum(made);
  return 0;
}

/* ---- passes ---- */

typedef int pass(struct publishing *publishing, const struct journal_entry *entry,
                 enum choice choice);

static int measure(struct publishing *publishing, const struct journal_entry *entry,
                   enum choice choice)
{
  uint64_t size;
  if (choice == CHOICE_OMIT)
    return 0;
  int error = measure_entry(publishing, entry, &size);
  if (error)
    return error;
  publishing->header.entries_end += size;
  publishing->header.entry_count++;
  return 0;
}

/* The old bytes that are needed, from a KEEP. */
static int write_blobs(struct publishing *publishing, const struct journal_entry *entry)
{
  const struct journal_segment *segment = entry_segments(entry);
  for (; segment; segment = journal_next_segment(entry, segment)) {
    if (segment->type != SEGMENT_OLD)
      continue;
    uint32_t record = publishing->record++;
    if (record >= publishing->analysis->old.record_count)
      return -EBADMSG;
    if (publishing->blob_offsets[record] == NOT_NEEDED)
      continue;
    uint32_t length = segment->length - (uint32_t)sizeof(struct journal_old);
    if (publishing->blobs.offset != publishing->blob_offsets[record] ||
        length != publishing->analysis->old.records[record].length)
      return -EBADMSG;
    int error = feed_writer_put(&publishing->blobs,
                                segment->data + sizeof(struct journal_old), length);
    if (!error)
      error = feed_writer_pad(&publishing->blobs);
    if (error)
      return error;
  }
  return 0;
}

static int write_entry(struct publishing *publishing, const struct journal_entry *entry,
                       enum choice choice)
{
  if (entry->kind == JOURNAL_KEEP)
    return write_blobs(publishing, entry);
  if (choice == CHOICE_OMIT)
    return 0;
  if (choice == CHOICE_KEEP && !keeps_old(publishing))
    return feed_writer_put(&publishing->entries, entry, entry->size);
  int error = build_entry(publishing, entry,
                          choice == CHOICE_UNFINISHED ? JOURNAL_FLAG_UNFINISHED
                          : choice == CHOICE_SKIPPED  ? JOURNAL_FLAG_SKIPPED
                                                      : 0);
  if (error)
    return error;
  return feed_writer_put(&publishing->entries, publishing->entry,
                         ((const struct journal_entry *)publishing->entry)->size);
}

/* The second pass when there was no first. */
static int write_and_count(struct publishing *publishing, const struct journal_entry *entry,
                           enum choice choice)
{
  if (choice != CHOICE_OMIT)
    publishing->header.entry_count++;
  return write_entry(publishing, entry, choice);
}

static int walk(struct publishing *publishing, pass *visit)
{
  const struct entry_source *source = publishing->source;
  int error = source->rewind(source->context, publishing->failure);
  if (error)
    return error;
  for (uint64_t count = 0;; count++) {
    const struct journal_entry *entry;
    uint64_t seq;
    error = source->next(source->context, &entry, &seq, publishing->failure);
    if (error)
      return error;
    /* What the drain has added since the analysis is not part of it. */
    if (!entry || count == publishing->analysis->summary.entry_count)
      return 0;
    error = entry_segments_sound(entry) ? visit(publishing, entry, choose(publishing, entry))
                                        : -EBADMSG;
    if (error)
      return failure_set(publishing->failure, error,
                         "cannot publish entry %llu of the journal: %s", (unsigned long long)seq,
                         strerror(-error));
  }
}

/* The results of what has happened, after all entries: an inner call's before an outer one's. */
static int write_resolved(struct publishing *publishing)
{
  const struct analysis *analysis = publishing->analysis;
  uint64_t position = analysis->end_position;
  for (size_t i = analysis->open_count; i-- > 0;) {
    const struct open_intent *intent = analysis->open[i];
    if (!intent->settled)
      continue;
    struct journal_entry result = {
        .position = position,
        .size = sizeof result,
        .stream = intent->entry->stream,
        .call = intent->entry->call,
        .kind = JOURNAL_RESULT,
        .arg_count = JOURNAL_FLAG_RESOLVED,
        .result = intent->result,
        .signature = intent->entry->signature,
        .time_ns = intent->entry->time_ns,
    };
    result.checksum = journal_checksum(&result);
    int error = feed_writer_put(&publishing->entries, &result, sizeof result);
    if (error)
      return error;
    position += sizeof result;
  }
  return 0;
}

/* All offsets behind the entries. */
static int lay_out_rest(struct publishing *publishing)
{
  struct feed_header *header = &publishing->header;
  const struct analysis *analysis = publishing->analysis;
  header->blobs_offset = header->entries_end;
  uint64_t offset = header->blobs_offset;
  for (uint32_t i = 0; i < analysis->old.record_count; i++)
    if (publishing->blob_offsets[i] != NOT_NEEDED) {
      publishing->blob_offsets[i] = offset;
      offset += journal_padded(analysis->old.records[i].length);
    }
  header->files_offset = offset;
  header->file_count = publishing->files.count;
  header->strings_offset =
      offset + (header->file_count + publishing->files.kept_count) * sizeof(struct feed_file);
  header->size = header->strings_offset + publishing->files.strings_length;
  feed_files_place(&publishing->files, header->strings_offset);
  return feed_writer_begin(&publishing->blobs, publishing->entries.fd, header->blobs_offset);
}

static uint32_t count_resolved(const struct analysis *analysis)
{
  uint32_t count = 0;
  for (size_t i = 0; i < analysis->open_count; i++)
    count += analysis->open[i]->settled;
  return count;
}

static int write_measured(struct publishing *publishing)
{
  struct feed_header *header = &publishing->header;
  uint32_t resolved = count_resolved(publishing->analysis);
  int error = walk(publishing, measure);
  if (error)
    return error;
  header->entries_end += resolved * sizeof(struct journal_entry);
  header->entry_count += resolved;
  error = lay_out_rest(publishing);
  if (!error)
    error = feed_writer_begin(&publishing->entries, publishing->entries.fd, header->entries_offset);
  if (!error)
    error = walk(publishing, write_entry);
  return error ? error : write_resolved(publishing);
}

static int write_straight(struct publishing *publishing)
{
  struct feed_header *header = &publishing->header;
  int error = feed_writer_begin(&publishing->entries, publishing->entries.fd, header->entries_offset);
  if (!error)
    error = walk(publishing, write_and_count);
  if (!error)
    error = write_resolved(publishing);
  if (error)
    return error;
  header->entries_end = publishing->entries.offset;
  header->entry_count += count_resolved(publishing->analysis);
  return lay_out_rest(publishing);
}

/* Everything behind the blobs, and the header. */
static int write_rest(struct publishing *publishing)
{
  const struct feed_header *header = &publishing->header;
  const struct feed_files *files = &publishing->files;
  if (publishing->entries.offset != header->entries_end ||
      publishing->blobs.offset != header->files_offset)
    return -EBADMSG;
  int error = feed_writer_put(&publishing->blobs, files->files,
                              (files->count + files->kept_count) * sizeof *files->files);
  if (!error)
    error = feed_writer_put(&publishing->blobs, files->strings, files->strings_length);
  if (!error)
    error = feed_writer_flush(&publishing->blobs);
  if (!error)
    error = feed_writer_flush(&publishing->entries);
  if (error)
    return error;
  ssize_t done = pwrite(publishing->entries.fd, header, sizeof *header, 0);
  return done == sizeof *header ? 0 : done < 0 ? -errno : -EIO;
}

static int publish(struct publishing *publishing, const char *kept_directory)
{
  const struct analysis *analysis = publishing->analysis;
  uint32_t records = analysis->old.record_count;
  publishing->blob_offsets = malloc((records + 1) * sizeof *publishing->blob_offsets);
  if (!publishing->blob_offsets)
    return -ENOMEM;
  memset(publishing->blob_offsets, 0xff, records * sizeof *publishing->blob_offsets);
  int error = analysis_settle(publishing->analysis, publishing->verdicts,
                              publishing->verdict_count);
  if (!error)
    error = feed_files_list(&publishing->files, analysis, kept_directory);
  if (!error)
    error = keeps_old(publishing) ? write_measured(publishing) : write_straight(publishing);
  return error ? error : write_rest(publishing);
}

int recover_write_feed(struct analysis *analysis, const struct entry_source *source,
                       const struct verdict *verdicts, size_t verdict_count,
                       const char *kept_directory, int fd, uint64_t *ret_size,
                       struct failure *failure)
{
  struct failure said = {0};
  struct publishing publishing = {
      .analysis = analysis,
      .source = source,
      .verdicts = verdicts,
      .verdict_count = verdict_count,
      .failure = &said,
      .entries.fd = fd,
      .header = {.magic = FEED_MAGIC,
                 .version = JOURNAL_VERSION,
                 .header_size = sizeof(struct feed_header),
                 .entries_offset = sizeof(struct feed_header),
                 .entries_end = sizeof(struct feed_header)},
  };
  int error = publish(&publishing, kept_directory);
  if (error && said.text[0])
    failure_set(failure, error, "%s", said.text);
  else if (error)
    failure_set(failure, error, "cannot write the replay feed: %s", strerror(-error));
  else
    *ret_size = publishing.header.size;
  feed_writer_release(&publishing.entries);
  feed_writer_release(&publishing.blobs);
  feed_files_release(&publishing.files);
  free(publishing.pieces.pieces);
  free(publishing.blob_offsets);
  free(publishing.entry);
  return error;
}
