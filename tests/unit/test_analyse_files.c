/* SPDX-License-Identifier: Apache-2.0 */
/* Where files are after what calls have done to them and their names. */
#include "tests/unit/tap.h"

#include "tests/unit/analysed.h"

#include <errno.h>
#include <linux/fs.h>

/* Where the file of `inode` is now: the latest of its names, "" when it has none, "?" when unknown. */
static const char *where(uint64_t inode)
{
  static char path[KNOWN_PATH_SIZE_MAX];
  struct journal_file file = a_file(inode);
  struct file_id id = file_id_of(&file);
  uint32_t number = known_files_find(&analysis->files, &id);
  if (number == KNOWN_FILE_NONE)
    return "?";
  return known_files_path(&analysis->files, number, 0, path, NULL) == 0 ? path : "";
}

static bool at(uint64_t inode, const char *path)
{
  const char *found = where(inode);
  if (strcmp(found, path) == 0)
    return true;
  tap_note("inode %llu is at \"%s\"", (unsigned long long)inode, found);
  return false;
}

static const struct known_file *file_of(uint64_t inode)
{
  struct journal_file file = a_file(inode);
  struct file_id id = file_id_of(&file);
  uint32_t number = known_files_find(&analysis->files, &id);
  return number == KNOWN_FILE_NONE ? NULL : &analysis->files.files[number];
}

static bool ghost(uint64_t inode)
{
  return file_of(inode) && known_file_ghost(file_of(inode));
}

static void test_names(void)
{
  build_open(&journal, 0, 3, "/a/b", a_file(1));
  analyse();
  tap_ok(at(1, "/a/b") && !file_of(1)->changed && !ghost(1), "opening names a file");
  done();

  build_open(&journal, 0, 3, "/a", a_file(1));
  build_rename(&journal, 0, "/a", &(struct journal_file){0}, "/b", NULL);
  analyse();
  tap_ok(at(1, "/b"), "a rename moves a file");
  done();

  struct journal_file one = a_file(1), two = a_file(2), directory = a_directory(9);
  build_open(&journal, 0, 3, "/a", one);
  build_two_paths_intent(&journal, 0, SYS_rename, "/a", &one, "/b", NULL, 0);
  build_result(&journal, 0, SYS_rename, -EPERM);
  analyse();
  tap_ok(at(1, "/a"), "a rename that failed moves nothing");
  done();

  build_open(&journal, 0, 3, "/a", one);
  build_open(&journal, 0, 4, "/b", two);
  build_rename(&journal, 0, "/a", &one, "/b", &two);
  analyse();
  tap_ok(at(1, "/b") && at(2, "") && ghost(2), "a file that another is renamed over is a ghost");
  tap_ok(file_of(1)->changed && file_of(2)->changed, "both count as changed");
  done();

  build_open(&journal, 0, 3, "/d/x", one);
  build_open(&journal, 0, 4, "/d/sub/y", two);
  build_open(&journal, 0, 5, "/dd/z", a_file(3));
  build_rename(&journal, 0, "/d", &directory, "/e/f", NULL);
  analyse();
  tap_ok(at(1, "/e/f/x") && at(2, "/e/f/sub/y"), "renaming a directory moves all below it");
  tap_ok(at(3, "/dd/z"), "and nothing beside it");
  done();

  build_open(&journal, 0, 3, "/d/x", one);
  build_open(&journal, 0, 4, "/e/x", two);
  build_two_paths_intent(&journal, 0, SYS_renameat2, "/d", &directory, "/e", &(struct journal_file){0},
                         RENAME_EXCHANGE);
  build_result(&journal, 0, SYS_renameat2, 0);
  analyse();
  tap_ok(at(1, "/e/x") && at(2, "/d/x"), "exchanging two directories swaps what is below them");
  done();

  build_open(&journal, 0, 3, "/d/x", one);
  build_open(&journal, 0, 4, "/y", two);
  build_two_paths_intent(&journal, 0, SYS_renameat2, "/d/x", &one, "/y", &two, RENAME_EXCHANGE);
  build_result(&journal, 0, SYS_renameat2, 0);
  analyse();
  tap_ok(at(1, "/y") && at(2, "/d/x") && !ghost(1) && !ghost(2), "exchanging two files swaps them");
  done();

  build_open(&journal, 0, 3, "/x", one);
  build_two_paths_intent(&journal, 0, SYS_renameat2, "/x", &one, "/y", &two, RENAME_NOREPLACE);
  build_result(&journal, 0, SYS_renameat2, -EEXIST);
  build_two_paths_intent(&journal, 0, SYS_renameat2, "/x", &one, "/z", NULL, RENAME_NOREPLACE);
  build_result(&journal, 0, SYS_renameat2, 0);
  analyse();
  tap_ok(at(1, "/z"), "a rename without replacing moves where the name was free, and not where it was not");
  done();

  struct journal_file two_links = one;
  two_links.link_count = 2;
  build_open(&journal, 0, 3, "/x", one);
  build_two_paths_intent(&journal, 0, SYS_link, "/x", &one, "/y", NULL, 0);
  build_result(&journal, 0, SYS_link, 0);
  build_path_intent(&journal, 0, SYS_unlink, "/x", &two_links);
  build_result(&journal, 0, SYS_unlink, 0);
  analyse();
  tap_ok(at(1, "/y") && !ghost(1), "a file that was linked and unlinked is under its other name");
  done();

  build_open(&journal, 0, 3, "/x", two_links);
  build_open(&journal, 0, 3, "/y", two_links);
  build_rename(&journal, 0, "/x", &two_links, "/y", &two_links);
  build_path_intent(&journal, 0, SYS_unlink, "/y", &two_links);
  build_result(&journal, 0, SYS_unlink, 0);
  analyse();
  tap_ok(at(1, "/x"), "a rename between two names of one file leaves both");
  done();

  build_open(&journal, 0, 3, "/x", one);
  build_path_intent(&journal, 0, SYS_unlink, "/x", &one);
  build_result(&journal, 0, SYS_unlink, 0);
  build_open_intent(&journal, 0, "/x", O_CREAT | O_RDWR, NULL);
  build_open_result(&journal, 0, 4, "/x", two);
  analyse();
  tap_ok(ghost(1) && at(2, "/x") && !ghost(2), "a name that is used again names the new file");
  tap_ok(file_of(2)->changed, "a file that the run has made counts as changed");
  done();

  build_open(&journal, 0, 3, "/tmp/x", one);
  build_path_intent(&journal, 0, SYS_unlink, "/link-to-tmp/x", &one);
  build_result(&journal, 0, SYS_unlink, 0);
  analyse();
  tap_ok(ghost(1), "unlinking the only name through a symlinked directory takes the known one away");
  done();

  build_open(&journal, 0, 3, "/tmp/d/x", one);
  build_open(&journal, 0, 4, "/tmp/d", directory);
  build_rename(&journal, 0, "/link-to-tmp/d", &directory, "/e", NULL);
  analyse();
  tap_ok(at(1, "/e/x"), "renaming a known directory through a symlink moves what is below it");
  done();

  build_open(&journal, 0, 3, "pipe:[17]", one);
  analyse();
  tap_ok(at(1, "") && !ghost(1), "what has a name outside the tree has no path, and is no ghost");
  done();

  build_open(&journal, 0, 3, "/d/x", one);
  build_path_intent(&journal, 0, SYS_mkdir, "/d/x", NULL);
  build_result(&journal, 0, SYS_mkdir, 0);
  analyse();
  tap_ok(ghost(1), "a directory made where a file was says that the file's name is gone");
  done();

  build_open(&journal, 0, 3, "/d", one);
  build_rename(&journal, 0, "/d", &one, "/d/e", NULL);
  struct failure failure;
  tap_ok(built_try_analyse(&journal, &analysis, &failure) == -EBADMSG,
         "a directory moved below itself is refused");
  done();
}

static void test_identities(void)
{
  struct journal_file one = a_file(1), again = a_file(1);
  again.birth_ns += 5;
  build_open(&journal, 0, 3, "/x", one);
  build_path_intent(&journal, 0, SYS_unlink, "/x", &one);
  build_result(&journal, 0, SYS_unlink, 0);
  build_open_intent(&journal, 0, "/y", O_CREAT | O_EXCL | O_RDWR, NULL);
  build_open_result(&journal, 0, 3, "/y", again);
  analyse();
  struct file_id id = file_id_of(&again);
  tap_ok(ghost(1) && known_files_at(&analysis->files, "/y", 2) == known_files_find(&analysis->files, &id) &&
             analysis->files.file_count == 2,
         "an inode number that is used again is another file");
  done();

  build_open_intent(&journal, 0, "/tmp", O_TMPFILE | O_RDWR, &(struct journal_file){.mode = S_IFDIR});
  build_open_result(&journal, 0, 3, NULL, one);
  analyse();
  tap_ok(ghost(1) && file_of(1)->changed, "an O_TMPFILE is a ghost");
  done();

  build_open_intent(&journal, 0, "/tmp", O_TMPFILE | O_RDWR, &(struct journal_file){.mode = S_IFDIR});
  build_open_result(&journal, 0, 3, NULL, one);
  build_two_paths_intent(&journal, 0, SYS_linkat, "/proc/self/fd/3", &one, "/named", NULL,
                         AT_SYMLINK_FOLLOW);
  build_result(&journal, 0, SYS_linkat, 0);
  analyse();
  tap_ok(at(1, "/named") && !ghost(1), "an O_TMPFILE that is linked has a name");
  done();

  build_open(&journal, 0, 3, "/x", one);
  build_open(&journal, 0, 4, "/y", a_file(2));
  build_reborn(&journal, 0, one, a_file(2));
  struct failure failure;
  tap_ok(built_try_analyse(&journal, &analysis, &failure) == -EBADMSG,
         "a file cannot go on as another that is known already");
  done();

  build_open(&journal, 0, 3, "/x", one);
  build_write_intent(&journal, 0, one, 0, "abc", 3, false);
  build_result(&journal, 0, SYS_write, 3);
  build_open(&journal, 0, 3, "/y", a_file(2));
  build(&journal, 0, SYS_fsync, JOURNAL_INTENT, 0);
  build_file(&journal, 0, a_file(2));
  build_end(&journal);
  build_result(&journal, 0, SYS_fsync, 0);
  build_open(&journal, 0, 3, "/z", a_file(3));
  build_open_intent(&journal, 0, "/z", O_CREAT | O_RDWR, &(struct journal_file){0});
  build_open_result(&journal, 0, 4, "/z", a_file(3));
  analyse();
  tap_ok(file_of(1)->changed, "a write changes a file");
  tap_ok(!file_of(2)->changed, "a sync does not");
  done();
}

static void test_many_names(void)
{
  char path[64];
  for (unsigned i = 0; i < 2000; i++) {
    snprintf(path, sizeof path, "/d/%u/%u", i % 10, i);
    build_open(&journal, 0, 3, path, a_file(i + 1));
  }
  build_rename(&journal, 0, "/d/3", &(struct journal_file){.mode = S_IFDIR}, "/moved", NULL);
  for (unsigned i = 0; i < 2000; i += 2) {
    struct journal_file file = a_file(i + 1);
    snprintf(path, sizeof path, "/d/%u/%u", i % 10, i);
    build_path_intent(&journal, 0, SYS_unlink, path, &file);
    build_result(&journal, 0, SYS_unlink, 0);
  }
  analyse();
  unsigned right = 0;
  for (unsigned i = 0; i < 2000; i++) {
    if (i % 10 == 3)
      snprintf(path, sizeof path, "/moved/%u", i);
    else
      snprintf(path, sizeof path, "/d/%u/%u", i % 10, i);
    right += strcmp(where(i + 1), i % 2 == 0 ? "" : path) == 0;
  }
  tap_ok(right == 2000, "2,000 files, a directory moved, half of them unlinked: all are where they are");
  tap_ok(analysis->files.node_used == 1000 + 5 + 1, "names that are gone take no memory");
  done();
}

int main(void)
{
  test_names();
  test_identities();
  test_many_names();
  return tap_done();
}
