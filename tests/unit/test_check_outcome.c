/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/check_outcome.h"

#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <fcntl.h>
#include <string.h>

static struct failure failure;

static struct check_bytes bytes_of(const char *text)
{
  struct check_bytes bytes = {strdup(text), strlen(text)};

  assert(bytes.bytes != NULL);
  return bytes;
}

static void write_file(const char *path, const char *text)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  ssize_t written = write(fd, text, strlen(text));

  assert(fd >= 0 && written == (ssize_t)strlen(text));
  close(fd);
}

/* Two equal trees, and their outcomes; list() takes what a test has changed. */
static struct check_outcome expected, came;

static void list(void)
{
  int error;

  check_tree_release(&expected.tree);
  check_tree_release(&came.tree);
  error = check_tree_list(scratch_path("expected"), &expected.tree, &failure);
  if (error == 0)
    error = check_tree_list(scratch_path("came"), &came.tree, &failure);
  assert(error == 0);
}

static void make_outcomes(void)
{
  static const char *const roots[] = {"expected", "came"};

  for (int i = 0; i < 2; i++) {
    char path[64];

    check_tree_remove(scratch_path(roots[i]), &failure);
    mkdir(scratch_path(roots[i]), 0755);
    snprintf(path, sizeof path, "%s/file", roots[i]);
    write_file(scratch_path(path), "some text");
    snprintf(path, sizeof path, "%s/d", roots[i]);
    mkdir(scratch_path(path), 0755);
    snprintf(path, sizeof path, "%s/d/below", roots[i]);
    write_file(scratch_path(path), "");
  }
  check_outcome_release(&expected);
  check_outcome_release(&came);
  expected = (struct check_outcome){.out = bytes_of("one\ntwo\n"), .err = bytes_of("")};
  came = (struct check_outcome){.out = bytes_of("one\ntwo\n"), .err = bytes_of("")};
  list();
}

struct finding {
  unsigned count;
  char first[1400];
  struct check_mask *mask; /* gets all of them; NULL: the first one only */
};

static bool take(const struct check_difference *difference, void *context)
{
  struct finding *finding = context;
  bool new;

  if (finding->count++ == 0)
    check_difference_print(difference, finding->first, sizeof finding->first);
  if (finding->mask == NULL)
    return false;
  int error = check_mask_add(finding->mask, difference, &new);
  assert(error == 0);
  return true;
}

static const char *first_difference(const struct check_mask *mask)
{
  static struct finding finding;
  const struct check_mask nothing = {0};
  int error;

  finding = (struct finding){0};
  error = check_outcome_compare(&expected, &came, mask != NULL ? mask : &nothing, take, &finding,
                                &failure);
  return error < 0 ? failure.text : finding.first;
}

/* The difference, with its text, is the first that is found. */
static void promise(const char *text, const char *name)
{
  const char *found = first_difference(NULL);

  if (!tap_ok(strcmp(found, text) == 0, "%s", name))
    tap_note("expected: %s\n# came: %s", text, found);
}

static void test_differences(void)
{
  make_outcomes();
  promise("", "equal outcomes have no difference");
  came.status = 120;
  promise("the exit status: 0 expected, 120 came", "exit statuses are compared");
  came.status = 0;
  came.out.length = 4;
  promise("stdout: at byte 4: \"two\\n\" expected, the end came (8 bytes and 4)",
          "a shorter stdout is seen");
  came.out.length = 8;
  came.out.bytes[6] = '"';
  promise("stdout: at byte 6: \"o\\n\" expected, \"\\\"\\n\" came",
          "the first byte that differs is shown");
  make_outcomes();
  came.err = bytes_of("\x01");
  promise("stderr: at byte 0: the end expected, \"\\x01\" came (0 bytes and 1)",
          "stderr is compared");

  make_outcomes();
  write_file(scratch_path("came/file"), "some text, and more");
  list();
  promise("the file file: at byte 9: the end expected, \", and more\" came (9 bytes and 19)",
          "contents are compared");
  make_outcomes();
  chmod(scratch_path("came/d"), 0700);
  list();
  promise("the file d: mode 0755 expected, 0700 came", "modes are compared");
  make_outcomes();
  unlink(scratch_path("came/d/below"));
  list();
  promise("the name d/below: a regular file expected, nothing came", "a missing file is seen");
  make_outcomes();
  mkdir(scratch_path("came/e"), 0755);
  write_file(scratch_path("came/e/x"), "");
  list();
  promise("the name e: nothing expected, a directory came", "a file too many is seen");
  make_outcomes();
  unlink(scratch_path("came/file"));
  int linked = symlink("d", scratch_path("came/file"));
  list();
  promise("the file file: a regular file expected, a symlink came", "types are compared");
  unlink(scratch_path("expected/file"));
  linked += symlink("e", scratch_path("expected/file"));
  list();
  promise("the file file: a symlink to e expected, to d came", "targets of symlinks are compared");
  make_outcomes();
  linked += link(scratch_path("expected/file"), scratch_path("expected/g"));
  write_file(scratch_path("came/g"), "some text");
  list();
  promise("the file g: another name of file expected, a file of its own came",
          "hard links are compared");
  assert(linked == 0);
}

static void test_long_files(void)
{
  static char text[200001];

  make_outcomes();
  memset(text, 'a', sizeof text - 1);
  write_file(scratch_path("expected/file"), text);
  text[150000] = 'b';
  write_file(scratch_path("came/file"), text);
  list();
  promise("the file file: at byte 150000: \"aaaaaaaaaaaaaaaaaaaaaaaa\" expected, "
          "\"baaaaaaaaaaaaaaaaaaaaaaa\" came",
          "a difference far inside a file has its offset in the whole");
}

static void test_command(void)
{
  make_outcomes();
  write_file(scratch_path("came/file"), "other");
  list();
  expected.by_command = came.by_command = true;
  expected.compared = bytes_of("1\n");
  came.compared = bytes_of("1\n");
  promise("", "files are not compared where a command's output is");
  came.compared_status = 3;
  promise("what the --compare command prints: its exit status 0 expected, 3 came",
          "the command's exit status is compared");
  came.compared.bytes[0] = '2';
  promise("what the --compare command prints: at byte 0: \"1\\n\" expected, \"2\\n\" came",
          "the command's output is compared");
}

/* The mask of what differs between `expected` and `came`, which are two undisturbed runs. */
static void mask_differences(struct check_mask *mask)
{
  struct finding finding = {.mask = mask};
  int error = check_outcome_compare(&expected, &came, mask, take, &finding, &failure);

  assert(error == 0);
}

static void test_mask(void)
{
  struct check_mask mask = {0};
  struct check_difference name = {.part = CHECK_PART_NAME, .path = "d/x.7"};
  struct check_difference file = {.part = CHECK_PART_FILE, .path = "lo\ng"};
  char text[100];

  make_outcomes();
  came.out.bytes[0] = 'O';
  write_file(scratch_path("came/file"), "other");
  write_file(scratch_path("came/d/x.1"), "");
  write_file(scratch_path("expected/d/x.2"), "");
  list();
  mask.stable = &expected.tree;
  mask_differences(&mask);
  tap_ok(strcmp(first_difference(&mask), "") == 0, "what differs by itself is left out");
  write_file(scratch_path("came/d/x.3"), "");
  list();
  if (!tap_ok(strcmp(first_difference(&mask), "") == 0,
              "new names are left out where names come and go"))
    tap_note("came: %s", first_difference(&mask));
  unlink(scratch_path("came/d/below"));
  list();
  tap_ok(strcmp(first_difference(&mask),
                "the name d/below: a regular file expected, nothing came") == 0,
         "a name that was always there must be there all the same");
  make_outcomes();
  came.out.bytes[0] = 'O';
  chmod(scratch_path("came/file"), 0600);
  write_file(scratch_path("came/top"), "");
  list();
  tap_ok(strcmp(first_difference(&mask), "the name top: nothing expected, a regular file came") ==
             0,
         "what else differs is found");
  check_mask_print(&name, text, sizeof text);
  tap_ok(strcmp(text, "names that come and go in d") == 0,
         "names that come and go are said by directory");
  check_mask_print(&file, text, sizeof text);
  tap_ok(strcmp(text, "the file lo?g") == 0, "a file that is left out is said in one line");
  check_mask_release(&mask);
}

static void test_own_lines(void)
{
  struct check_bytes err = bytes_of("perdure: one\nmine\nperdure is mine\nperdure: two\nrest");
  char last[16];

  check_strip_own_lines(&err, last, sizeof last);
  tap_ok(err.length == 25 && memcmp(err.bytes, "mine\nperdure is mine\nrest", 25) == 0,
         "perdure's own lines do not count as the program's");
  tap_ok(strcmp(last, "perdure: two") == 0, "perdure's last line is known");
  check_strip_own_lines(&err, last, sizeof last);
  tap_ok(err.length == 25 && strcmp(last, "") == 0,
         "where perdure said nothing, nothing is taken away");
  check_bytes_release(&err);
}

int main(void)
{
  scratch_create();
  umask(022);
  test_differences();
  test_long_files();
  test_command();
  test_mask();
  test_own_lines();
  check_outcome_release(&expected);
  check_outcome_release(&came);
  scratch_remove();
  return tap_done();
}
