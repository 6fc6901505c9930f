/* SPDX-License-Identifier: Apache-2.0 */
/* An unfinished atomic region is taken back, also when taking it back is killed after any of its steps. */
#include "tests/unit/tap.h"

#include "tests/unit/entries.h"
#include "tests/unit/scratch.h"

#include "journal/call_table.h"
#include "supervisor/region_undo.h"

#include <errno.h>
#include <signal.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static struct built_journal journal;
static unsigned commits_left;

static void put(const char *name, const char *text)
{
  int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0640);
  assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  close(fd);
}

/* second: the other path of two, or the name in kept/. */
static void kept(unsigned kind, const char *name, const char *second, const char *kept_name)
{
  struct journal_undo undo = {.kind = kind};
  struct stat status;
  if (lstat(scratch_path(name), &status) == 0)
    undo = (struct journal_undo){kind, status.st_mode, status.st_uid, status.st_gid,
                                 (uint64_t)major(status.st_dev) << 32 | minor(status.st_dev), status.st_ino,
                                 (uint64_t)status.st_size, 1000000000, 2000000000};
  build(&journal, 0, CALL_ID_JOURNAL, JOURNAL_KEEP, 0);
  build_segment2(&journal, SEGMENT_UNDO, 0, &undo, sizeof undo, kept_name, kept_name ? strlen(kept_name) : 0);
  build_segment(&journal, SEGMENT_FULL_PATH, 0, scratch_path(name), strlen(scratch_path(name)));
  if (second)
    build_segment(&journal, SEGMENT_FULL_PATH, 1, scratch_path(second), strlen(scratch_path(second)));
  build_end(&journal);
}

static void rename_kept(const char *from, const char *to)
{
  kept(JOURNAL_UNDO_RENAMED, from, to, NULL);
  assert(rename(scratch_path(from), scratch_path(to)) == 0);
}

/* Names, and what each holds, that the region is about to change. */
static void describe(char *ret_text, size_t size)
{
  static const char *const names[] = {"a", "b", "c", "d", "e", "f", "fresh"};
  size_t used = 0;
  ret_text[0] = '\0';
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct stat status;
    char bytes[64] = "";
    if (lstat(scratch_path(names[i]), &status) < 0)
      continue;
    int fd = open(scratch_path(names[i]), O_RDONLY);
    if (S_ISREG(status.st_mode))
      assert(read(fd, bytes, sizeof bytes - 1) >= 0);
    close(fd);
    used += (size_t)snprintf(ret_text + used, size - used, "%s %o %llu %s\n", names[i], status.st_mode,
                             S_ISREG(status.st_mode) ? (unsigned long long)status.st_ino : 0, bytes);
  }
}

static void prepare(void)
{
  scratch_create();
  assert(mkdir(scratch_path("kept"), 0700) == 0 && mkdir(scratch_path("d"), 0750) == 0);
  put("a", "first");
  put("c", "third");
  put("e", "appended to");
  put("f", "state");
}

/* What looks again at a name that had another meaning before: a step that is made twice would be mistaken. */
static void change(void)
{
  build(&journal, 0, CALL_ID_SCOPE_BEGIN, JOURNAL_COMPLETE, 0);
  build_args(&journal, 6, (uint64_t[]){JOURNAL_SCOPE_REGION, 0, 0, 0, 0, 0});
  build_end(&journal);
  rename_kept("a", "b");
  assert(link(scratch_path("c"), scratch_path("kept/third")) == 0);
  kept(JOURNAL_UNDO_TAKEN, "c", NULL, "third");
  rename_kept("b", "c");
  rename_kept("c", "b");
  rename_kept("b", "a");
  rename_kept("a", "b");
  put("kept/copy", "first");
  kept(JOURNAL_UNDO_CONTENT, "b", NULL, "copy");
  put("b", "overwritten");
  kept(JOURNAL_UNDO_MADE, "fresh", NULL, NULL);
  put("fresh", "new");
  kept(JOURNAL_UNDO_SIZE, "e", NULL, NULL);
  assert(truncate(scratch_path("e"), 50) == 0);
  kept(JOURNAL_UNDO_DIRECTORY, "d", NULL, NULL);
  assert(rmdir(scratch_path("d")) == 0);
  kept(JOURNAL_UNDO_MADE, "d", NULL, NULL);
  put("d", "a file now");
  kept(JOURNAL_UNDO_EXCHANGED, "d", "e", NULL);
  assert(renameat2(AT_FDCWD, scratch_path("d"), AT_FDCWD, scratch_path("e"), RENAME_EXCHANGE) == 0);
  kept(JOURNAL_UNDO_STATE, "f", NULL, NULL);
  assert(chmod(scratch_path("f"), 0600) == 0);
}

/* Before the commit: the step is made, and nobody knows. */
static int count_commit(void *context)
{
  if (commits_left > 0 && --commits_left == 0)
    raise(SIGKILL);
  return 0;
}

/* 0, -errno, or 1: killed at that commit. */
static int undo(unsigned die_at, uint64_t *ret_count, struct failure *failure)
{
  struct store *store;
  struct analysis *analysis = built_analyse(&journal);
  uint64_t begin = UINT64_MAX;
  assert(analysis_open_region(analysis, &begin));
  assert(store_open(scratch_path("db"), false, &store, failure) == 0);
  commits_left = die_at;
  sqlite3_commit_hook(store_database(store), count_commit, NULL);
  int error = region_undo(store, analysis, begin, scratch_path("kept"), ret_count, failure);
  store_close(store);
  analysis_free(analysis);
  return error;
}

static void fill_store(void)
{
  struct store *store;
  struct failure failure;
  assert(store_create(scratch_path("db"), TAIL_SYNC_NONE, &store, &failure) == 0);
  assert(store_begin(store, &failure) == 0);
  assert(store_append(store, journal.bytes, journal.length, journal.count, 0, journal.length, &failure) == 0);
  assert(store_commit(store, &failure) == 0);
  store_close(store);
}

/* Killed at the die_at-th step, by itself, and then to the end. */
static bool goes_back(unsigned die_at, bool *ret_killed)
{
  char before[1024], after[1024];
  struct failure failure;
  uint64_t count;
  int status;
  prepare();
  describe(before, sizeof before);
  change();
  fill_store();
  pid_t pid = fork();
  if (pid == 0)
    _exit(undo(die_at, &count, &failure) != 0);
  waitpid(pid, &status, 0);
  *ret_killed = WIFSIGNALED(status);
  int error = undo(0, &count, &failure);
  if (error)
    tap_note("%s", failure.text);
  describe(after, sizeof after);
  if (strcmp(before, after) != 0)
    tap_note("killed at %u:\n%sbut was\n%s", die_at, after, before);
  built_release(&journal);
  scratch_remove();
  return error == 0 && strcmp(before, after) == 0;
}

static void test_refusal(void)
{
  struct failure failure;
  uint64_t count = 77;
  prepare();
  change();
  fill_store();
  assert(unlink(scratch_path("kept/copy")) == 0);
  tap_ok(undo(0, &count, &failure) == -ENOENT && count == 77 && strstr(failure.text, "cannot be taken back") != NULL,
         "what cannot be put back is said");
  put("kept/copy", "first");
  tap_ok(undo(0, &count, &failure) == 0 && count == 13, "and goes on when that is put right");
  built_release(&journal);
  scratch_remove();
}

int main(void)
{
  bool killed = true;
  unsigned points = 0;
  for (unsigned die_at = 1; killed; die_at++, points++)
    tap_ok(goes_back(die_at, &killed), "killed at step %u of taking back, and again: all is as it was", die_at);
  tap_ok(points == 14, "every step was killed once");
  test_refusal();
  return tap_done();
}
