/* SPDX-License-Identifier: Apache-2.0 */
/* A libFuzzer target: any bytes as a journal, through validation, analysis, looking and publishing.
 *
 * Input: WORLD_SIZE bytes that decide what the world answers, then entries, whose position is where
 * they lie behind those. What is not a valid entry is a gap, as in a tail. The mutator repairs
 * frames, positions and checksums after most of its changes, so that the meaning is what is tested.
 *
 * What is published is checked: every entry in the feed is valid, extents add up and lie inside. */
#include "supervisor/analysis.h"
#include "supervisor/entry_source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/hash.h"
#include "tests/fuzz/fuzz_journal.h"

struct input {
  const uint8_t *entries; /* aligned */
  size_t length;
  const uint8_t *world;
  unsigned answer; /* number of the next one */
  size_t cursor;
  uint64_t seq;
};

/* ---- entries ---- */

static int input_rewind(void *context, struct failure *failure)
{
  struct input *input = context;
  input->cursor = 0;
  input->seq = 0;
  return 0;
}

static int input_next(void *context, const struct journal_entry **ret_entry, uint64_t *ret_seq,
                      struct failure *failure)
{
  struct input *input = context;
  *ret_entry = NULL;
  while (input->cursor < input->length &&
         !journal_entry_valid(input->entries + input->cursor, input->length - input->cursor,
                              input->cursor))
    input->cursor += 8;
  if (input->cursor >= input->length)
    return 0;
  *ret_entry = (const struct journal_entry *)(input->entries + input->cursor);
  *ret_seq = ++input->seq;
  input->cursor += (*ret_entry)->size;
  return 0;
}

/* ---- the world ---- */

static uint8_t answer(struct input *input)
{
  return input->world[input->answer++ % WORLD_SIZE];
}

/* One of the files that the journal itself speaks of, so that identities agree now and then. */
static bool some_file(struct input *input, unsigned number, struct journal_file *ret_file)
{
  struct input again = *input;
  const struct journal_entry *entry;
  uint64_t seq;
  unsigned count = 0;
  input_rewind(&again, NULL);
  while (input_next(&again, &entry, &seq, NULL) == 0 && entry) {
    const struct journal_segment *segment = entry_segments(entry);
    for (; segment; segment = journal_next_segment(entry, segment))
      if (segment->type == SEGMENT_FILE && segment->length == sizeof *ret_file) {
        memcpy(ret_file, segment->data, sizeof *ret_file);
        if (count++ == number)
          return true;
      }
  }
  return count > 0;
}

static int input_look(void *context, const char *path, struct journal_file *ret_file)
{
  static const int errors[] = {-ENOENT, -ENOTDIR, -EACCES, -EIO};
  struct input *input = context;
  uint8_t kind = answer(input);
  assert(path[0] == '/');
  if (kind < 96)
    return errors[kind / 4 % 4];
  memset(ret_file, 0, sizeof *ret_file);
  some_file(input, kind % 16, ret_file);
  if (kind >= 160)
    ret_file->size += answer(input) % 9;
  return 0;
}

static int input_look_link(void *context, const char *path, char *ret_target, size_t size)
{
  if (answer(context) < 64)
    return -EINVAL;
  snprintf(ret_target, size, "target");
  return 0;
}

static int input_hash(void *context, const char *path, uint64_t offset, uint64_t length,
                      uint64_t *ret_hash)
{
  assert(offset <= INT64_MAX && length <= INT64_MAX - offset);
  if (answer(context) < 64)
    return -ENODATA;
  /* What the seeds' appends write. */
  *ret_hash = answer(context) < 128 ? journal_hash("line", 4) : 0;
  return 0;
}

static int input_look_attribute(void *context, const char *path, const char *name, bool follow)
{
  return answer(context) % 3 ? 1 : 0;
}

static int input_cut(void *context, const char *path, uint64_t size)
{
  assert(size <= INT64_MAX);
  return answer(context) < 16 ? -EROFS : 0;
}

static int input_remove(void *context, const char *path)
{
  return answer(context) < 16 ? -ENOENT : 0;
}

/* ---- what is published ---- */

static void check_extents(const struct feed_header *header, const struct journal_segment *reference,
                          const struct journal_segment *segment)
{
  const struct feed_extent *extents = (const struct feed_extent *)segment->data;
  uint64_t total = 0, rows = (header->strings_offset - header->files_offset) / sizeof(struct feed_file);
  assert(segment->length % sizeof *extents == 0 && segment->arg == reference->arg);
  for (size_t i = 0; i < segment->length / sizeof *extents; i++) {
    total += extents[i].length;
    if (extents[i].source == FEED_SOURCE_BLOB)
      assert(extents[i].offset >= header->blobs_offset &&
             extents[i].offset + extents[i].length <= header->files_offset);
    else if (extents[i].source == FEED_SOURCE_KEPT)
      assert(extents[i].zero >= header->file_count && extents[i].zero < rows);
    else
      assert(extents[i].source == FEED_SOURCE_FILE);
  }
  assert(total == ((const struct journal_reference *)reference->data)->length);
}

static void check_entry(const struct feed_header *header, const struct journal_entry *entry)
{
  assert(entry->size > JOURNAL_ENTRY_SIZE_MAX ||
         journal_entry_valid(entry, entry->size, entry->position));
  assert(entry->kind != JOURNAL_ATTEMPT && entry->kind != JOURNAL_NOTE && entry->kind != JOURNAL_KEEP &&
         entry->kind != JOURNAL_RESOLVE);
  const struct journal_segment *segment = entry_segments(entry), *before = NULL;
  for (; segment; before = segment, segment = journal_next_segment(entry, segment))
    if (segment->type == SEGMENT_EXTENTS) {
      assert(before && before->type == SEGMENT_REFERENCE);
      check_extents(header, before, segment);
    }
}

static void check_feed(int fd, uint64_t size)
{
  const uint8_t *feed = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  assert(feed != MAP_FAILED);
  const struct feed_header *header = (const struct feed_header *)feed;
  assert(header->size == size && header->entries_end <= header->blobs_offset &&
         header->blobs_offset <= header->files_offset &&
         header->files_offset <= header->strings_offset && header->strings_offset <= size);
  uint64_t count = 0;
  for (uint64_t at = header->entries_offset; at < header->entries_end; count++) {
    const struct journal_entry *entry = (const struct journal_entry *)(feed + at);
    check_entry(header, entry);
    at += entry->size;
  }
  assert(count == header->entry_count);
  const struct feed_file *files = (const struct feed_file *)(feed + header->files_offset);
  for (uint64_t i = 0; i < header->file_count; i++) {
    assert(files[i].path == 0 || (files[i].path >= header->strings_offset && files[i].path < size));
    assert(files[i].path == 0 || feed[files[i].path] == '/');
    assert(files[i].primary < header->file_count);
    assert(files[i].primary == 0 || files[i].flags & FEED_FILE_REBORN);
  }
  munmap((void *)feed, size);
}

static void recover(struct input *input, struct analysis *analysis)
{
  struct world world = {input_look, input_look_link, input_hash, input_look_attribute, input_cut, input_remove, input};
  struct entry_source source = {input_rewind, input_next, input};
  struct verdict *verdicts;
  struct failure failure;
  size_t count;
  static int fd = -1;
  if (recover_look(analysis, &world, &verdicts, &count, &failure) != 0)
    return;
  if (fd < 0)
    fd = memfd_create("feed", MFD_CLOEXEC);
  assert(fd >= 0 && ftruncate(fd, 0) == 0);
  uint64_t size;
  int error = recover_write_feed(analysis, &source, verdicts, count, "/kept", fd, &size, &failure);
  /* Settling may find that renames that cannot both have happened did. Nothing else may fail. */
  assert(error == 0 || error == -EBADMSG);
  if (!error)
    check_feed(fd, size);
  free(verdicts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct analysis *analysis;
  struct failure failure;
  const struct journal_entry *entry;
  uint64_t seq;
  if (size < WORLD_SIZE)
    return 0;
  size_t length = size - WORLD_SIZE;
  uint8_t *entries = malloc(length + 1);
  assert(entries && analysis_create(&analysis) == 0);
  memcpy(entries, data + WORLD_SIZE, length);
  struct input input = {.entries = entries, .length = length, .world = data};
  int error = 0;
  while (!error && input_next(&input, &entry, &seq, NULL) == 0 && entry)
    error = analysis_add(analysis, entry, seq, &failure);
  if (!error && analysis_end(analysis, &failure) == 0)
    recover(&input, analysis);
  analysis_free(analysis);
  free(entries);
  return 0;
}
