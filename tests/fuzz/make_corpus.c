/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the seeds of the journal's fuzz target to the directory that is given: small journals that
 * hold each kind of thing that recovery understands. */
#include "tests/unit/entries.h"

#include "tests/fuzz/fuzz_journal.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>

static const char *directory;

static void save(const char *name, struct built_journal *journal)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *file = fopen(path, "w");
  assert(file);
  for (unsigned i = 0; i < WORLD_SIZE; i++)
    fputc((int)(i * 37 % 256), file);
  assert(fwrite(journal->bytes, 1, journal->length, file) == journal->length);
  assert(fclose(file) == 0);
  built_release(journal);
}

static void build_run_start(struct built_journal *journal, struct journal_file in,
                            struct journal_file out)
{
  build_attempt(journal, 1);
  build(journal, 0, 1025, JOURNAL_START, 0);
  BUILD_ARGS(journal, 100, 1);
  build_descriptor(journal, 0, in, 0);
  build_descriptor(journal, 1, out, 0);
  build_end(journal);
}

static void seed_names(void)
{
  struct built_journal journal = {0};
  struct journal_file one = a_file(1), two = a_file(2), three = a_file(3), d = a_directory(9);
  build_open(&journal, 0, 3, "/d/a", one);
  build_open(&journal, 0, 4, "/d/b", two);
  build_rename(&journal, 0, "/d", &d, "/e", NULL);
  build_two_paths_intent(&journal, 0, SYS_renameat2, "/e/a", &one, "/e/b", &two, RENAME_EXCHANGE);
  build_result(&journal, 0, SYS_renameat2, 0);
  build_two_paths_intent(&journal, 0, SYS_link, "/e/a", &two, "/l", NULL, 0);
  build_result(&journal, 0, SYS_link, 0);
  build_path_intent(&journal, 0, SYS_unlink, "/e/a", &two);
  build_result(&journal, 0, SYS_unlink, 0);
  build_open_intent(&journal, 0, "/e", O_TMPFILE | O_RDWR, &d);
  build_open_result(&journal, 0, 5, NULL, three);
  build_two_paths_intent(&journal, 1, SYS_linkat, "/proc/self/fd/5", &three, "/t", NULL, 0);
  build_two_paths_intent(&journal, 0, SYS_rename, "/e", &d, "/f", NULL, 0);
  save("names", &journal);
}

static void seed_attempts(void)
{
  struct built_journal journal = {0};
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_resolved(&journal, 0, SYS_mkdir, 0);
  build_data(&journal, 0, SYS_read, "ab", 2);
  build_attempt(&journal, 3);
  build_sleep_intent(&journal, 0);
  build(&journal, 1, SYS_connect, JOURNAL_INTENT, 0);
  build_end(&journal);
  build_attempt(&journal, 4);
  build_complete(&journal, 2, SYS_getpid, 1);
  build(&journal, 0, SYS_execve, JOURNAL_INTENT, 0);
  build_end(&journal);
  build(&journal, 0, 1025, JOURNAL_START, 0);
  build_end(&journal);
  build_path_intent(&journal, 0, SYS_rmdir, "/d", NULL);
  save("attempts", &journal);
}

static void seed_bytes(void)
{
  struct built_journal journal = {0};
  struct journal_file one = a_file(1);
  build_open(&journal, 0, 3, "/x", one);
  build_reference(&journal, 0, one, 4000, 200);
  build_old(&journal, 0, one, 4050, 'a', 100);
  build_write_intent(&journal, 0, one, 4050, "b", 1, false);
  build_result(&journal, 0, SYS_write, 1);
  build_old(&journal, 0, one, 4000, 'c', 80);
  build_kept(&journal, 0, one, "copy");
  build_path_intent(&journal, 0, SYS_truncate, "/x", &one);
  build_result(&journal, 0, SYS_truncate, 0);
  build_reference(&journal, 0, one, 0, 10);
  build_kept(&journal, 0, one, "link");
  build_path_intent(&journal, 0, SYS_unlink, "/x", &one);
  build_result(&journal, 0, SYS_unlink, 0);
  build_old(&journal, 0, one, 4, 'd', 3);
  save("bytes", &journal);
}

static void seed_open_intents(void)
{
  struct built_journal journal = {0};
  struct journal_file one = a_file(1), two = a_file(2), d = a_directory(9);
  build_open(&journal, 0, 3, "/log", one);
  build_write_intent(&journal, 0, one, 4, "line", 4, true);
  build_open_intent(&journal, 1, "/new", O_CREAT | O_EXCL | O_RDWR, NULL);
  build_two_paths_intent(&journal, 2, SYS_rename, "/log", &one, "/log.1", &two, 0);
  build_path_intent(&journal, 3, SYS_rmdir, "/d", &d);
  build(&journal, 4, SYS_symlink, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 0, 0);
  build_segment(&journal, SEGMENT_PATH, 0, "target", 6);
  build_path(&journal, 1, "/s");
  build_end(&journal);
  build(&journal, 5, SYS_fallocate, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 3, FALLOC_FL_COLLAPSE_RANGE, 0, 4);
  build_file(&journal, 0, one);
  build_end(&journal);
  build_two_paths_intent(&journal, 6, SYS_link, "/log", &one, "/log.2", NULL, 0);
  save("open-intents", &journal);
}

static void seed_in_and_out(void)
{
  struct built_journal journal = {0};
  struct journal_file in = {.device = 13, .inode = 50, .mode = S_IFIFO}, out = a_file(60);
  build_run_start(&journal, in, out);
  build_data(&journal, 0, SYS_read, "hello", 5);
  build_source_read(&journal, 0, in, " world", 6);
  build_write_intent(&journal, 0, out, -1, "12345", 5, false);
  build_result(&journal, 0, SYS_write, 5);
  build(&journal, 0, 1026, JOURNAL_ATTEMPT, 2);
  build_descriptor(&journal, 0, in, 0);
  build_end(&journal);
  build_source_read(&journal, 0, in, "more", 4);
  build(&journal, 0, SYS_exit_group, JOURNAL_EXIT, 3);
  build_end(&journal);
  save("in-and-out", &journal);
}

int main(int argc, char **argv)
{
  if (argc != 2) {
    fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  directory = argv[1];
  seed_names();
  seed_attempts();
  seed_bytes();
  seed_open_intents();
  seed_in_and_out();
  return 0;
}
