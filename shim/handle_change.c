/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of names, attributes and sizes, and changes without anything special about them.
 *
 * The intent holds what the world was before (which file, was the name free). Killed between it and
 * the outcome, recovery looks whether it happened; what gives the same when repeated is repeated. */
#include "shim/descriptors.h"
#include "shim/ghosts.h"
#include "shim/keep.h"
#include "shim/mappings.h"
#include "shim/paths.h"
#include "shim/region.h"
#include "shim/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>

static unsigned kind_of(const struct call *call, unsigned arg)
{
  return CALL_ARG_KIND(call->shape->args[arg]);
}

/* The directory that a path argument is relative to: the argument before it, where that is one. */
static int directory_of(const struct call *call, unsigned arg)
{
  return arg > 0 && kind_of(call, arg - 1) == ARG_DIRFD ? (int)call->args[arg - 1] : AT_FDCWD;
}

static int64_t change(struct call *call, struct draft *draft)
{
  record_intent(draft, call);
  int64_t result = call_run(call);
  record_result(call, result);
  return result;
}

/* ---- names ---- */

struct names {
  char full[2][PATH_ROOM];
  struct journal_file file[2];
  int64_t found[2]; /* 0 or -errno of looking */
  unsigned arg[2];
  unsigned count;
};

/* How many names may disappear under this call: unlink takes its one, rename the second one's file. */
static int victim_of(const struct call *call, const struct names *names)
{
  switch (call->id) {
  case SYS_unlink:
  case SYS_unlinkat:
    return names->found[0] == 0 ? 0 : -1;
  case SYS_rename:
  case SYS_renameat:
  case SYS_renameat2:
    if (call->id == SYS_renameat2 && call->args[4] & (RENAME_EXCHANGE | RENAME_NOREPLACE))
      return -1;
    return names->found[0] == 0 && names->found[1] == 0 &&
                   names->file[0].inode != names->file[1].inode
               ? 1
               : -1;
  }
  return -1;
}

static void look_at_names(const struct call *call, struct draft *draft, struct names *names)
{
  names->count = 0;
  for (unsigned arg = 0; arg < 6 && names->count < 2; arg++) {
    if (kind_of(call, arg) != ARG_PATH || !call->args[arg])
      continue;
    unsigned i = names->count++;
    const char *path = (const char *)call->args[arg];
    int dirfd = directory_of(call, arg);
    size_t length = path_name(dirfd, path, names->full[i]);
    bool followed = call->id == SYS_linkat && i == 0 && call->args[4] & AT_SYMLINK_FOLLOW;
    names->arg[i] = arg;
    names->found[i] = file_look(dirfd, path, followed ? 0 : AT_SYMLINK_NOFOLLOW, &names->file[i]);
    draft_add(draft, SEGMENT_FULL_PATH, arg, names->full[i], length);
    if (names->found[i] != 0)
      continue;
    names->file[i].link_count -= (uint32_t)keep_hidden_links(names->file[i].device, names->file[i].inode);
    draft_add(draft, SEGMENT_FILE, arg, &names->file[i], sizeof names->file[i]);
  }
}

static void keep_victim(const struct call *call, const struct names *names)
{
  int victim = victim_of(call, names);
  if (victim < 0)
    return;
  const struct journal_file *file = &names->file[victim];
  if (!S_ISREG(file->mode) || file->link_count > 1)
    return;
  if (keep_referenced(file->device, file->inode) || descriptor_needs_file(file->device, file->inode))
    keep_link(directory_of(call, names->arg[victim]),
              (const char *)call->args[names->arg[victim]], file);
}

/* What of the names changes when the call succeeds: how an atomic region takes it back. */
static void keep_names(const struct call *call, void *context)
{
  const struct names *names = context;
  unsigned last = names->count - 1;
  if (!names->count)
    return;
  switch (call->id) {
  case SYS_unlink:
  case SYS_unlinkat:
  case SYS_rmdir:
    if (names->found[0] == 0)
      region_taken(directory_of(call, names->arg[0]), (const char *)call->args[names->arg[0]], names->full[0]);
    return;
  case SYS_rename:
  case SYS_renameat:
  case SYS_renameat2: {
    bool exchanged = call->id == SYS_renameat2 && call->args[4] & RENAME_EXCHANGE;
    bool same = names->found[last] == 0 && names->file[0].inode == names->file[last].inode;
    if (names->found[0] != 0 || same)
      return;
    if (!exchanged && names->found[last] == 0)
      region_taken(directory_of(call, names->arg[last]), (const char *)call->args[names->arg[last]],
                   names->full[last]);
    region_renamed(names->full[0], names->full[last], &names->file[0], exchanged);
    return;
  }
  }
  /* mkdir, mknod, link, symlink */
  if (names->found[last] == -ENOENT)
    region_made(names->full[last]);
}

static bool renames(const struct call *call)
{
  return call->id == SYS_rename || call->id == SYS_renameat || call->id == SYS_renameat2;
}

/* The working directory goes along when it, or one above it, gets another name. */
static void follow_rename(const struct call *call, const char *from, size_t from_length,
                          const char *to, size_t to_length)
{
  bool exchanged = call->id == SYS_renameat2 && call->args[4] & RENAME_EXCHANGE;
  if (!path_moved(engine.directory, sizeof engine.directory, from, from_length, to, to_length) && exchanged)
    path_moved(engine.directory, sizeof engine.directory, to, to_length, from, from_length);
}

/* The file that loses a name by unlink, or by another file's taking it, may have none left. */
static void follow_victim(const struct call *call, const struct journal_entry *intent)
{
  unsigned arg = 0;
  if (call->id == SYS_renameat2 && call->args[4] & (RENAME_EXCHANGE | RENAME_NOREPLACE))
    return;
  for (unsigned i = 0; i < 6; i++)
    if (kind_of(call, i) == ARG_PATH)
      arg = i;
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_FILE, (int)arg);
  if (!segment)
    return;
  const struct journal_file *file = (const struct journal_file *)segment->data;
  if (S_ISREG(file->mode) && file->link_count == 1)
    ghost_begin(file);
}

static void follow_replayed(const struct call *call, const struct journal_entry *intent)
{
  if (call->id == SYS_unlink || call->id == SYS_unlinkat || renames(call))
    follow_victim(call, intent);
  if (!renames(call))
    return;
  const struct journal_segment *from = journal_find_segment(intent, SEGMENT_FULL_PATH, -1);
  const struct journal_segment *to = from;
  while (to && (to == from || to->type != SEGMENT_FULL_PATH))
    to = journal_next_segment(intent, to);
  if (to)
    follow_rename(call, (const char *)from->data, from->length, (const char *)to->data, to->length);
}

int64_t handle_name(struct call *call)
{
  call_sign(call);
  int64_t result;
  const struct journal_entry *intent;
  if (!engine_live() && replay_change(call, &result, &intent, NULL)) {
    if (result == 0)
      follow_replayed(call, intent);
    return result;
  }
  struct names names;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  look_at_names(call, &draft, &names);
  keep_victim(call, &names);
  region_keep(call, keep_names, &names);
  result = change(call, &draft);
  if (result == 0 && renames(call) && names.count == 2)
    follow_rename(call, names.full[0], raw_length(names.full[0]), names.full[1],
                  raw_length(names.full[1]));
  return result;
}

/* ---- attributes, sizes, and the rest ---- */

/* Which file it concerns, by its first path or descriptor. */
static bool look_at_subject(const struct call *call, struct draft *draft, char *full,
                            struct journal_file *file)
{
  for (unsigned arg = 0; arg < 6; arg++) {
    int64_t found;
    if (kind_of(call, arg) == ARG_PATH && call->args[arg]) {
      const char *path = (const char *)call->args[arg];
      int dirfd = directory_of(call, arg);
      draft_add(draft, SEGMENT_FULL_PATH, arg, full, path_full(dirfd, path, full));
      found = file_look(dirfd, path, 0, file);
    } else if (kind_of(call, arg) == ARG_FD) {
      found = file_look((int)call->args[arg], "", AT_EMPTY_PATH, file);
    } else {
      continue;
    }
    if (found == 0)
      draft_add(draft, SEGMENT_FILE, arg, file, sizeof *file);
    return found == 0;
  }
  return false;
}

#define ATTRIBUTE_SHOWN 256

/* What the file has of the extended attribute that is about to change. */
static void add_old_attribute(struct draft *draft, const struct call *call, void *room)
{
  uint64_t number;
  switch (call->id) {
  case SYS_setxattr:
  case SYS_removexattr:
    number = SYS_getxattr;
    break;
  case SYS_lsetxattr:
  case SYS_lremovexattr:
    number = SYS_lgetxattr;
    break;
  case SYS_fsetxattr:
  case SYS_fremovexattr:
    number = SYS_fgetxattr;
    break;
  default:
    return;
  }
  int64_t size = raw_syscall4((int64_t)number, call->args[0], call->args[1], (uint64_t)room, ATTRIBUTE_SHOWN);
  if (size >= 0 || size == -ERANGE)
    draft_add(draft, SEGMENT_ATTRIBUTE, 1, room, size > 0 ? (size_t)size : 0);
}

static bool changes_attribute(const struct call *call)
{
  return call->id == SYS_setxattr || call->id == SYS_lsetxattr || call->id == SYS_fsetxattr ||
         call->id == SYS_removexattr || call->id == SYS_lremovexattr || call->id == SYS_fremovexattr;
}

static void keep_one_state(const struct call *call, int dirfd, const char *path, const char *full, unsigned flags)
{
  if (changes_attribute(call))
    region_attribute(dirfd, path, full, flags, (const char *)call->args[1]);
  else
    region_state(dirfd, path, full, flags);
}

/* Of the first path or descriptor, as look_at_subject() took it. */
static void keep_state(const struct call *call, void *context)
{
  char *full = context;
  bool itself = call->id == SYS_lsetxattr || call->id == SYS_lremovexattr;
  for (unsigned arg = 0; arg < 6; arg++) {
    if (kind_of(call, arg) == ARG_PATH && call->args[arg]) {
      keep_one_state(call, directory_of(call, arg), (const char *)call->args[arg], full,
                     itself ? AT_SYMLINK_NOFOLLOW : 0);
      return;
    }
    if (kind_of(call, arg) == ARG_FD) {
      if (path_of_descriptor((int)call->args[arg], full))
        keep_one_state(call, (int)call->args[arg], "", full, AT_EMPTY_PATH);
      return;
    }
  }
}

int64_t handle_attribute(struct call *call)
{
  call_sign(call);
  int64_t result;
  if (!engine_live() && replay_change(call, &result, NULL, NULL))
    return result;
  char full[PATH_ROOM];
  struct journal_file file;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  bool found = look_at_subject(call, &draft, full, &file);
  if (found)
    region_keep(call, keep_state, full);
  char attribute[ATTRIBUTE_SHOWN];
  add_old_attribute(&draft, call, attribute);
  return change(call, &draft);
}

/* The stores of the file, if it has any, change their size with it. */
static void follow_size(const struct call *call, const struct journal_entry *intent, int64_t result)
{
  if (result != 0)
    return;
  const struct descriptor *descriptor =
      call->id == SYS_truncate ? NULL : descriptor_get((int)call->args[0]);
  if (descriptor && descriptor->kind == DESCRIPTOR_PLACEHOLDER) {
    if (call->id == SYS_ftruncate)
      stores_truncate(descriptor, call->args[1]);
    else
      stores_allocate(descriptor, call);
    return;
  }
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_FILE, -1);
  if (!segment)
    return;
  const struct journal_file *file = (const struct journal_file *)segment->data;
  struct store_id id = {file->device, file->inode, file->birth_ns};
  if (file_is_mapped(id.device, id.inode, id.birth_ns))
    store_truncate(STORE_MAPPED, &id, call->args[1]);
}

static bool takes_bytes(const struct call *call, const struct journal_file *file)
{
  if (call->id == SYS_fallocate)
    return call->args[1] & ~(uint64_t)FALLOC_FL_KEEP_SIZE;
  return call->args[1] < file->size;
}

struct sizing {
  const char *full;
  const struct journal_file *file;
};

static void keep_content(const struct call *call, void *context)
{
  const struct sizing *sizing = context;
  uint64_t offset = takes_bytes(call, sizing->file) ? 0 : sizing->file->size;
  if (call->id == SYS_truncate)
    region_content(AT_FDCWD, (const char *)call->args[0], sizing->full, offset, 1);
  else
    region_content_of((int)call->args[0], offset, 1);
}

int64_t handle_size(struct call *call)
{
  call_sign(call);
  bool by_path = call->id == SYS_truncate;
  if (!by_path && descriptor_get((int)call->args[0])->kind == DESCRIPTOR_MEMFD)
    return local(call);
  const struct journal_entry *outcome;
  int64_t result;
  const struct journal_entry *intent;
  if (!engine_live() && replay_change(call, &result, &intent, &outcome)) {
    follow_size(call, intent, result);
    replay_advance(outcome);
    return result;
  }
  char full[PATH_ROOM], link[32];
  struct journal_file file;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  bool found = look_at_subject(call, &draft, full, &file);
  if (found && S_ISREG(file.mode) && file.size && takes_bytes(call, &file) &&
      keep_referenced(file.device, file.inode)) {
    path_proc_fd((int)call->args[0], link);
    keep_copy(AT_FDCWD, by_path ? (const char *)call->args[0] : link, &file);
  }
  struct sizing sizing = {full, &file};
  if (found)
    region_keep(call, keep_content, &sizing);
  return change(call, &draft);
}

/* A change whose signature the caller has made. */
int64_t change_signed(struct call *call)
{
  int64_t result;
  if (!engine_live() && replay_change(call, &result, NULL, NULL))
    return result;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  return change(call, &draft);
}

/* Durability that the program asked for was given when it was recorded; what comes after a crash asks again. */
int64_t handle_sync(struct call *call)
{
  call_sign(call);
  return change_signed(call);
}

int64_t change_by_ioctl(struct call *call)
{
  int64_t result;
  if (!engine_live() && replay_change(call, &result, NULL, NULL))
    return result;
  char full[PATH_ROOM];
  struct journal_file file;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  look_at_subject(call, &draft, full, &file);
  descriptor_not_fresh((int)call->args[0]);
  return change(call, &draft);
}

/* Any change whose row says it all: repeated when its outcome is not known. */
int64_t handle_change(struct call *call)
{
  return handle_attribute(call);
}

int64_t handle_remote(struct call *call)
{
  return handle_sync(call);
}
