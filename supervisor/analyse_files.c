/* SPDX-License-Identifier: Apache-2.0 */
/* What calls do to files and their names.
 *
 * An intent's paths are as the program wrote them, made absolute; what an open result tells is the
 * canonical path. Where the two differ (a symlink on the way), the identity in the intent's FILE
 * segment says which known file is meant. */
#include "supervisor/analysis.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

static void mark_changed(struct analysis *analysis, const struct file_id *id)
{
  uint32_t file = known_files_find(&analysis->files, id);
  if (file != KNOWN_FILE_NONE)
    analysis->files.files[file].changed = true;
}

int analysis_files_intent(struct analysis *analysis, const struct journal_entry *intent)
{
  const struct change *change = change_of(intent->call);
  bool link = change->kind == CHANGE_RENAME || change->kind == CHANGE_REMOVE;
  old_bytes_settle(&analysis->old, intent->stream, !link);
  if (change->kind == CHANGE_SYNC || change->kind == CHANGE_SLEEP || change->kind == CHANGE_EXEC ||
      change->kind == CHANGE_FORK)
    return 0;
  if (change->kind == CHANGE_OPEN && !(change_open_flags(change, intent) & O_TRUNC))
    return 0;
  const struct journal_segment *segment = entry_segments(intent);
  for (; segment; segment = journal_next_segment(intent, segment)) {
    if (segment->type == SEGMENT_FILE) {
      struct journal_file file;
      memcpy(&file, segment->data, sizeof file);
      mark_changed(analysis, &(struct file_id){file.device, file.inode, file.birth_ns});
    } else if (segment->type == SEGMENT_WRITTEN) {
      struct journal_written written;
      memcpy(&written, segment->data, sizeof written);
      mark_changed(analysis, &(struct file_id){written.device, written.inode, written.birth_ns});
    }
  }
  return 0;
}

/* outcome says what was opened. */
static int opened(struct analysis *analysis, const struct journal_entry *outcome, bool changed,
                  bool nameless)
{
  struct journal_file opened_file;
  if (!entry_file(outcome, 0, &opened_file))
    return 0;
  struct file_id id = file_id_of(&opened_file);
  uint32_t file;
  int error = known_files_add(&analysis->files, &id, &file);
  if (error)
    return error;
  if (changed)
    analysis->files.files[file].changed = true;
  if (nameless)
    analysis->files.files[file].nameable = true;
  size_t length;
  const char *path = entry_path(outcome, 0, &length);
  return path ? known_files_name(&analysis->files, file, path, length) : 0;
}

/* The known file that `before` (what the intent found) is, or KNOWN_FILE_NONE. */
static uint32_t known(const struct analysis *analysis, const struct journal_file *before)
{
  struct file_id id = file_id_of(before);
  return known_files_find(&analysis->files, &id);
}

static bool single_name(const struct journal_file *file)
{
  return S_ISDIR(file->mode) || file->link_count == 1;
}

/* The name of `file` that an intent calls `path`: that one, unless the file is known under another,
 * has only one, and so must be meant by it. Writes to `other` then. */
static const char *known_name(const struct analysis *analysis, const struct journal_file *before,
                              const char *path, size_t *length, char other[KNOWN_PATH_SIZE_MAX])
{
  uint32_t file = known(analysis, before);
  if (file == KNOWN_FILE_NONE || !single_name(before) ||
      known_files_at(&analysis->files, path, *length) == file ||
      known_files_path(&analysis->files, file, 0, other, NULL) != 0)
    return path;
  *length = strlen(other);
  return other;
}

static int renamed(struct analysis *analysis, const struct change *change,
                   const struct journal_entry *intent)
{
  char other[KNOWN_PATH_SIZE_MAX], replaced[KNOWN_PATH_SIZE_MAX];
  struct known_files *files = &analysis->files;
  size_t from_length, to_length;
  const char *from = entry_path(intent, change->arg, &from_length);
  const char *to = entry_path(intent, change->arg2, &to_length);
  if (!from || !to)
    return 0;
  struct journal_file source, target;
  bool has_source = entry_file(intent, change->arg, &source);
  bool has_target = entry_file(intent, change->arg2, &target);
  if (has_source)
    from = known_name(analysis, &source, from, &from_length, other);
  if (has_target)
    to = known_name(analysis, &target, to, &to_length, replaced);
  if (change->flags != CHANGE_ARG_NONE && entry_arg(intent, change->flags) & RENAME_EXCHANGE)
    return known_files_exchange(files, from, from_length, to, to_length);
  if (has_source && has_target && source.device == target.device &&
      source.inode == target.inode && source.birth_ns == target.birth_ns)
    return 0; /* two names of one file: rename leaves both */
  return known_files_rename(files, from, from_length, to, to_length);
}

static int linked(struct analysis *analysis, const struct change *change,
                  const struct journal_entry *intent)
{
  size_t from_length, to_length;
  const char *from = entry_path(intent, change->arg, &from_length);
  const char *to = entry_path(intent, change->arg2, &to_length);
  if (!to)
    return 0;
  struct journal_file source;
  uint32_t file = KNOWN_FILE_NONE;
  /* /proc/self/fd/N and "" with AT_EMPTY_PATH name nothing in the tree: the identity comes first. */
  if (entry_file(intent, change->arg, &source)) {
    struct file_id id = file_id_of(&source);
    int error = known_files_add(&analysis->files, &id, &file);
    if (error)
      return error;
    analysis->files.files[file].changed = true;
  } else if (from) {
    file = known_files_at(&analysis->files, from, from_length);
  }
  if (file == KNOWN_FILE_NONE) {
    known_files_unname(&analysis->files, to, to_length);
    return 0;
  }
  return known_files_name(&analysis->files, file, to, to_length);
}

static void removed(struct analysis *analysis, const struct change *change,
                    const struct journal_entry *intent)
{
  char other[KNOWN_PATH_SIZE_MAX];
  size_t length;
  const char *path = entry_path(intent, change->arg, &length);
  struct journal_file before;
  if (!path)
    return;
  if (entry_file(intent, change->arg, &before)) {
    path = known_name(analysis, &before, path, &length, other);
    uint32_t file = known(analysis, &before);
    /* Its last name: those that it is known under besides are ways around a symlink. */
    if (file != KNOWN_FILE_NONE && !S_ISDIR(before.mode) && before.link_count == 1)
      known_files_unname_all(&analysis->files, file);
  }
  known_files_unname(&analysis->files, path, length);
}

/* A new thing that nobody has opened has the name. */
static void made(struct analysis *analysis, unsigned arg, const struct journal_entry *intent)
{
  size_t length;
  const char *path = entry_path(intent, (int)arg, &length);
  if (path)
    known_files_unname(&analysis->files, path, length);
}

int analysis_files_changed(struct analysis *analysis, const struct journal_entry *intent,
                           const struct journal_entry *outcome)
{
  const struct change *change = change_of(intent->call);
  struct journal_file before;
  switch (change->kind) {
  case CHANGE_OPEN: {
    uint64_t flags = change_open_flags(change, intent);
    bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
    bool fresh = nameless || flags & O_TRUNC || !entry_file(intent, change->arg, &before);
    return outcome ? opened(analysis, outcome, fresh, nameless) : 0;
  }
  case CHANGE_BIND:
    return outcome ? opened(analysis, outcome, true, false) : 0;
  case CHANGE_RENAME:
    return renamed(analysis, change, intent);
  case CHANGE_LINK:
    return linked(analysis, change, intent);
  case CHANGE_SYMLINK:
    made(analysis, change->arg2, intent);
    return 0;
  case CHANGE_MAKE:
    made(analysis, change->arg, intent);
    return 0;
  case CHANGE_REMOVE:
    removed(analysis, change, intent);
    return 0;
  }
  return 0;
}

int analysis_files_observed(struct analysis *analysis, const struct journal_entry *entry)
{
  if (entry->result >= 0 && change_of(entry->call)->kind == CHANGE_OPEN) {
    int error = opened(analysis, entry, false, false);
    if (error)
      return error;
  }
  const struct journal_segment *segment = entry_segments(entry);
  for (; segment; segment = journal_next_segment(entry, segment)) {
    struct journal_reference reference;
    if (segment->type != SEGMENT_REFERENCE)
      continue;
    memcpy(&reference, segment->data, sizeof reference);
    struct file_id id = {reference.device, reference.inode, reference.birth_ns};
    uint32_t file;
    int error = known_files_add(&analysis->files, &id, &file);
    if (error)
      return error;
  }
  return 0;
}

static int keep_old(struct analysis *analysis, uint64_t position,
                    const struct journal_segment *segment)
{
  struct journal_old old;
  memcpy(&old, segment->data, sizeof old);
  struct file_id id = {old.device, old.inode, old.birth_ns};
  uint32_t file;
  int error = known_files_add(&analysis->files, &id, &file);
  if (error)
    return error;
  return old_bytes_add(&analysis->old, file, position, old.offset,
                       segment->length - (uint32_t)sizeof old);
}

static int keep_file(struct analysis *analysis, const struct journal_entry *entry,
                     const struct journal_segment *segment)
{
  struct journal_kept kept;
  memcpy(&kept, segment->data, sizeof kept);
  struct file_id id = {kept.device, kept.inode, kept.birth_ns};
  uint32_t file;
  int error = known_files_add(&analysis->files, &id, &file);
  if (error)
    return error;
  return old_bytes_keep(&analysis->old, file, entry->position, entry->stream,
                        (const char *)segment->data + sizeof kept, segment->length - sizeof kept,
                        segment->arg == 1);
}

/* Two FILE segments: the second file stands for the first, which nobody could open again. */
static int reborn(struct analysis *analysis, const struct journal_file *before,
                  const struct journal_file *now)
{
  struct file_id first = file_id_of(before), second = file_id_of(now);
  uint32_t file;
  int error = known_files_add(&analysis->files, &first, &file);
  return error ? error : known_files_same(&analysis->files, file, &second);
}

int analysis_files_keep(struct analysis *analysis, const struct journal_entry *entry)
{
  struct journal_file before, now;
  if (entry_file(entry, 0, &before) && entry_file(entry, 1, &now))
    return reborn(analysis, &before, &now);
  /* One that was opened where nothing is journaled. */
  if (entry_file(entry, 0, &before) && entry_path(entry, 0, &(size_t){0}))
    return opened(analysis, entry, true, false);
  const struct journal_segment *segment = entry_segments(entry);
  for (; segment; segment = journal_next_segment(entry, segment)) {
    int error = segment->type == SEGMENT_OLD    ? keep_old(analysis, entry->position, segment)
                : segment->type == SEGMENT_KEPT ? keep_file(analysis, entry, segment)
                                                : 0;
    if (error)
      return error;
  }
  return 0;
}
