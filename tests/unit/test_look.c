/* SPDX-License-Identifier: Apache-2.0 */
/* Did it happen? Row by row of docs/recovery.md, "Looking at an open intent"; and the real world. */
#include "tests/unit/tap.h"

#include "tests/unit/entries.h"
#include "tests/unit/fake_world.h"
#include "tests/unit/scratch.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>

#define SLACK_NS 20000000u

static struct built_journal journal;
static struct fake_world fake;
static int look_error;

/* Analyses, looks at what is open, and gives the last verdict (kind -1: none is open). Both are kept
 * for looking again; begin() empties them. */
static struct verdict look(void)
{
  struct analysis *analysis = built_analyse(&journal);
  struct world world = fake_world_of(&fake);
  struct verdict *verdicts = NULL, last = {.kind = (enum verdict_kind)-1};
  struct failure failure;
  size_t count = 0;
  look_error = recover_look(analysis, &world, &verdicts, &count, &failure);
  if (!look_error && count)
    last = verdicts[count - 1];
  free(verdicts);
  analysis_free(analysis);
  return last;
}

static void begin(void)
{
  built_release(&journal);
  memset(&fake, 0, sizeof fake);
}

static bool happened(int64_t result)
{
  struct verdict verdict = look();
  return verdict.kind == VERDICT_HAPPENED && verdict.result == result;
}

static bool repeat(void)
{
  return look().kind == VERDICT_REPEAT;
}

static struct journal_file born_at(uint64_t inode, uint64_t birth_ns)
{
  struct journal_file file = a_file(inode);
  file.birth_ns = birth_ns;
  return file;
}

static void test_exclusive_open(void)
{
  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS + 5), "");
  tap_ok(repeat() && fake.removals == 1 && !fake_find(&fake, "/x"),
         "open with O_EXCL that made an empty file: removed, and repeated");
  tap_ok(repeat() && fake.removals == 1, "looked at again: repeated, nothing more to remove");

  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS - SLACK_NS), "");
  tap_ok(repeat() && fake.removals == 1, "a birth within the clock's slack counts");

  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS - SLACK_NS - 1), "");
  tap_ok(repeat() && fake.removals == 0, "a file born before the intent stays");

  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS), "bytes");
  tap_ok(repeat() && fake.removals == 0, "a file with bytes in it stays");

  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, &(struct journal_file){0});
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS), "");
  tap_ok(repeat() && fake.removals == 0, "a file whose name was not free stays");

  begin();
  struct journal_file link = born_at(1, TEST_TIME_NS);
  link.mode = S_IFLNK | 0777;
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  fake_add(&fake, "/x", link, "");
  tap_ok(repeat() && fake.removals == 0, "what is no regular file stays");

  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  build_open_intent(&journal, 1, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  build_open_result(&journal, 1, 3, "/x", born_at(1, TEST_TIME_NS));
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS), "");
  tap_ok(repeat() && fake.removals == 0, "a file that another thread made stays");

  begin();
  struct journal_file birthless = born_at(1, 0);
  birthless.ctime_ns = TEST_TIME_NS;
  build_open_intent(&journal, 0, "/x", O_CREAT | O_EXCL | O_RDWR, NULL);
  fake_add(&fake, "/x", birthless, "");
  tap_ok(repeat() && fake.removals == 1, "without births, the change time tells");

  begin();
  build_open_intent(&journal, 0, "/x", O_CREAT | O_TRUNC | O_RDWR, NULL);
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS), "");
  tap_ok(repeat() && fake.removals == 0, "other opens are repeated as they are");
}

static void begin_append(const char *bytes)
{
  begin();
  build_open(&journal, 0, 3, "/log", a_file(1));
  build_write_intent(&journal, 0, a_file(1), 4, "line", 4, true);
  fake_add(&fake, "/log", a_file(1), bytes);
}

static void bind_intent(const struct journal_file *before)
{
  begin();
  build(&journal, 0, SYS_bind, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 3, 0, 110);
  build_path(&journal, 1, "/x");
  if (before)
    build_file(&journal, 1, *before);
  build_end(&journal);
}

static void test_bind(void)
{
  struct journal_file dead = born_at(1, TEST_TIME_NS + 5), old = born_at(2, TEST_TIME_NS - SLACK_NS - 1);
  dead.mode = old.mode = S_IFSOCK | 0755;
  bind_intent(NULL);
  fake_add(&fake, "/x", dead, "");
  tap_ok(repeat() && fake.removals == 1 && !fake_find(&fake, "/x"), "bind that made a socket: removed, and repeated");
  bind_intent(NULL);
  fake_add(&fake, "/x", old, "");
  tap_ok(repeat() && fake.removals == 0, "a socket born before the intent stays");
  bind_intent(&dead);
  fake_add(&fake, "/x", dead, "");
  tap_ok(repeat() && fake.removals == 0, "a socket whose name was not free stays");
  bind_intent(NULL);
  fake_add(&fake, "/x", born_at(1, TEST_TIME_NS + 5), "");
  tap_ok(repeat() && fake.removals == 0, "what is no socket stays");
  bind_intent(NULL);
  tap_ok(repeat() && fake.removals == 0, "no socket there: repeated");
}

static void test_append(void)
{
  begin_append("old\nline");
  tap_ok(happened(4), "an append whose bytes are there happened");
  begin_append("old\nlinemore");
  tap_ok(happened(4), "an append with others' bytes behind it happened");
  begin_append("old\n");
  tap_ok(repeat() && fake.cuts == 0, "an append to a file of the same size did not");
  begin_append("old\nli");
  tap_ok(repeat() && fake.cuts == 1 && fake_find(&fake, "/log")->file.size == 4,
         "half an append is cut back and repeated");
  tap_ok(repeat() && fake.cuts == 1, "looked at again: repeated, nothing more to cut");
  begin_append("old\nothers' bytes");
  tap_ok(repeat() && fake.cuts == 0, "an append where others' bytes are is repeated");
  begin_append("o");
  tap_ok(repeat() && fake.cuts == 0, "an append to a file that was cut since is repeated");

  begin_append("old\nline");
  fake.files[0].file.birth_ns++;
  tap_ok(repeat(), "an append to a file whose name another has now is repeated");

  begin();
  build_write_intent(&journal, 0, a_file(1), 4, "line", 4, true);
  tap_ok(repeat(), "an append to a file that is nowhere is repeated");

  begin_append("");
  fake.count = 0;
  build_two_paths_intent(&journal, 1, SYS_rename, "/log", &(struct journal_file){0}, "/log.1", NULL, 0);
  fake_add(&fake, "/log.1", a_file(1), "old\nli");
  look();
  tap_ok(fake.cuts == 1, "an append is found where another thread's open rename has moved the file");

  begin();
  build_open(&journal, 0, 3, "/d/log", a_file(1));
  build_write_intent(&journal, 0, a_file(1), 4, "line", 4, true);
  build_two_paths_intent(&journal, 1, SYS_rename, "/d", &(struct journal_file){0}, "/e", NULL, 0);
  fake_add(&fake, "/e/log", a_file(1), "old\nli");
  look();
  tap_ok(fake.cuts == 1, "and where the directory above it was moved");

  begin();
  build_open(&journal, 0, 3, "/log", a_file(1));
  build_write_intent(&journal, 0, a_file(1), 0, "line", 4, false);
  fake_add(&fake, "/log", a_file(1), "line");
  tap_ok(repeat(), "a write at an offset is repeated");
}

static void begin_rename(unsigned call, uint64_t flags, bool target)
{
  struct journal_file one = a_file(1), two = a_file(2);
  begin();
  build_two_paths_intent(&journal, 0, call, "/a", &one, "/b", target ? &two : NULL, flags);
}

static void test_names(void)
{
  struct journal_file one = a_file(1), two = a_file(2);
  begin_rename(SYS_rename, 0, false);
  fake_add(&fake, "/b", one, "");
  tap_ok(happened(0), "a rename whose old name is gone and whose new one is the file happened");
  fake_add(&fake, "/a", two, "");
  tap_ok(happened(0), "also where the old name is another file by now");
  begin_rename(SYS_rename, 0, true);
  fake_add(&fake, "/a", one, "");
  fake_add(&fake, "/b", two, "");
  tap_ok(repeat(), "a rename whose old name is the file still did not");
  begin_rename(SYS_rename, 0, false);
  fake_add(&fake, "/a", one, "");
  fake_add(&fake, "/b", one, "");
  tap_ok(repeat(), "a rename where both are the file is repeated, and does nothing");
  begin();
  build_two_paths_intent(&journal, 0, SYS_rename, "/a", NULL, "/b", NULL, 0);
  tap_ok(repeat(), "a rename of nothing is repeated, and fails again");

  begin_rename(SYS_renameat2, RENAME_EXCHANGE, true);
  fake_add(&fake, "/a", two, "");
  fake_add(&fake, "/b", one, "");
  tap_ok(happened(0), "an exchange after which both are swapped happened");
  begin_rename(SYS_renameat2, RENAME_EXCHANGE, true);
  fake_add(&fake, "/a", one, "");
  fake_add(&fake, "/b", two, "");
  tap_ok(repeat(), "an exchange before which both are as they were did not");
  begin_rename(SYS_renameat2, RENAME_NOREPLACE, true);
  fake_add(&fake, "/a", one, "");
  fake_add(&fake, "/b", two, "");
  tap_ok(repeat(), "a rename that may not replace is repeated where it would");

  begin_rename(SYS_link, 0, false);
  fake_add(&fake, "/a", one, "");
  fake_add(&fake, "/b", one, "");
  tap_ok(happened(0), "a link whose new name is the file happened");
  begin_rename(SYS_linkat, 0, false);
  tap_ok(repeat(), "a link whose new name is free did not");
  begin();
  build_two_paths_intent(&journal, 0, SYS_link, "/a", &one, "/b", &one, 0);
  fake_add(&fake, "/b", one, "");
  tap_ok(repeat(), "a link whose new name was not free is repeated, and fails again");
}

static void begin_symlink(bool was, const char *target)
{
  struct journal_file link = a_file(1);
  link.mode = S_IFLNK | 0777;
  begin();
  build(&journal, 0, SYS_symlink, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 0, 0);
  build_segment(&journal, SEGMENT_PATH, 0, "target", 6);
  build_path(&journal, 1, "/s");
  if (was)
    build_file(&journal, 1, link);
  build_end(&journal);
  if (target)
    fake_add(&fake, "/s", link, target);
}

static void test_made_and_removed(void)
{
  begin_symlink(false, "target");
  tap_ok(happened(0), "a symlink that is there, with its target, happened");
  begin_symlink(false, "other");
  tap_ok(repeat(), "with another target it did not");
  begin_symlink(false, NULL);
  tap_ok(repeat(), "nor when it is not there");
  begin_symlink(true, "target");
  tap_ok(repeat(), "nor where one was before");

  begin();
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  tap_ok(repeat(), "a directory that is not there was not made");
  fake_add(&fake, "/d", a_directory(5), "");
  tap_ok(happened(0), "one that is was");
  begin();
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  fake_add(&fake, "/d", a_file(5), "");
  tap_ok(repeat(), "a file is no directory that was made");
  begin();
  build_path_intent(&journal, 0, SYS_mkdir, "/d", &(struct journal_file){0});
  fake_add(&fake, "/d", a_directory(5), "");
  tap_ok(repeat(), "a directory that was there before is made again, and fails again");

  begin();
  build(&journal, 0, SYS_mknod, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 0, S_IFIFO | 0600, 0);
  build_path(&journal, 0, "/p");
  build_end(&journal);
  fake_add(&fake, "/p", (struct journal_file){.inode = 3, .mode = S_IFIFO | 0600}, "");
  tap_ok(happened(0), "a named pipe that is there was made");

  struct journal_file one = a_file(1), directory = a_directory(2);
  begin();
  build_path_intent(&journal, 0, SYS_unlink, "/x", &one);
  tap_ok(happened(0), "a name that was there and is gone was unlinked");
  fake_add(&fake, "/x", a_file(2), "");
  tap_ok(happened(0), "also where it is another file by now");
  begin();
  build_path_intent(&journal, 0, SYS_unlink, "/x", &one);
  fake_add(&fake, "/x", one, "");
  tap_ok(repeat(), "a name that is the file still was not");
  begin();
  build_path_intent(&journal, 0, SYS_unlink, "/x", NULL);
  tap_ok(repeat(), "unlinking what was not there is repeated, and fails again");
  begin();
  build_path_intent(&journal, 0, SYS_rmdir, "/d", &directory);
  tap_ok(happened(0), "a directory that is gone was removed");
}

static void begin_fallocate(uint64_t mode, const char *bytes)
{
  struct journal_file file = a_file(1);
  file.size = 10;
  begin();
  build_open(&journal, 0, 3, "/x", file);
  build(&journal, 0, SYS_fallocate, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 3, mode, 0, 4);
  build_file(&journal, 0, file);
  build_end(&journal);
  fake_add(&fake, "/x", file, bytes);
}

/* An intent about the attribute "user.a" of /f, which had it or not. */
static void build_attribute(uint16_t call, uint64_t flags, bool had)
{
  build(&journal, 0, call, JOURNAL_INTENT, 0);
  build_args(&journal, 5, (const uint64_t[]){0, 0, 0, 3, flags});
  build_segment(&journal, SEGMENT_FULL_PATH, 0, "/f", 2);
  build_segment(&journal, SEGMENT_PATH, 1, "user.a", 6);
  if (had)
    build_segment(&journal, SEGMENT_ATTRIBUTE, 1, "old", 3);
  build_end(&journal);
}

static void test_attributes(void)
{
  begin();
  build_attribute(SYS_setxattr, XATTR_CREATE, false);
  struct fake_file *file = fake_add(&fake, "/f", a_file(1), "");
  tap_ok(repeat(), "an attribute that is not there has not been made");
  strcpy(file->attribute, "user.a");
  tap_ok(happened(0), "one that is there and was not has");
  begin();
  build_attribute(SYS_setxattr, XATTR_CREATE, true);
  strcpy(fake_add(&fake, "/f", a_file(1), "")->attribute, "user.a");
  tap_ok(repeat(), "one that was there before fails again");
  begin();
  build_attribute(SYS_removexattr, 0, true);
  file = fake_add(&fake, "/f", a_file(1), "");
  tap_ok(happened(0), "an attribute that was there and is not has been removed");
  strcpy(file->attribute, "user.a");
  tap_ok(repeat(), "one that still is has not");
  begin();
  build_attribute(SYS_setxattr, 0, false);
  strcpy(fake_add(&fake, "/f", a_file(1), "")->attribute, "user.a");
  tap_ok(repeat(), "setting one that may be there is repeated");
}

static void test_others(void)
{
  begin_fallocate(FALLOC_FL_COLLAPSE_RANGE, "123456");
  tap_ok(happened(0), "a collapse after which the file is shorter by it happened");
  begin_fallocate(FALLOC_FL_COLLAPSE_RANGE, "1234567890");
  tap_ok(repeat(), "a collapse of a file that is as long as before did not");
  begin_fallocate(FALLOC_FL_INSERT_RANGE, "12345678901234");
  tap_ok(happened(0), "an insertion after which the file is longer by it happened");
  begin_fallocate(FALLOC_FL_INSERT_RANGE, "123456");
  tap_ok(repeat(), "an insertion after which it is shorter did not");
  begin_fallocate(0, "1234567890");
  tap_ok(repeat(), "other fallocates are repeated");

  static const unsigned repeated[] = {SYS_truncate, SYS_ftruncate, SYS_chmod, SYS_fchmod,
                                      SYS_chown, SYS_utimensat, SYS_setxattr, SYS_removexattr,
                                      SYS_fsync, SYS_copy_file_range, SYS_execve, SYS_nanosleep};
  begin();
  struct journal_file one = a_file(1);
  for (unsigned i = 0; i < sizeof repeated / sizeof *repeated; i++)
    build_path_intent(&journal, i, repeated[i], "/x", &one);
  fake_add(&fake, "/x", one, "");
  struct analysis *analysis = built_analyse(&journal);
  struct world world = fake_world_of(&fake);
  struct verdict *verdicts;
  struct failure failure;
  size_t count = 0, right = 0;
  assert(recover_look(analysis, &world, &verdicts, &count, &failure) == 0);
  for (size_t i = 0; i < count; i++)
    right += verdicts[i].kind == VERDICT_REPEAT && verdicts[i].call == repeated[i] &&
             verdicts[i].stream == i && verdicts[i].position == analysis->open[i]->entry->position;
  tap_ok(count == sizeof repeated / sizeof *repeated && right == count,
         "what gives the same twice is repeated; verdicts are in the journal's order");
  free(verdicts);
  analysis_free(analysis);

  begin();
  build(&journal, 0, SYS_connect, JOURNAL_INTENT, 0);
  build_end(&journal);
  tap_ok(look().kind == VERDICT_REPEAT, "a connection died with its process, and is made again");
  begin();
  build(&journal, 0, SYS_sendto, JOURNAL_INTENT, 0);
  build_end(&journal);
  tap_ok(look().kind == VERDICT_UNKNOWN, "nobody knows whether bytes were sent");
  begin();
  struct journal_written to_socket = {.device = 8, .inode = 9, .offset = -1, .length = 3, .remote = 1};
  build(&journal, 0, SYS_write, JOURNAL_INTENT, 0);
  build_segment(&journal, SEGMENT_WRITTEN, 0, &to_socket, sizeof to_socket);
  build_end(&journal);
  tap_ok(look().kind == VERDICT_UNKNOWN, "nor whether they were written to a socket");
  begin();
  to_socket.remote = 0;
  build(&journal, 0, SYS_write, JOURNAL_INTENT, 0);
  build_segment(&journal, SEGMENT_WRITTEN, 0, &to_socket, sizeof to_socket);
  build_end(&journal);
  tap_ok(repeat(), "output to what the run was started with is repeated");

  begin();
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  fake.look_error = -EACCES;
  tap_ok(repeat(), "what is out of reach did not happen");
  fake.look_error = -EIO;
  look();
  tap_ok(look_error == -EIO, "a disk that fails stops recovery");
  begin();
}

static void write_file(const char *path, const void *bytes, size_t length)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert(fd >= 0);
  ssize_t done = write(fd, bytes, length);
  assert(done == (ssize_t)length);
  close(fd);
}

static void test_real_world(void)
{
  scratch_create();
  static char bytes[200000];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (char)(i * 7 + i / 256);
  const char *path = scratch_path("file"), *link = scratch_path("link");
  write_file(path, bytes, sizeof bytes);
  assert(symlink("file", link) == 0);
  struct journal_file file;
  struct stat status;
  uint64_t hash;
  char target[64];
  assert(stat(path, &status) == 0);
  tap_ok(world_real.look(NULL, path, &file) == 0 && file.inode == status.st_ino &&
             file.size == sizeof bytes && S_ISREG(file.mode) && file.link_count == 1,
         "the world tells which file a name is");
  tap_ok(world_real.look(NULL, link, &file) == 0 && S_ISLNK(file.mode) &&
             world_real.look_link(NULL, link, target, sizeof target) == 0 &&
             strcmp(target, "file") == 0,
         "a symlink is looked at, not through");
  tap_ok(world_real.look_link(NULL, link, target, 4) == -ENAMETOOLONG, "a target that does not fit is refused");
  tap_ok(world_real.look(NULL, scratch_path("none"), &file) == -ENOENT, "a name that is not there is ENOENT");
  tap_ok(world_real.hash(NULL, path, 1000, 150000, &hash) == 0 &&
             hash == journal_hash(bytes + 1000, 150000),
         "a range that is longer than a piece hashes as it does whole");
  tap_ok(world_real.hash(NULL, path, 1000, sizeof bytes, &hash) == -ENODATA, "a range past the end is ENODATA");
  tap_ok(world_real.hash(NULL, link, 0, 1, &hash) == -ELOOP, "a symlink is not hashed through");
  tap_ok(world_real.cut(NULL, path, 77) == 0 && stat(path, &status) == 0 && status.st_size == 77,
         "a file is cut");
  tap_ok(world_real.remove(NULL, path) == 0 && stat(path, &status) != 0, "and removed");
  scratch_remove();
}

int main(void)
{
  test_exclusive_open();
  test_bind();
  test_append();
  test_names();
  test_made_and_removed();
  test_attributes();
  test_others();
  test_real_world();
  return tap_done();
}
