/* SPDX-License-Identifier: Apache-2.0 */
/* A journal in memory, entry by entry, for the tests of recovery.
 *
 *   build(&journal, 0, SYS_rename, JOURNAL_INTENT, 0);
 *   build_path(&journal, 0, "/a");
 *   uint64_t position = build_end(&journal);
 *
 * Arguments (build_args) come before segments. */
#ifndef PERDURE_TESTS_UNIT_ENTRIES_H
#define PERDURE_TESTS_UNIT_ENTRIES_H

#include "supervisor/analysis.h"
#include "supervisor/entry_source.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "journal/hash.h"

#define TEST_TIME_NS 1700000000000000000u
#define TEST_DEVICE 0x800000001u

struct built_journal {
  uint8_t *bytes;
  size_t length, room;
  size_t open; /* where the entry that is being built begins */
  uint64_t count;
  size_t cursor;   /* of the source */
  uint64_t cursor_seq;
};

static inline void *build_room(struct built_journal *journal, size_t length)
{
  if (length > journal->room - journal->length) {
    journal->room = journal->room * 2 + length;
    journal->bytes = realloc(journal->bytes, journal->room);
    assert(journal->bytes);
  }
  void *room = journal->bytes + journal->length;
  memset(room, 0, length);
  journal->length += length;
  return room;
}

static inline struct journal_entry *build_entry(struct built_journal *journal)
{
  return (struct journal_entry *)(journal->bytes + journal->open);
}

static inline void build(struct built_journal *journal, uint32_t stream, unsigned call,
                         unsigned kind, int64_t result)
{
  journal->open = journal->length;
  struct journal_entry *entry = build_room(journal, sizeof *entry);
  entry->position = journal->open;
  entry->stream = stream;
  entry->call = (uint16_t)call;
  entry->kind = (uint8_t)kind;
  entry->result = result;
  entry->signature = call * 1000 + stream + 1;
  entry->time_ns = TEST_TIME_NS + journal->count * 1000;
}

static inline void build_arg(struct built_journal *journal, uint64_t value)
{
  uint64_t *place = build_room(journal, sizeof value);
  *place = value;
  build_entry(journal)->arg_count++;
}

static inline void build_args(struct built_journal *journal, unsigned count, const uint64_t *values)
{
  for (unsigned i = 0; i < count; i++)
    build_arg(journal, values[i]);
}
#define BUILD_ARGS(journal, ...)                                               \
  build_args(journal, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),    \
             (uint64_t[]){__VA_ARGS__})

static inline void build_segment2(struct built_journal *journal, unsigned type, unsigned arg,
                                  const void *data, size_t length, const void *data2,
                                  size_t length2)
{
  struct journal_segment *segment =
      build_room(journal, sizeof *segment + journal_padded(length + length2));
  segment->type = (uint16_t)type;
  segment->arg = (uint8_t)arg;
  segment->length = (uint32_t)(length + length2);
  if (length)
    memcpy(segment->data, data, length);
  if (length2)
    memcpy(segment->data + length, data2, length2);
}

static inline void build_segment(struct built_journal *journal, unsigned type, unsigned arg,
                                 const void *data, size_t length)
{
  build_segment2(journal, type, arg, data, length, NULL, 0);
}

static inline void build_path(struct built_journal *journal, unsigned arg, const char *path)
{
  build_segment(journal, SEGMENT_FULL_PATH, arg, path, strlen(path));
}

static inline void build_file(struct built_journal *journal, unsigned arg, struct journal_file file)
{
  build_segment(journal, SEGMENT_FILE, arg, &file, sizeof file);
}

/* Finishes the entry; returns its position. */
static inline uint64_t build_end(struct built_journal *journal)
{
  struct journal_entry *entry = build_entry(journal);
  entry->size = (uint32_t)(journal->length - journal->open);
  entry->checksum = journal_checksum(entry);
  journal->count++;
  return entry->position;
}

static inline void built_release(struct built_journal *journal)
{
  free(journal->bytes);
  memset(journal, 0, sizeof *journal);
}

/* ---- files ---- */

static inline struct journal_file a_file(uint64_t inode)
{
  return (struct journal_file){.device = TEST_DEVICE,
                               .inode = inode,
                               .birth_ns = TEST_TIME_NS - 1000000000u + inode,
                               .mode = S_IFREG | 0644,
                               .link_count = 1};
}

static inline struct journal_file a_directory(uint64_t inode)
{
  struct journal_file file = a_file(inode);
  file.mode = S_IFDIR | 0755;
  file.link_count = 2;
  return file;
}

/* ---- whole entries ---- */

static inline uint64_t build_attempt(struct built_journal *journal, int64_t number)
{
  build(journal, 0, 1026, JOURNAL_ATTEMPT, number);
  return build_end(journal);
}

static inline uint64_t build_result(struct built_journal *journal, uint32_t stream, unsigned call,
                                    int64_t result)
{
  build(journal, stream, call, JOURNAL_RESULT, result);
  return build_end(journal);
}

static inline uint64_t build_resolved(struct built_journal *journal, uint32_t stream, unsigned call,
                                      int64_t result)
{
  build(journal, stream, call, JOURNAL_RESULT, result);
  build_entry(journal)->arg_count |= JOURNAL_FLAG_RESOLVED;
  return build_end(journal);
}

static inline uint64_t build_complete(struct built_journal *journal, uint32_t stream, unsigned call,
                                      int64_t result)
{
  build(journal, stream, call, JOURNAL_COMPLETE, result);
  return build_end(journal);
}

/* An open that changes nothing. */
static inline uint64_t build_open(struct built_journal *journal, uint32_t stream, int fd,
                                  const char *path, struct journal_file file)
{
  build(journal, stream, SYS_openat, JOURNAL_COMPLETE, fd);
  BUILD_ARGS(journal, (uint64_t)AT_FDCWD, 0, O_RDONLY);
  build_file(journal, 0, file);
  if (path)
    build_path(journal, 0, path);
  return build_end(journal);
}

static inline uint64_t build_open_intent(struct built_journal *journal, uint32_t stream,
                                         const char *path, uint64_t flags,
                                         const struct journal_file *before)
{
  build(journal, stream, SYS_openat, JOURNAL_INTENT, 0);
  BUILD_ARGS(journal, (uint64_t)AT_FDCWD, 0, flags, 0644);
  build_path(journal, 1, path);
  if (before)
    build_file(journal, 1, *before);
  return build_end(journal);
}

static inline uint64_t build_open_result(struct built_journal *journal, uint32_t stream, int fd,
                                         const char *path, struct journal_file file)
{
  build(journal, stream, SYS_openat, JOURNAL_RESULT, fd);
  build_file(journal, 0, file);
  if (path)
    build_path(journal, 0, path);
  return build_end(journal);
}

/* The intent of a call with one path, its argument 0. */
static inline uint64_t build_path_intent(struct built_journal *journal, uint32_t stream,
                                         unsigned call, const char *path,
                                         const struct journal_file *before)
{
  build(journal, stream, call, JOURNAL_INTENT, 0);
  BUILD_ARGS(journal, 0x1000, 0, 0);
  build_path(journal, 0, path);
  if (before)
    build_file(journal, 0, *before);
  return build_end(journal);
}

/* rename, link (arguments 0, 1), renameat2 (1, 3), linkat (1, 3). */
static inline uint64_t build_two_paths_intent(struct built_journal *journal, uint32_t stream,
                                              unsigned call, const char *from,
                                              const struct journal_file *source, const char *to,
                                              const struct journal_file *target, uint64_t flags)
{
  bool at = call == SYS_renameat2 || call == SYS_linkat;
  build(journal, stream, call, JOURNAL_INTENT, 0);
  BUILD_ARGS(journal, 0, 0, 0, 0, flags);
  build_path(journal, at ? 1 : 0, from);
  if (source)
    build_file(journal, at ? 1 : 0, *source);
  build_path(journal, at ? 3 : 1, to);
  if (target)
    build_file(journal, at ? 3 : 1, *target);
  return build_end(journal);
}

static inline void build_rename(struct built_journal *journal, uint32_t stream, const char *from,
                                const struct journal_file *source, const char *to,
                                const struct journal_file *target)
{
  build_two_paths_intent(journal, stream, SYS_rename, from, source, to, target, 0);
  build_result(journal, stream, SYS_rename, 0);
}

static inline uint64_t build_write_intent(struct built_journal *journal, uint32_t stream,
                                          struct journal_file file, int64_t offset,
                                          const void *bytes, size_t length, bool append)
{
  struct journal_written written = {.device = file.device,
                                    .inode = file.inode,
                                    .birth_ns = file.birth_ns,
                                    .offset = offset,
                                    .length = length,
                                    .hash = append ? journal_hash(bytes, length) : 0,
                                    .append = append};
  build(journal, stream, SYS_write, JOURNAL_INTENT, 0);
  BUILD_ARGS(journal, 1, 0x1000, length);
  build_segment(journal, SEGMENT_WRITTEN, 0, &written, sizeof written);
  build_segment(journal, SEGMENT_INPUT, 1, bytes, length < 32 ? length : 32);
  return build_end(journal);
}

static inline uint64_t build_reference(struct built_journal *journal, uint32_t stream,
                                       struct journal_file file, uint64_t offset, uint64_t length)
{
  struct journal_reference reference = {.device = file.device,
                                        .inode = file.inode,
                                        .birth_ns = file.birth_ns,
                                        .offset = offset,
                                        .length = length,
                                        .hash = 1};
  build(journal, stream, SYS_pread64, JOURNAL_COMPLETE, (int64_t)length);
  BUILD_ARGS(journal, 3, 0x1000, length, offset);
  build_segment(journal, SEGMENT_REFERENCE, 1, &reference, sizeof reference);
  return build_end(journal);
}

/* A KEEP that says: `before`, which had no name, goes on as `now`. */
static inline void build_reborn(struct built_journal *journal, uint32_t stream,
                                struct journal_file before, struct journal_file now)
{
  build(journal, stream, 1026, JOURNAL_KEEP, 0);
  build_segment(journal, SEGMENT_FILE, 0, &before, sizeof before);
  build_segment(journal, SEGMENT_FILE, 1, &now, sizeof now);
  build_end(journal);
}

/* A KEEP of `length` old bytes, each of them `fill`. */
static inline uint64_t build_old(struct built_journal *journal, uint32_t stream,
                                 struct journal_file file, uint64_t offset, char fill,
                                 size_t length)
{
  struct journal_old old = {file.device, file.inode, file.birth_ns, offset};
  char *bytes = malloc(length + 1);
  assert(bytes);
  memset(bytes, fill, length);
  build(journal, stream, 1026, JOURNAL_KEEP, 0);
  build_segment2(journal, SEGMENT_OLD, 0, &old, sizeof old, bytes, length);
  free(bytes);
  return build_end(journal);
}

static inline uint64_t build_kept(struct built_journal *journal, uint32_t stream,
                                  struct journal_file file, const char *name)
{
  struct journal_kept kept = {file.device, file.inode, file.birth_ns};
  build(journal, stream, 1026, JOURNAL_KEEP, 0);
  build_segment2(journal, SEGMENT_KEPT, 0, &kept, sizeof kept, name, strlen(name));
  return build_end(journal);
}

static inline uint64_t build_data(struct built_journal *journal, uint32_t stream, unsigned call,
                                  const void *bytes, size_t length)
{
  build(journal, stream, call, JOURNAL_DATA, 0);
  build_segment(journal, SEGMENT_OUTPUT, 1, bytes, length);
  return build_end(journal);
}

static inline uint64_t build_source_read(struct built_journal *journal, uint32_t stream,
                                         struct journal_file file, const void *bytes, size_t length)
{
  struct journal_source source = {file.device, file.inode};
  build(journal, stream, SYS_read, JOURNAL_COMPLETE, (int64_t)length);
  BUILD_ARGS(journal, 0, 0x1000, 65536);
  build_segment(journal, SEGMENT_SOURCE, 0, &source, sizeof source);
  build_segment(journal, SEGMENT_OUTPUT, 1, bytes, length);
  return build_end(journal);
}

static inline void build_descriptor(struct built_journal *journal, int fd, struct journal_file file,
                                    uint64_t offset)
{
  struct journal_descriptor descriptor = {.fd = fd, .offset = offset, .file = file};
  build_segment(journal, SEGMENT_DESCRIPTOR, 0, &descriptor, sizeof descriptor);
}

static inline uint64_t build_sleep_intent(struct built_journal *journal, uint32_t stream)
{
  struct journal_deadline deadline = {.boot_ns = 5, .real_ns = 6, .duration_ns = 7};
  build(journal, stream, SYS_nanosleep, JOURNAL_INTENT, 0);
  BUILD_ARGS(journal, 0x1000, 0);
  build_segment(journal, SEGMENT_DEADLINE, 0, &deadline, sizeof deadline);
  return build_end(journal);
}

/* ---- reading them ---- */

static inline int built_rewind(void *context, struct failure *failure)
{
  struct built_journal *journal = context;
  journal->cursor = 0;
  journal->cursor_seq = 0;
  return 0;
}

static inline int built_next(void *context, const struct journal_entry **ret_entry,
                             uint64_t *ret_seq, struct failure *failure)
{
  struct built_journal *journal = context;
  *ret_entry = NULL;
  if (journal->cursor == journal->length)
    return 0;
  const struct journal_entry *entry = (const struct journal_entry *)(journal->bytes + journal->cursor);
  assert(journal_entry_valid(entry, journal->length - journal->cursor, journal->cursor));
  journal->cursor += entry->size;
  *ret_entry = entry;
  *ret_seq = ++journal->cursor_seq;
  return 0;
}

static inline struct entry_source built_source(struct built_journal *journal)
{
  return (struct entry_source){built_rewind, built_next, journal};
}

/* 0 and the finished analysis, or its error and *ret_failure. */
static inline int built_try_analyse(struct built_journal *journal, struct analysis **ret_analysis,
                                    struct failure *ret_failure)
{
  struct analysis *analysis;
  const struct journal_entry *entry;
  uint64_t seq;
  assert(analysis_create(&analysis) == 0);
  built_rewind(journal, NULL);
  int error = 0;
  while (!error && built_next(journal, &entry, &seq, NULL) == 0 && entry)
    error = analysis_add(analysis, entry, seq, ret_failure);
  if (!error)
    error = analysis_end(analysis, ret_failure);
  if (error)
    analysis_free(analysis);
  else
    *ret_analysis = analysis;
  return error;
}

static inline struct analysis *built_analyse(struct built_journal *journal)
{
  struct analysis *analysis = NULL;
  struct failure failure = {0};
  int error = built_try_analyse(journal, &analysis, &failure);
  if (error)
    fprintf(stderr, "%s\n", failure.text);
  assert(!error);
  return analysis;
}

#endif
