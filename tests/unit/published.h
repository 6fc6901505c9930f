/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes journals that a test has built in memory, and looks at the feed that comes of it. */
#ifndef PERDURE_TESTS_UNIT_PUBLISHED_H
#define PERDURE_TESTS_UNIT_PUBLISHED_H

#include "tests/unit/tap.h"

#include "tests/unit/entries.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/mman.h>

static struct built_journal journal;
static struct analysis *analysis;
static uint8_t *feed;
static uint64_t feed_size;
static struct failure failure;

static const struct feed_header *header(void)
{
  return (const struct feed_header *)feed;
}

static int publish_verdicts(const struct verdict *verdicts, size_t count)
{
  struct entry_source source = built_source(&journal);
  int fd = memfd_create("feed", MFD_CLOEXEC);
  assert(fd >= 0);
  analysis = built_analyse(&journal);
  int error = recover_write_feed(analysis, &source, verdicts, count, "/run/kept", fd, &feed_size,
                                 &failure);
  if (!error) {
    struct stat status;
    assert(fstat(fd, &status) == 0 && (uint64_t)status.st_size == feed_size);
    feed = malloc(feed_size);
    assert(feed && pread(fd, feed, feed_size, 0) == (ssize_t)feed_size);
  }
  close(fd);
  return error;
}

/* Publishes with that verdict for all that is open. */
static void publish(enum verdict_kind kind, int64_t result)
{
  struct analysis *first = built_analyse(&journal);
  struct verdict verdicts[8];
  size_t count = first->open_count;
  assert(count <= 8);
  for (size_t i = 0; i < count; i++)
    verdicts[i] = (struct verdict){.position = first->open[i]->entry->position,
                                   .stream = first->open[i]->entry->stream,
                                   .call = first->open[i]->entry->call,
                                   .kind = kind,
                                   .result = result};
  analysis_free(first);
  if (publish_verdicts(verdicts, count) != 0) {
    fprintf(stderr, "%s\n", failure.text);
    abort();
  }
}

static void done(void)
{
  free(feed);
  feed = NULL;
  analysis_free(analysis);
  built_release(&journal);
}

/* Entry number `n` of the feed, from 0, or NULL. All must be valid but for their length. */
static const struct journal_entry *nth(unsigned n)
{
  uint64_t offset = header()->entries_offset;
  for (; offset < header()->entries_end; n--) {
    const struct journal_entry *entry = (const struct journal_entry *)(feed + offset);
    assert(entry->size <= header()->entries_end - offset);
    assert(entry->size > JOURNAL_ENTRY_SIZE_MAX ||
           journal_entry_valid(entry, entry->size, entry->position));
    if (n == 0)
      return entry;
    offset += entry->size;
  }
  return NULL;
}

/* "IR" and so on: the kinds of all entries, as letters. */
static const char *kinds(void)
{
  static char letters[64];
  const struct journal_entry *entry;
  unsigned i = 0;
  for (; i < sizeof letters - 1 && (entry = nth(i)); i++)
    letters[i] = "?CIRDKSEAN"[entry->kind];
  letters[i] = '\0';
  assert(header()->entry_count == i);
  return letters;
}

static bool is(const char *expected)
{
  const char *found = kinds();
  if (strcmp(found, expected) == 0)
    return true;
  tap_note("the feed holds %s", found);
  return false;
}

static const struct feed_file *file_row(struct journal_file file)
{
  const struct feed_file *rows = (const struct feed_file *)(feed + header()->files_offset);
  for (uint64_t i = 0; i < header()->file_count; i++)
    if (rows[i].device == file.device && rows[i].inode == file.inode &&
        rows[i].birth_ns == file.birth_ns)
      return &rows[i];
  return NULL;
}

static bool path_is(const struct feed_file *row, const char *path)
{
  return row && row->path && strcmp((const char *)feed + row->path, path) == 0;
}

#endif
