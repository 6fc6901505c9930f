/* SPDX-License-Identifier: Apache-2.0 */
/* Each step looks first, so that a change that has not happened, and a step that was made just before a crash, stay as
 * they are. Steps further back are not made again: after an earlier step has been made, a later one's look would
 * be mistaken (a rename that was taken back looks like one that has to be). */
#include "supervisor/region_undo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct step {
  struct journal_undo undo;
  uint64_t position;
  char path[2][PATH_MAX];
  char kept[NAME_MAX + 1]; /* "": none */
  char attribute[XATTR_NAME_MAX + 1];
  void *value; /* of the attribute; NULL: there was none */
  size_t value_size;
};

struct steps {
  struct step **list;
  size_t count, room;
};

/* ---- what is there now ---- */

static bool is_file(const char *path, uint64_t device, uint64_t inode)
{
  struct stat status;
  return lstat(path, &status) == 0 && status.st_ino == inode &&
         ((uint64_t)major(status.st_dev) << 32 | minor(status.st_dev)) == device;
}

static bool is_free(const char *path)
{
  struct stat status;
  return lstat(path, &status) < 0 && errno == ENOENT;
}

/* ---- the steps ---- */

static int set_times(const char *path, const struct journal_undo *undo)
{
  const struct timespec times[2] = {
      {.tv_sec = (time_t)(undo->atime_ns / 1000000000), .tv_nsec = (long)(undo->atime_ns % 1000000000)},
      {.tv_sec = (time_t)(undo->mtime_ns / 1000000000), .tv_nsec = (long)(undo->mtime_ns % 1000000000)},
  };
  return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Owner before mode, which a change of owner may cut. */
static int set_state(const char *path, const struct journal_undo *undo)
{
  struct stat status;
  if (lstat(path, &status) < 0)
    return -errno;
  if ((status.st_uid != undo->uid || status.st_gid != undo->gid) && lchown(path, undo->uid, undo->gid) < 0)
    return -errno;
  if (!S_ISLNK(undo->mode) && chmod(path, undo->mode & 07777) < 0)
    return -errno;
  return set_times(path, undo);
}

static int copy_bytes(const char *from_path, int to)
{
  int from = open(from_path, O_RDONLY | O_CLOEXEC);
  ssize_t moved = from < 0 ? -1 : 1;
  while (moved > 0)
    moved = sendfile(to, from, NULL, 1 << 30);
  int error = moved < 0 ? -errno : 0;
  if (from >= 0)
    close(from);
  return error;
}

/* A file whose last name the region took is in kept/ by its link. */
static bool find_kept_link(const char *kept_directory, const struct journal_undo *undo, char ret_path[PATH_MAX])
{
  DIR *directory = opendir(kept_directory);
  struct dirent *found;
  bool is = false;
  while (directory && !is && (found = readdir(directory)))
    is = snprintf(ret_path, PATH_MAX, "%s/%s", kept_directory, found->d_name) < PATH_MAX &&
         is_file(ret_path, undo->device, undo->inode);
  if (directory)
    closedir(directory);
  return is;
}

/* The file stays the one that it is: descriptors of later attempts are to find it. */
static int undo_content(const struct step *step, const char *kept_directory, const char *kept)
{
  char path[PATH_MAX];
  strcpy(path, step->path[0]);
  if (!is_file(path, step->undo.device, step->undo.inode) && !find_kept_link(kept_directory, &step->undo, path))
    return 0; /* it has no name: it dies with the program */
  struct stat status;
  bool copies = step->undo.kind == JOURNAL_UNDO_CONTENT;
  if (!copies && (lstat(path, &status) < 0 || (uint64_t)status.st_size <= step->undo.size))
    return 0;
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  int error = fd < 0 || ftruncate(fd, copies ? 0 : (off_t)step->undo.size) < 0 ? -errno : 0;
  if (!error && copies)
    error = copy_bytes(kept, fd);
  if (fd >= 0)
    close(fd);
  return error ? error : set_times(path, &step->undo);
}

static int undo_made(const struct step *step)
{
  struct stat status;
  const char *path = step->path[0];
  if (lstat(path, &status) < 0)
    return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
  return (S_ISDIR(status.st_mode) ? rmdir(path) : unlink(path)) < 0 ? -errno : 0;
}

static int undo_taken(const struct step *step, const char *kept)
{
  const char *path = step->path[0];
  if (!is_free(path))
    return 0;
  if (link(kept, path) == 0)
    return 0;
  if (errno != EXDEV)
    return -errno;
  /* It was copied: it comes back as another file. */
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int error = fd < 0 ? -errno : copy_bytes(kept, fd);
  if (fd >= 0)
    close(fd);
  return error ? error : set_state(path, &step->undo);
}

static int undo_renamed(const struct step *step)
{
  const char *from = step->path[0], *to = step->path[1];
  if (!is_file(to, step->undo.device, step->undo.inode))
    return 0;
  if (step->undo.kind == JOURNAL_UNDO_EXCHANGED)
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) < 0 ? -errno : 0;
  return is_free(from) && rename(to, from) < 0 ? -errno : 0;
}

static int undo_directory(const struct step *step)
{
  if (!is_free(step->path[0]))
    return 0;
  return mkdir(step->path[0], 0700) < 0 ? -errno : set_state(step->path[0], &step->undo);
}

static int undo_state(const struct step *step)
{
  return is_file(step->path[0], step->undo.device, step->undo.inode) ? set_state(step->path[0], &step->undo) : 0;
}

static int undo_attribute(const struct step *step)
{
  const char *path = step->path[0];
  if (!is_file(path, step->undo.device, step->undo.inode))
    return 0;
  int result = step->value ? lsetxattr(path, step->attribute, step->value, step->value_size, 0)
                           : lremovexattr(path, step->attribute);
  return result < 0 && !(errno == ENODATA && !step->value) ? -errno : 0;
}

static int undo_step(const struct step *step, const char *kept_directory)
{
  char kept[PATH_MAX + NAME_MAX + 2];
  snprintf(kept, sizeof kept, "%s/%s", kept_directory, step->kept);
  switch ((enum journal_undo_kind)step->undo.kind) {
  case JOURNAL_UNDO_CONTENT:
  case JOURNAL_UNDO_SIZE:
    return undo_content(step, kept_directory, kept);
  case JOURNAL_UNDO_MADE:
    return undo_made(step);
  case JOURNAL_UNDO_TAKEN:
    return undo_taken(step, kept);
  case JOURNAL_UNDO_RENAMED:
  case JOURNAL_UNDO_EXCHANGED:
    return undo_renamed(step);
  case JOURNAL_UNDO_DIRECTORY:
    return undo_directory(step);
  case JOURNAL_UNDO_STATE:
    return undo_state(step);
  case JOURNAL_UNDO_ATTRIBUTE:
    return undo_attribute(step);
  }
  return -EBADMSG;
}

/* ---- collecting them ---- */

static void free_steps(struct steps *steps)
{
  for (size_t i = 0; i < steps->count; i++) {
    free(steps->list[i]->value);
    free(steps->list[i]);
  }
  free(steps->list);
}

static void take_path(const struct journal_entry *entry, int arg, char ret_path[PATH_MAX])
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_FULL_PATH, arg);
  if (segment && segment->length < PATH_MAX)
    memcpy(ret_path, segment->data, segment->length);
}

static int take_attribute(const struct journal_entry *entry, struct step *step)
{
  const struct journal_segment *name = journal_find_segment(entry, SEGMENT_PATH, 1);
  const struct journal_segment *value = journal_find_segment(entry, SEGMENT_ATTRIBUTE, 0);
  if (!name || name->length > XATTR_NAME_MAX)
    return -EBADMSG;
  memcpy(step->attribute, name->data, name->length);
  if (!value)
    return 0;
  step->value = malloc(value->length + 1);
  if (!step->value)
    return -ENOMEM;
  memcpy(step->value, value->data, value->length);
  step->value_size = value->length;
  return 0;
}

static int add_step(struct steps *steps, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_UNDO, -1);
  if (entry->kind != JOURNAL_KEEP || !segment)
    return 0;
  size_t kept_length = segment->length - sizeof(struct journal_undo);
  if (segment->length < sizeof(struct journal_undo) || kept_length > NAME_MAX)
    return -EBADMSG;
  if (steps->count == steps->room) {
    size_t room = steps->room ? steps->room * 2 : 64;
    struct step **grown = realloc(steps->list, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    steps->list = grown;
    steps->room = room;
  }
  struct step *step = calloc(1, sizeof *step);
  if (!step)
    return -ENOMEM;
  memcpy(&step->undo, segment->data, sizeof step->undo);
  memcpy(step->kept, segment->data + sizeof step->undo, kept_length);
  step->position = entry->position;
  take_path(entry, 0, step->path[0]);
  take_path(entry, 1, step->path[1]);
  steps->list[steps->count++] = step;
  if (step->path[0][0] != '/')
    return -EBADMSG;
  return step->undo.kind == JOURNAL_UNDO_ATTRIBUTE ? take_attribute(entry, step) : 0;
}

static int collect(struct store *store, const struct analysis *analysis, uint64_t begin, struct steps *steps,
                   struct failure *failure)
{
  const struct journal_entry *entry;
  struct store_cursor *cursor;
  uint64_t seq;
  int error = store_cursor_open(store, 1, &cursor, failure);
  if (error < 0)
    return error;
  while ((error = store_cursor_next(cursor, &entry, &seq, failure)) == 0 && entry) {
    bool counts = entry->position > begin && !analysis_skips(analysis, entry->position);
    int wrong = counts ? add_step(steps, entry) : 0;
    if (wrong) {
      error = failure_set(failure, wrong, "entry %" PRIu64 " of the journal does not say what it takes back: %s", seq,
                          strerror(-wrong));
      break;
    }
  }
  store_cursor_close(cursor);
  return error;
}

/* ---- how far it has come ---- */

#define PROGRESS_KEY "undone_to"

/* "END:POSITION": while the journal ended at END, the steps from POSITION on were made. */
static int load_progress(struct store *store, uint64_t end, uint64_t *ret_position, struct failure *failure)
{
  struct failure missing;
  uint64_t of, position;
  char *text;
  int error = store_meta_text(store, PROGRESS_KEY, &text, &missing);
  *ret_position = UINT64_MAX;
  if (error == -ENOENT)
    return 0;
  if (error < 0)
    return failure_set(failure, error, "%s", missing.text);
  if (sscanf(text, "%" SCNu64 ":%" SCNu64, &of, &position) == 2 && of == end)
    *ret_position = position;
  free(text);
  return 0;
}

static int save_progress(struct store *store, uint64_t end, uint64_t position, struct failure *failure)
{
  char text[48];
  snprintf(text, sizeof text, "%" PRIu64 ":%" PRIu64, end, position);
  int error = store_meta_set_text(store, PROGRESS_KEY, text, failure);
  return error == 0 ? store_sync(store, failure) : error;
}

int region_undo(struct store *store, const struct analysis *analysis, uint64_t begin, const char *kept_directory,
                uint64_t *ret_count, struct failure *failure)
{
  struct steps steps = {0};
  uint64_t end, entry_count, made = UINT64_MAX;
  int error = store_end(store, &end, &entry_count, failure);
  if (error == 0)
    error = load_progress(store, end, &made, failure);
  if (error == 0)
    error = collect(store, analysis, begin, &steps, failure);
  for (size_t i = steps.count; error == 0 && i-- > 0;) {
    const struct step *step = steps.list[i];
    if (step->position >= made)
      continue;
    int wrong = undo_step(step, kept_directory);
    error = wrong ? failure_set(failure, wrong, "an unfinished atomic region's change of %s cannot be taken back: %s; "
                                "put right what is in the way, and run the same command again", step->path[0],
                                strerror(-wrong))
                  : save_progress(store, end, step->position, failure);
  }
  if (error == 0)
    *ret_count = steps.count;
  free_steps(&steps);
  return error;
}
