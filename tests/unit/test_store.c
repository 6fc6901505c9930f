/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/tail.h"
#include "supervisor/store.h"

#include "tests/unit/packed_entries.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static struct failure failure;

static bool says(const char *words)
{
  return strstr(failure.text, words) != NULL && strchr(failure.text, '\n') == NULL;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  ssize_t written = write(fd, bytes, size);
  assert(fd >= 0 && written == (ssize_t)size);
  close(fd);
}

static struct store *created(const char *path, unsigned sync)
{
  struct store *store = NULL;
  int error = store_create(path, sync, &store, &failure);
  if (error != 0)
    tap_note("%s", failure.text);
  assert(error == 0);
  return store;
}

/* A store with `chunks` chunks of 10 entries each. */
static void fill(struct store *store, unsigned chunks)
{
  static struct packed_entries packed;
  packed = (struct packed_entries){0};
  for (unsigned i = 0; i < chunks; i++) {
    packed_clear(&packed);
    uint64_t first = packed.position;
    for (int k = 0; k < 10; k++)
      packed_add(&packed, 1, 0, JOURNAL_COMPLETE, 5, SEGMENT_OUTPUT, "hello", 5);
    int error = store_begin(store, &failure);
    if (error == 0)
      error = store_append(store, packed.bytes, packed.length, packed.count, first, packed.position,
                           &failure);
    if (error == 0)
      error = store_commit(store, &failure);
    assert(error == 0);
  }
}

static void test_creation(void)
{
  const char *path = scratch_path("new");
  struct store *store = created(path, TAIL_SYNC_REMOTE), *second = NULL;
  struct stat status;
  stat(path, &status);
  tap_ok((status.st_mode & 07777) == 0600, "a new store is its owner's alone");
  uint64_t position = 9, count = 9;
  tap_ok(store_end(store, &position, &count, &failure) == 0 && position == 0 && count == 0,
         "a new store has no entries");
  tap_ok(store_create(path, TAIL_SYNC_REMOTE, &second, &failure) == -EEXIST && second == NULL &&
             says("there already"),
         "a store that exists is not created again");
  store_close(store);
  tap_ok(access(scratch_path("new.new"), F_OK) != 0, "creating leaves no other file behind");
  tap_ok(store_open(path, false, &store, &failure) == 0, "what was created opens again");
  store_close(store);
  tap_ok(store_create(scratch_path("no/such"), TAIL_SYNC_ALL, &second, &failure) == -ENOENT &&
             says("No such file"),
         "a store in a missing directory is refused in one line");
}

static void test_meta(void)
{
  struct store *store = created(scratch_path("meta"), TAIL_SYNC_NONE);
  int64_t number = 7;
  char *text = NULL;
  tap_ok(store_meta_number(store, "created_ns", &number, &failure) == 0 && number > 1000000000000000000,
         "a store knows when it was created");
  tap_ok(store_meta_number(store, "sync", &number, &failure) == 0 && number == TAIL_SYNC_NONE,
         "a store knows how sure it has to be");
  tap_ok(store_meta_text(store, "cwd", &text, &failure) == -ENOENT && text == NULL,
         "a missing value is ENOENT and leaves the output alone");
  store_meta_set_text(store, "cwd", "/a b/\xc3\xa9", &failure);
  tap_ok(store_meta_text(store, "cwd", &text, &failure) == 0 && strcmp(text, "/a b/\xc3\xa9") == 0,
         "a text comes back as it was set");
  free(text);
  store_meta_set_number(store, "cwd", -3, &failure);
  tap_ok(store_meta_number(store, "cwd", &number, &failure) == 0 && number == -3,
         "a value is replaced by the one set later");
  store_close(store);
}

/* Are the strings of `table` those of `expected`, and no more? */
static bool strings_are(struct store *store, const char *table, char *const *expected)
{
  char **strings;
  if (store_strings(store, table, &strings, &failure) != 0)
    return false;
  int i = 0;
  while (strings[i] != NULL && expected[i] != NULL && strcmp(strings[i], expected[i]) == 0)
    i++;
  bool same = strings[i] == NULL && expected[i] == NULL;
  free(strings);
  return same;
}

static void test_strings(void)
{
  struct store *store = created(scratch_path("strings"), TAIL_SYNC_REMOTE);
  char *const argv[] = {"sort", "", "--key=\xff\xfe", "a\nb", NULL};
  char *const shorter[] = {"x", NULL};
  char *const none[] = {NULL};
  tap_ok(store_strings_set(store, "argument", argv, &failure) == 0 && strings_are(store, "argument", argv),
         "arguments come back to the byte, empty and not UTF-8 ones too");
  tap_ok(store_strings_set(store, "argument", shorter, &failure) == 0 &&
             strings_are(store, "argument", shorter),
         "setting strings replaces them all");
  store_begin(store, &failure);
  store_strings_set(store, "environment", argv, &failure);
  store_rollback(store);
  tap_ok(strings_are(store, "environment", none),
         "strings set in a transaction that is rolled back are not there");
  tap_ok(store_strings_set(store, "environment", none, &failure) == 0 &&
             strings_are(store, "environment", none),
         "no strings at all are fine");
  store_close(store);
}

static void test_cursor(void)
{
  struct store *store = created(scratch_path("cursor"), TAIL_SYNC_REMOTE);
  fill(store, 5);
  uint64_t starts[] = {0, 1, 10, 11, 37, 50, 51};
  bool right = true;
  for (unsigned i = 0; i < sizeof starts / sizeof *starts; i++) {
    struct store_cursor *cursor;
    int error = store_cursor_open(store, starts[i], &cursor, &failure);
    uint64_t expected = starts[i] == 0 ? 1 : starts[i], seq = 0;
    const struct journal_entry *entry = NULL;
    while (error == 0 && (error = store_cursor_next(cursor, &entry, &seq, &failure)) == 0 && entry)
      right = right && seq == expected && entry->position == (expected++ - 1) * 80;
    right = right && error == 0 && expected == 51;
    store_cursor_close(cursor);
  }
  tap_ok(right, "a cursor gives every entry from where it was told to begin, once, in order");
  uint64_t position, count;
  tap_ok(store_end(store, &position, &count, &failure) == 0 && position == 50 * 80 && count == 50,
         "the store knows where it ends");
  store_begin(store, &failure);
  store_skip_to(store, 50 * 80 + 16, &failure);
  store_commit(store, &failure);
  tap_ok(store_end(store, &position, &count, &failure) == 0 && position == 50 * 80 + 16 && count == 50,
         "a gap after the last entry moves the end");
  store_close(store);
}

static int walk(const char *path)
{
  struct store *store;
  struct store_cursor *cursor;
  int error = store_open(path, true, &store, &failure);
  if (error != 0)
    return error;
  error = store_cursor_open(store, 1, &cursor, &failure);
  const struct journal_entry *entry = NULL;
  uint64_t seq;
  do
    error = error != 0 ? error : store_cursor_next(cursor, &entry, &seq, &failure);
  while (error == 0 && entry != NULL);
  store_cursor_close(cursor);
  store_close(store);
  return error;
}

static void change(const char *path, const char *sql)
{
  sqlite3 *database;
  sqlite3_open(path, &database);
  int code = sqlite3_exec(database, sql, NULL, NULL, NULL);
  if (code != SQLITE_OK)
    tap_note("%s: %s", sql, sqlite3_errmsg(database));
  assert(code == SQLITE_OK);
  sqlite3_close(database);
}

static void test_refusals(void)
{
  struct store *store = NULL;
  tap_ok(store_open(scratch_path("none"), false, &store, &failure) == -ENOENT && says("No such file"),
         "a missing store is refused in one line");
  write_file(scratch_path("empty"), "", 0);
  tap_ok(store_open(scratch_path("empty"), false, &store, &failure) == -EBADMSG && says("empty"),
         "an empty file is refused in one line");
  char text[8192];
  memset(text, 'x', sizeof text);
  write_file(scratch_path("text"), text, sizeof text);
  tap_ok(store_open(scratch_path("text"), true, &store, &failure) == -EBADMSG && says("not a database"),
         "a file that is no database is refused in one line");
  tap_ok(store_open(scratch_directory, true, &store, &failure) == -EBADMSG && says("regular"),
         "a directory is refused in one line");
  change(scratch_path("other"), "CREATE TABLE t(x)");
  tap_ok(store_open(scratch_path("other"), true, &store, &failure) == -EBADMSG && says("another database"),
         "another program's database is refused in one line");

  store_close(created(scratch_path("newer"), TAIL_SYNC_REMOTE));
  change(scratch_path("newer"), "PRAGMA user_version = 99");
  tap_ok(store_open(scratch_path("newer"), false, &store, &failure) == -EPROTONOSUPPORT && says("99") &&
             says("the newer perdure"),
         "a store of a newer version is refused and names both versions");
  store_close(created(scratch_path("older"), TAIL_SYNC_REMOTE));
  change(scratch_path("older"), "PRAGMA user_version = 1");
  tap_ok(store_open(scratch_path("older"), false, &store, &failure) == -EPROTONOSUPPORT &&
             says("the older perdure"),
         "a store of an older version is refused and says so");
  tap_ok(store == NULL, "a refused store leaves the output alone");

  store_close(created(scratch_path("foreign"), TAIL_SYNC_REMOTE));
  if (chown(scratch_path("foreign"), 12345, (gid_t)-1) == 0)
    tap_ok(store_open(scratch_path("foreign"), true, &store, &failure) == -EPERM && says("12345"),
           "another user's store is refused and names the user");
  else
    tap_ok(true, "another user's store is refused # SKIP needs root to make one");
}

/* All that is in the log goes into the database file. */
static void close_moved(struct store *store)
{
  int code = sqlite3_exec(store_database(store), "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
  assert(code == SQLITE_OK);
  store_close(store);
}

static void test_damage(void)
{
  struct store *store = created(scratch_path("cut"), TAIL_SYNC_NONE);
  fill(store, 400);
  close_moved(store);
  struct stat status;
  stat(scratch_path("cut"), &status);
  int truncated = truncate(scratch_path("cut"), status.st_size / 2);
  assert(truncated == 0);
  tap_ok(walk(scratch_path("cut")) == -EBADMSG && says("truncated"),
         "a store that was cut in the middle says that it is truncated");

  store = created(scratch_path("overwritten"), TAIL_SYNC_NONE);
  fill(store, 400);
  close_moved(store);
  int fd = open(scratch_path("overwritten"), O_RDWR | O_CLOEXEC);
  char junk[3 * 16384];
  memset(junk, 0xa5, sizeof junk);
  ssize_t written = pwrite(fd, junk, sizeof junk, 16384);
  assert(written == sizeof junk);
  close(fd);
  tap_ok(walk(scratch_path("overwritten")) == -EBADMSG && says("corrupt"),
         "a store with overwritten pages says that it is corrupt");

  store = created(scratch_path("flipped"), TAIL_SYNC_REMOTE);
  fill(store, 3);
  store_close(store);
  change(scratch_path("flipped"), "UPDATE chunk SET bytes = substr(bytes, 1, 100) || x'ff' || "
                                  "substr(bytes, 102) WHERE first_seq = 11");
  tap_ok(walk(scratch_path("flipped")) == -EBADMSG && says("entry 12"),
         "an entry with a changed byte is named by its number");
  change(scratch_path("flipped"), "DELETE FROM chunk WHERE first_seq = 11");
  tap_ok(walk(scratch_path("flipped")) == -EBADMSG && says("entry 11 is missing"),
         "a missing chunk is noticed");
}

/* A child process that may not make its files larger. */
static int fill_until_full(const char *path)
{
  pid_t child = fork();
  if (child == 0) {
    struct store *store;
    struct rlimit limit = {300000, 300000};
    signal(SIGXFSZ, SIG_IGN);
    static struct packed_entries packed;
    int error = store_open(path, false, &store, &failure);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; error == 0 && i < 1000; i++) {
      packed_clear(&packed);
      uint64_t first = packed.position;
      for (int k = 0; k < 500; k++)
        packed_add(&packed, 1, 0, JOURNAL_COMPLETE, 5, SEGMENT_OUTPUT, "hello", 5);
      error = store_begin(store, &failure);
      if (error != 0)
        break;
      error = store_append(store, packed.bytes, packed.length, packed.count, first, packed.position,
                           &failure);
      if (error == 0)
        error = store_commit(store, &failure);
      else
        store_rollback(store);
    }
    if (error != -ENOSPC) tap_note("%d %s", error, failure.text);
    _exit(error == -ENOSPC ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  return status;
}

static void test_full_disk(void)
{
  store_close(created(scratch_path("full"), TAIL_SYNC_REMOTE));
  tap_ok(fill_until_full(scratch_path("full")) == 0, "no more space is -ENOSPC");
  struct store *store;
  uint64_t position, count, walked = 0, seq;
  int error = store_open(scratch_path("full"), false, &store, &failure);
  assert(error == 0);
  store_end(store, &position, &count, &failure);
  struct store_cursor *cursor;
  const struct journal_entry *entry;
  store_cursor_open(store, 1, &cursor, &failure);
  while (store_cursor_next(cursor, &entry, &seq, &failure) == 0 && entry != NULL)
    walked++;
  store_cursor_close(cursor);
  tap_ok(count > 0 && count % 500 == 0 && walked == count && position == count * 80,
         "after a full disk every commit that had succeeded is there, whole");
  store_close(store);
}

static void test_kill(void)
{
  const char *path = scratch_path("killed");
  store_close(created(path, TAIL_SYNC_NONE));
  pid_t child = fork();
  if (child == 0) {
    struct store *store;
    store_open(path, false, &store, &failure);
    fill(store, 3);
    store_begin(store, &failure);
    static struct packed_entries packed = {.position = 2400};
    packed_add(&packed, 1, 0, JOURNAL_COMPLETE, 5, 0, NULL, 0);
    store_append(store, packed.bytes, packed.length, 1, 2400, packed.position, &failure);
    kill(getpid(), SIGKILL);
  }
  waitpid(child, NULL, 0);
  struct store *store;
  uint64_t position, count;
  tap_ok(store_open(path, false, &store, &failure) == 0 &&
             store_end(store, &position, &count, &failure) == 0 && count == 30,
         "killed in a transaction: what was committed is there, the rest is not");
  store_close(store);
}

static void test_attempts(void)
{
  struct store *store = created(scratch_path("attempts"), TAIL_SYNC_REMOTE);
  tap_ok(store_attempt_begin(store, 1, 1, &failure) == 0 &&
             store_attempt_end(store, 1, "killed", 9, &failure) == 0,
         "an attempt begins and ends");
  tap_ok(store_attempt_begin(store, 1, 1, &failure) != 0, "an attempt does not begin twice");
  store_close(store);
  tap_ok(store_open(scratch_path("attempts"), true, &store, &failure) == 0 &&
             store_meta_set_number(store, "x", 1, &failure) == -EROFS,
         "a store opened to be read cannot be written");
  store_close(store);
}

static double seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void note_speed(void)
{
  double least[2] = {1e9, 1e9};
  for (int i = 0; i < 20; i++) {
    char name[32];
    snprintf(name, sizeof name, "speed%d", i);
    double start = seconds();
    struct store *store = created(scratch_path(name), i % 2 == 0 ? TAIL_SYNC_NONE : TAIL_SYNC_REMOTE);
    double took = seconds() - start;
    if (took < least[i % 2])
      least[i % 2] = took;
    store_close(store);
  }
  tap_note("creating a store: %.2f ms with --sync none, %.2f ms with remote", least[0] * 1e3,
           least[1] * 1e3);
}

int main(void)
{
  scratch_create();
  test_creation();
  test_meta();
  test_strings();
  test_cursor();
  test_refusals();
  test_damage();
  test_full_disk();
  test_kill();
  test_attempts();
  note_speed();
  scratch_remove();
  return tap_done();
}
