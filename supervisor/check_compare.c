/* SPDX-License-Identifier: Apache-2.0 */
/* Compares outcomes. Writes nothing. */
#include "supervisor/check_compare.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXCERPT_MAX 24 /* bytes that are shown of a difference */
#define READ_CHUNK 65536

struct comparing {
  const struct check_outcome *expected, *came;
  const struct check_mask *mask;
  bool (*found)(const struct check_difference *difference, void *context);
  void *context;
  bool over; /* `found` wants no more */
  struct failure *failure;
};

static __attribute__((format(printf, 4, 5))) void report(struct comparing *comparing,
                                                         enum check_part part, const char *path,
                                                         const char *format, ...)
{
  struct check_difference difference = {.part = part, .path = path};
  va_list arguments;

  va_start(arguments, format);
  vsnprintf(difference.text, sizeof difference.text, format, arguments);
  va_end(arguments);
  if (!comparing->found(&difference, comparing->context))
    comparing->over = true;
}

/* "\"text\"" of at most EXCERPT_MAX bytes; "the end" if there are none. */
static void print_excerpt(const char *bytes, size_t length, char *ret_text, size_t size)
{
  FILE *stream = fmemopen(ret_text, size, "w");

  assert(size > EXCERPT_MAX * 4 + 8 && stream != NULL);
  if (length == 0)
    fputs("the end", stream);
  for (size_t i = 0; i < length && i < EXCERPT_MAX; i++) {
    unsigned char c = (unsigned char)bytes[i];

    if (i == 0)
      putc('"', stream);
    if (c == '\n')
      fputs("\\n", stream);
    else if (c == '"' || c == '\\')
      fprintf(stream, "\\%c", c);
    else if (c >= ' ' && c < 0x7f)
      putc(c, stream);
    else
      fprintf(stream, "\\x%02x", c);
    if (i + 1 == length || i + 1 == EXCERPT_MAX)
      putc('"', stream);
  }
  fclose(stream);
}

/* Where two pieces of bytes, whole or the chunks from `offset` on, differ. */
struct piece {
  const char *bytes;
  size_t length;
  uint64_t whole; /* length of all */
};

static void report_bytes(struct comparing *comparing, enum check_part part, const char *path,
                         uint64_t offset, const struct piece *expected, const struct piece *came)
{
  char first[EXCERPT_MAX * 4 + 16], second[EXCERPT_MAX * 4 + 16], lengths[80] = "";
  size_t same = 0, shorter = expected->length < came->length ? expected->length : came->length;

  while (same < shorter && expected->bytes[same] == came->bytes[same])
    same++;
  print_excerpt(expected->bytes + same, expected->length - same, first, sizeof first);
  print_excerpt(came->bytes + same, came->length - same, second, sizeof second);
  if (expected->whole != came->whole)
    snprintf(lengths, sizeof lengths, " (%" PRIu64 " bytes and %" PRIu64 ")", expected->whole,
             came->whole);
  report(comparing, part, path, "at byte %" PRIu64 ": %s expected, %s came%s", offset + same, first,
         second, lengths);
}

static void compare_bytes(struct comparing *comparing, enum check_part part,
                          const struct check_bytes *expected, const struct check_bytes *came)
{
  struct piece first = {expected->bytes, expected->length, expected->length};
  struct piece second = {came->bytes, came->length, came->length};

  if (comparing->over || comparing->mask->whole[part])
    return;
  if (first.length != second.length ||
      (first.length > 0 && memcmp(first.bytes, second.bytes, first.length) != 0))
    report_bytes(comparing, part, "", 0, &first, &second);
}

/* Reads until `size` bytes or the end. -1: errno says why. */
static ssize_t read_full(int fd, char *bytes, size_t size)
{
  size_t length = 0;

  while (length < size) {
    ssize_t got = read(fd, bytes + length, size - length);

    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    length += (size_t)got;
  }
  return (ssize_t)length;
}

static int open_entry(const struct check_tree *tree, const struct check_entry *entry)
{
  char path[2 * PATH_MAX];

  snprintf(path, sizeof path, "%s/%s", tree->root, entry->path);
  return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static int compare_open(struct comparing *comparing, const struct check_entry *expected,
                        const struct check_entry *came, int expected_fd, int came_fd)
{
  static char first_bytes[READ_CHUNK], second_bytes[READ_CHUNK];

  for (uint64_t offset = 0;; offset += READ_CHUNK) {
    ssize_t first = read_full(expected_fd, first_bytes, sizeof first_bytes);
    ssize_t second = read_full(came_fd, second_bytes, sizeof second_bytes);

    if (first < 0 || second < 0)
      return failure_set(comparing->failure, -errno, "cannot read %s: %s", expected->path,
                         strerror(errno));
    if (first != second || memcmp(first_bytes, second_bytes, (size_t)first) != 0) {
      struct piece expected_piece = {first_bytes, (size_t)first, expected->size};
      struct piece came_piece = {second_bytes, (size_t)second, came->size};

      report_bytes(comparing, CHECK_PART_FILE, expected->path, offset, &expected_piece,
                   &came_piece);
      return 0;
    }
    if (first < READ_CHUNK)
      return 0;
  }
}

static int compare_contents(struct comparing *comparing, const struct check_entry *expected,
                            const struct check_entry *came)
{
  int expected_fd = open_entry(&comparing->expected->tree, expected), came_fd, error;

  if (expected_fd < 0)
    return failure_set(comparing->failure, -errno, "cannot read %s: %s", expected->path,
                       strerror(errno));
  came_fd = open_entry(&comparing->came->tree, came);
  if (came_fd < 0)
    error =
        failure_set(comparing->failure, -errno, "cannot read %s: %s", came->path, strerror(errno));
  else
    error = compare_open(comparing, expected, came, expected_fd, came_fd);
  close(expected_fd);
  if (came_fd >= 0)
    close(came_fd);
  return error;
}

static const char *type_name(mode_t mode)
{
  switch (mode & S_IFMT) {
  case S_IFREG: return "a regular file";
  case S_IFDIR: return "a directory";
  case S_IFLNK: return "a symlink";
  case S_IFIFO: return "a named pipe";
  case S_IFSOCK: return "a socket";
  case S_IFCHR: return "a character device";
  default: return "a block device";
  }
}

static bool same_text(const char *a, const char *b)
{
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void report_link(struct comparing *comparing, const char *path, const char *expected,
                        const char *came)
{
  report(comparing, CHECK_PART_FILE, path, "%s%s expected, %s%s came",
         strcmp(expected, path) == 0 ? "a file of its own" : "another name of ",
         strcmp(expected, path) == 0 ? "" : expected,
         strcmp(came, path) == 0 ? "a file of its own" : "another name of ",
         strcmp(came, path) == 0 ? "" : came);
}

/* Both trees have the path. */
static int compare_entry(struct comparing *comparing, const struct check_entry *expected,
                         const struct check_entry *came)
{
  const char *expected_link = comparing->expected->tree.entries[expected->first_link].path;
  const char *came_link = comparing->came->tree.entries[came->first_link].path;
  const char *path = expected->path;

  if (check_mask_has_file(comparing->mask, path))
    return 0;
  if ((expected->mode & S_IFMT) != (came->mode & S_IFMT))
    report(comparing, CHECK_PART_FILE, path, "%s expected, %s came", type_name(expected->mode),
           type_name(came->mode));
  else if (expected->mode != came->mode)
    report(comparing, CHECK_PART_FILE, path, "mode %04o expected, %04o came",
           expected->mode & 07777, came->mode & 07777);
  else if (!same_text(expected->target, came->target))
    report(comparing, CHECK_PART_FILE, path, "a symlink to %.400s expected, to %.400s came",
           expected->target, came->target);
  else if (expected->device_id != came->device_id)
    report(comparing, CHECK_PART_FILE, path, "device 0x%" PRIx64 " expected, 0x%" PRIx64 " came",
           expected->device_id, came->device_id);
  else if (strcmp(expected_link, came_link) != 0)
    report_link(comparing, path, expected_link, came_link);
  else if (!same_text(expected->attributes, came->attributes))
    report(comparing, CHECK_PART_FILE, path, "extended attributes %.400s expected, %.400s came",
           expected->attributes != NULL ? expected->attributes : "(none)",
           came->attributes != NULL ? came->attributes : "(none)");
  else if (S_ISREG(expected->mode) && (expected->size > 0 || came->size > 0))
    return compare_contents(comparing, expected, came);
  return 0;
}

/* A path that only one tree has: all below it is the same difference. */
static size_t skip_below(const struct check_tree *tree, size_t at)
{
  const char *path = tree->entries[at].path;

  do
    at++;
  while (at < tree->count && check_path_within(tree->entries[at].path, path));
  return at;
}

static int compare_trees(struct comparing *comparing)
{
  const struct check_tree *expected = &comparing->expected->tree, *came = &comparing->came->tree;
  size_t i = 0, k = 0;
  int error = 0;

  while (error == 0 && !comparing->over && (i < expected->count || k < came->count)) {
    int order = i == expected->count ? 1
                : k == came->count
                    ? -1
                    : check_path_order(expected->entries[i].path, came->entries[k].path);

    if (order == 0) {
      error = compare_entry(comparing, &expected->entries[i++], &came->entries[k++]);
    } else if (order < 0) {
      if (!check_mask_has_name(comparing->mask, expected->entries[i].path))
        report(comparing, CHECK_PART_NAME, expected->entries[i].path, "%s expected, nothing came",
               type_name(expected->entries[i].mode));
      i = skip_below(expected, i);
    } else {
      if (!check_mask_has_name(comparing->mask, came->entries[k].path))
        report(comparing, CHECK_PART_NAME, came->entries[k].path, "nothing expected, %s came",
               type_name(came->entries[k].mode));
      k = skip_below(came, k);
    }
  }
  return error;
}

int check_outcome_compare(const struct check_outcome *expected, const struct check_outcome *came,
                          const struct check_mask *mask,
                          bool (*found)(const struct check_difference *difference, void *context),
                          void *context, struct failure *failure)
{
  struct comparing comparing = {
    .expected = expected, .came = came, .mask = mask, .found = found, .context = context,
    .failure = failure,
  };

  assert(expected->by_command == came->by_command);
  if (expected->status != came->status && !mask->whole[CHECK_PART_STATUS])
    report(&comparing, CHECK_PART_STATUS, "", "%d expected, %d came", expected->status,
           came->status);
  compare_bytes(&comparing, CHECK_PART_STDOUT, &expected->out, &came->out);
  compare_bytes(&comparing, CHECK_PART_STDERR, &expected->err, &came->err);
  if (!expected->by_command)
    return comparing.over ? 0 : compare_trees(&comparing);
  compare_bytes(&comparing, CHECK_PART_COMPARED, &expected->compared, &came->compared);
  if (!comparing.over && !mask->whole[CHECK_PART_COMPARED] &&
      expected->compared_status != came->compared_status)
    report(&comparing, CHECK_PART_COMPARED, "", "its exit status %d expected, %d came",
           expected->compared_status, came->compared_status);
  return 0;
}
