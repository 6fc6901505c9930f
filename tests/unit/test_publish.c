/* SPDX-License-Identifier: Apache-2.0 */
/* The replay feed: which entries are in it, where referenced bytes lie, and where files are. */
#include "tests/unit/published.h"

/* ---- entries ---- */

static void test_entries(void)
{
  build_attempt(&journal, 1);
  build(&journal, 0, 1025, JOURNAL_START, 0);
  build_end(&journal);
  build(&journal, 0, 1026, JOURNAL_NOTE, 0);
  build_end(&journal);
  build_data(&journal, 0, SYS_read, "ab", 2);
  uint64_t position = build_complete(&journal, 0, SYS_read, 2);
  build_old(&journal, 0, a_file(1), 0, 'x', 10);
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_result(&journal, 0, SYS_mkdir, 0);
  build(&journal, 0, SYS_exit_group, JOURNAL_EXIT, 0);
  build_end(&journal);
  publish(VERDICT_REPEAT, 0);
  tap_ok(is("SDCIRE") && nth(2)->position == position,
         "what is replayed is in the feed, in order and as it was; the rest is not");
  tap_ok(memcmp(header()->magic, FEED_MAGIC, 8) == 0 && header()->version == JOURNAL_VERSION &&
             header()->size == feed_size && header()->files_offset % 8 == 0,
         "the header says where all is");
  done();

  publish(VERDICT_REPEAT, 0);
  tap_ok(is("") && header()->file_count == 0, "the feed of an empty journal is empty");
  done();

  build_complete(&journal, 0, SYS_getpid, 1);
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  publish(VERDICT_REPEAT, 0);
  tap_ok(is("C"), "an intent that is repeated is left out");
  done();

  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_complete(&journal, 1, SYS_getpid, 1);
  publish(VERDICT_HAPPENED, 7);
  const struct journal_entry *result = nth(2);
  tap_ok(is("ICR") && result->result == 7 && result->stream == 0 && result->call == SYS_mkdir &&
             result->arg_count == JOURNAL_FLAG_RESOLVED &&
             result->position >= analysis->end_position,
         "of one that happened intent and result are there, the result at the end");
  done();

  build_sleep_intent(&journal, 0);
  publish(VERDICT_REPEAT, 0);
  tap_ok(is("I") && nth(0)->arg_count == (2 | JOURNAL_FLAG_UNFINISHED) &&
             journal_find_segment(nth(0), SEGMENT_DEADLINE, -1),
         "a sleep stays, with its deadline, flagged as unfinished");
  done();

  build(&journal, 0, SYS_connect, JOURNAL_INTENT, 0);
  build_end(&journal);
  publish(VERDICT_UNKNOWN, 0);
  tap_ok(is("I") && nth(0)->arg_count == JOURNAL_FLAG_UNFINISHED,
         "an intent of unknown outcome stays, flagged as unfinished");
  done();

  build_data(&journal, 0, SYS_mkdir, "aa", 2);
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_complete(&journal, 0, SYS_getpid, 1);
  build_data(&journal, 0, SYS_mkdir, "bb", 2);
  build_path_intent(&journal, 0, SYS_mkdir, "/e", NULL);
  build_data(&journal, 1, SYS_read, "cc", 2);
  publish(VERDICT_REPEAT, 0);
  tap_ok(is("C"), "dropped and repeated intents, and DATA that is for nothing, are left out");
  done();

  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_resolved(&journal, 0, SYS_mkdir, 0);
  build_path_intent(&journal, 0, SYS_mkdir, "/e", NULL);
  build_attempt(&journal, 3);
  build_path_intent(&journal, 0, SYS_mkdir, "/e", NULL);
  build_result(&journal, 0, SYS_mkdir, 0);
  publish(VERDICT_REPEAT, 0);
  tap_ok(is("IRIR"), "after two restarts each change is in the feed once");
  done();

  build_complete(&journal, 0, SYS_getpid, 1);
  built_release(&journal);
  build_complete(&journal, 0, SYS_getpid, 1);
  struct built_journal other = {0};
  build_old(&other, 0, a_file(1), 0, 'x', 10);
  struct entry_source source = built_source(&other);
  analysis = built_analyse(&journal);
  int fd = memfd_create("feed", MFD_CLOEXEC);
  uint64_t size;
  tap_ok(recover_write_feed(analysis, &source, NULL, 0, "/run/kept", fd, &size, &failure) == -EBADMSG,
         "other entries than were analysed are refused");
  close(fd);
  built_release(&other);
  done();
}

/* ---- referenced bytes ---- */

/* The bytes that the reference in entry `n` gives, where the file holds '.' and each kept copy 'k'. */
static const char *bytes_of(unsigned n)
{
  static char bytes[65536];
  const struct journal_entry *entry = nth(n);
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_REFERENCE, -1);
  struct journal_reference reference;
  memcpy(&reference, segment->data, sizeof reference);
  assert(reference.length < sizeof bytes);
  memset(bytes, '.', reference.length);
  bytes[reference.length] = '\0';
  const struct journal_segment *next = journal_next_segment(entry, segment);
  if (!next || next->type != SEGMENT_EXTENTS)
    return bytes;
  assert(next->arg == segment->arg);
  const struct feed_extent *extents = (const struct feed_extent *)next->data;
  uint64_t at = 0;
  for (size_t i = 0; i < next->length / sizeof *extents; at += extents[i++].length) {
    assert(at + extents[i].length <= reference.length);
    if (extents[i].source == FEED_SOURCE_BLOB) {
      assert(extents[i].offset >= header()->blobs_offset &&
             extents[i].offset + extents[i].length <= header()->files_offset);
      memcpy(bytes + at, feed + extents[i].offset, extents[i].length);
      continue;
    }
    assert(extents[i].offset == reference.offset + at);
    if (extents[i].source == FEED_SOURCE_KEPT)
      memset(bytes + at, 'k', extents[i].length);
  }
  assert(at == reference.length);
  return bytes;
}

static bool gives(unsigned n, const char *expected)
{
  const char *found = bytes_of(n);
  if (strcmp(found, expected) == 0)
    return true;
  tap_note("the reference gives %s", found);
  return false;
}

static void test_references(void)
{
  struct journal_file one = a_file(1), two = a_file(2), again = a_file(1);
  again.birth_ns++;
  build_reference(&journal, 0, one, 10, 8);
  publish(VERDICT_REPEAT, 0);
  tap_ok(nth(0)->size == analysis->end_position && gives(0, "........"),
         "a reference to bytes that have not changed has no extents");
  done();

  build_old(&journal, 0, one, 10, 'z', 8);
  build_reference(&journal, 0, one, 10, 8);
  build_old(&journal, 0, two, 10, 'y', 8);
  build_old(&journal, 0, again, 10, 'x', 8);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(0, "........"), "what was kept before the read, and of other files, does not matter");
  tap_ok(header()->files_offset == header()->blobs_offset, "nor is it in the feed");
  done();

  build_reference(&journal, 0, one, 10, 8);
  build_old(&journal, 0, one, 12, 'a', 3);
  build_old(&journal, 0, one, 11, 'b', 10);
  build_old(&journal, 0, one, 0, 'c', 100);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(0, "cbaaabbb"), "for each byte the oldest old one after the read wins, overlapping or not");
  done();

  build_reference(&journal, 0, one, 10, 4);
  build_old(&journal, 0, one, 10, 'a', 4);
  build_reference(&journal, 0, one, 10, 4);
  build_old(&journal, 0, one, 12, 'b', 2);
  build_reference(&journal, 0, one, 10, 4);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(0, "aaaa") && gives(1, "..bb") && gives(2, "...."), "each read sees what was there at its time");
  done();

  build_reference(&journal, 0, one, 0, 4);
  build_reference(&journal, 0, one, 2, 4);
  build_old(&journal, 0, one, 0, 'a', 8);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(0, "aaaa") && gives(1, "aaaa") && header()->files_offset - header()->blobs_offset == 8,
         "old bytes that two reads need are in the feed once");
  done();

  build_reference(&journal, 0, one, 4090, 12);
  build_old(&journal, 0, one, 4094, 'a', 4);
  build_reference(&journal, 0, one, 8190, 4);
  build_old(&journal, 0, one, 8192, 'b', 1);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(0, "....aaaa....") && gives(1, "..b."), "pages' borders change nothing");
  done();

  build_reference(&journal, 0, one, 0, 40000);
  build_old(&journal, 0, one, 20000, 'a', 10000);
  build_old(&journal, 0, one, 25000, 'b', 10000);
  publish(VERDICT_REPEAT, 0);
  char expected[40001];
  memset(expected, '.', 40000);
  memset(expected + 20000, 'a', 10000);
  memset(expected + 30000, 'b', 5000);
  expected[40000] = '\0';
  tap_ok(gives(0, expected), "a read over many pages is pieced together");
  done();

  build_reference(&journal, 0, one, 0, 4);
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_result(&journal, 0, SYS_mkdir, 0);
  build_reference(&journal, 1, one, 0, 4);
  build_old(&journal, 1, one, 0, 'a', 4);
  build_write_intent(&journal, 1, one, 0, "zzzz", 4, false);
  build_attempt(&journal, 2);
  build_old(&journal, 1, one, 0, 'z', 4);
  build_write_intent(&journal, 1, one, 0, "zzzz", 4, false);
  build_result(&journal, 1, SYS_write, 4);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(0, "aaaa") && gives(3, "aaaa"),
         "bytes kept for an intent that was dropped count: it may have run");
  done();
}

static void test_kept(void)
{
  struct journal_file one = a_file(1);
  build_open(&journal, 0, 3, "/x", one);
  build_reference(&journal, 0, one, 0, 6);
  build_old(&journal, 0, one, 0, 'a', 2);
  build_write_intent(&journal, 0, one, 0, "zz", 2, false);
  build_result(&journal, 0, SYS_write, 2);
  build_kept(&journal, 0, one, "copy");
  build_path_intent(&journal, 0, SYS_truncate, "/x", &one);
  build_result(&journal, 0, SYS_truncate, 0);
  build_old(&journal, 0, one, 2, 'b', 2);
  build_write_intent(&journal, 0, one, 2, "yy", 2, false);
  build_result(&journal, 0, SYS_write, 2);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(1, "aakkkk"), "before a cut the old bytes come first, then the copy, and nothing after it");
  const struct feed_file *rows = (const struct feed_file *)(feed + header()->files_offset);
  const struct journal_segment *extents = journal_find_segment(nth(1), SEGMENT_EXTENTS, 1);
  const struct feed_extent *last =
      (const struct feed_extent *)(extents->data + extents->length) - 1;
  tap_ok(last->source == FEED_SOURCE_KEPT && last->zero == header()->file_count &&
             path_is(&rows[last->zero], "/run/kept/copy"),
         "a kept copy has a row behind the sorted ones");
  tap_ok(path_is(file_row(one), "/x") && file_row(one)->flags == FEED_FILE_CHANGED,
         "and the file is where it is");
  done();

  build_open(&journal, 0, 3, "/x", one);
  build_reference(&journal, 0, one, 0, 6);
  build_kept(&journal, 0, one, "link");
  build_path_intent(&journal, 0, SYS_unlink, "/x", &one);
  build_result(&journal, 0, SYS_unlink, 0);
  build_old(&journal, 0, one, 2, 'b', 2);
  build_write_intent(&journal, 0, one, 2, "yy", 2, false);
  build_result(&journal, 0, SYS_write, 2);
  publish(VERDICT_REPEAT, 0);
  tap_ok(gives(1, "..bb.."), "of a file that was linked before its name was taken, later old bytes come first");
  tap_ok(path_is(file_row(one), "/run/kept/link") &&
             file_row(one)->flags == (FEED_FILE_GHOST | FEED_FILE_KEPT | FEED_FILE_CHANGED),
         "and the rest is in kept/, where the ghost is");
  done();

  build_open(&journal, 0, 3, "/x", one);
  build_reference(&journal, 0, one, 0, 4);
  build_kept(&journal, 0, one, "first");
  build_path_intent(&journal, 0, SYS_truncate, "/x", &one);
  build_result(&journal, 0, SYS_truncate, 0);
  build_reference(&journal, 0, one, 0, 4);
  build_kept(&journal, 0, one, "second");
  build_path_intent(&journal, 0, SYS_truncate, "/x", &one);
  build_result(&journal, 0, SYS_truncate, 0);
  publish(VERDICT_REPEAT, 0);
  rows = (const struct feed_file *)(feed + header()->files_offset);
  const struct feed_extent *first_extent = (const struct feed_extent *)journal_find_segment(nth(1), SEGMENT_EXTENTS, 1)->data;
  const struct feed_extent *second_extent = (const struct feed_extent *)journal_find_segment(nth(4), SEGMENT_EXTENTS, 1)->data;
  tap_ok(path_is(&rows[first_extent->zero], "/run/kept/first") &&
             path_is(&rows[second_extent->zero], "/run/kept/second"),
         "each read has the first copy that was made after it");
  done();
}

static void test_files(void)
{
  struct journal_file one = a_file(1), two = a_file(2), three = a_file(3);
  build_open(&journal, 0, 3, "/c", three);
  build_open(&journal, 0, 4, "/a", one);
  build_open(&journal, 0, 5, "/b", two);
  build_two_paths_intent(&journal, 0, SYS_rename, "/a", &one, "/b", &two, 0);
  publish(VERDICT_HAPPENED, 0);
  const struct feed_file *rows = (const struct feed_file *)(feed + header()->files_offset);
  tap_ok(header()->file_count == 3 && rows[0].inode == 1 && rows[1].inode == 2 && rows[2].inode == 3,
         "files are sorted by identity");
  tap_ok(path_is(&rows[0], "/b") && rows[1].path == 0 && rows[1].flags & FEED_FILE_GHOST &&
             path_is(&rows[2], "/c"),
         "a rename that was found to have happened has moved the file");
  done();

  build_open(&journal, 0, 4, "/a", one);
  build_two_paths_intent(&journal, 0, SYS_rename, "/a", &one, "/b", &two, 0);
  publish(VERDICT_REPEAT, 0);
  tap_ok(path_is(file_row(one), "/a"), "one that is repeated has not");
  done();

  build_open(&journal, 0, 3, "/x", two);
  build_path_intent(&journal, 0, SYS_unlink, "/x", &two);
  build_result(&journal, 0, SYS_unlink, 0);
  build_attempt(&journal, 2);
  build_reborn(&journal, 0, two, one);
  publish(VERDICT_REPEAT, 0);
  rows = (const struct feed_file *)(feed + header()->files_offset);
  const uint32_t reborn = FEED_FILE_GHOST | FEED_FILE_REBORN;
  tap_ok(header()->file_count == 2 && (file_row(one)->flags & reborn) == reborn &&
             (file_row(two)->flags & reborn) == reborn && &rows[file_row(one)->primary] == file_row(two) &&
             &rows[file_row(two)->primary] == file_row(two),
         "a ghost that was built again has two identities, and both name the first");
  build_attempt(&journal, 3);
  build_reborn(&journal, 0, two, three);
  build_two_paths_intent(&journal, 0, SYS_linkat, "/proc/self/fd/3", &three, "/named", NULL, 0);
  build_result(&journal, 0, SYS_linkat, 0);
  analysis_free(analysis);
  free(feed);
  publish(VERDICT_REPEAT, 0);
  tap_ok(path_is(file_row(one), "/named") && path_is(file_row(two), "/named") &&
             path_is(file_row(three), "/named") && !(file_row(two)->flags & FEED_FILE_GHOST),
         "a name that the latest gets is the name of all");
  done();
}

static void test_large(void)
{
  struct journal_file one = a_file(1);
  build_reference(&journal, 0, one, 0, 65536ull * 4096);
  for (unsigned i = 0; i < 50000; i++)
    build_old(&journal, 0, one, (uint64_t)i * 4096 + 8, (char)i, 16);
  publish(VERDICT_REPEAT, 0);
  const struct journal_segment *extents = journal_find_segment(nth(0), SEGMENT_EXTENTS, 1);
  const struct feed_extent *list = (const struct feed_extent *)extents->data;
  uint64_t total = 0, right = 0;
  for (size_t i = 0; i < extents->length / sizeof *list; i++) {
    if (list[i].source == FEED_SOURCE_BLOB)
      right += feed[list[i].offset] == (uint8_t)(total / 4096) && total % 4096 == 8 &&
               list[i].length == 16;
    total += list[i].length;
  }
  tap_ok(right == 50000 && total == 65536ull * 4096 && nth(0)->size > JOURNAL_ENTRY_SIZE_MAX &&
             nth(0)->checksum == journal_checksum(nth(0)),
         "a mapping with 50,000 changed pages has as many extents, in one long entry");
  done();
}

static void test_store(void)
{
  scratch_create();
  struct store *store;
  struct journal_file one = a_file(1);
  build_open(&journal, 0, 3, "/x", one);
  build_reference(&journal, 0, one, 0, 4);
  build_old(&journal, 0, one, 0, 'a', 4);
  analysis = built_analyse(&journal);
  assert(store_create(scratch_path("store"), 0, &store, &failure) == 0);
  assert(store_begin(store, &failure) == 0 &&
         store_append(store, journal.bytes, journal.length, journal.count, 0, journal.length, &failure) == 0 &&
         store_commit(store, &failure) == 0);
  const char *path = scratch_path("feed");
  int error = recover_publish(analysis, store, NULL, 0, "/run/kept", path, &feed_size, &failure);
  if (error)
    tap_note("%s", failure.text);
  FILE *file = fopen(path, "r");
  feed = malloc(feed_size);
  tap_ok(error == 0 && file && fread(feed, 1, feed_size, file) == feed_size && fgetc(file) == EOF &&
             is("CC") && gives(1, "aaaa"),
         "a store's entries are published to a file");
  fclose(file);
  tap_ok(access(scratch_path("feed.new"), F_OK) != 0, "under its name alone");
  tap_ok(recover_publish(analysis, store, NULL, 0, "/run/kept", scratch_path("none/feed"), &feed_size,
                         &failure) == -ENOENT,
         "a directory that is not there is a failure");
  store_close(store);
  done();
  scratch_remove();
}

int main(void)
{
  test_entries();
  test_references();
  test_kept();
  test_files();
  test_large();
  test_store();
  return tap_done();
}
