/* SPDX-License-Identifier: Apache-2.0 */
/* What was, before a change inside an atomic region: as KEEP entries with SEGMENT_UNDO.
 *
 * A file's bytes are copied before the first change of what it held when the region began; of bytes behind its end
 * only the size is noted. A name that is taken away keeps its file by a hard link. Killed between a KEEP and its
 * INTENT, there is a record too many: taking back what has not happened changes nothing. */
#include "shim/region.h"

#include "shim/keep.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEEN_ROOM 1024 /* files; of those that do not fit, more copies than needed are made */

enum { SIZE_NOTED = 1, COPIED = 2 };

/* What this process has kept of which file since the outermost region began, whosever it is: the whole run goes
 * back to its beginning. A lost race between threads, or another process's copy, is one too many. */
static struct seen {
  uint64_t device, inode;
  uint32_t kept;
} seen[SEEN_ROOM] LARGE_TABLE;
static uint32_t seen_since; /* region_settled() then */

/* Regions of one process nest: what was kept since the outer one began serves the inner ones. Those of several
 * processes overlap, and the one that began first may end first. */
bool region_begins(void)
{
  struct tail_header *header = engine.tail.header;
  bool outer = atomic_fetch_add(&engine.process->regions, 1) == 0;
  if (outer)
    atomic_fetch_add(&header->regions_begun, 1);
  atomic_fetch_add(&header->regions_open, 1);
  return outer;
}

void region_has_begun(bool outer)
{
  if (outer)
    atomic_fetch_add(&engine.tail.header->regions_placed, 1);
}

void region_ended(void)
{
  atomic_fetch_sub(&engine.process->regions, 1);
  atomic_fetch_sub(&engine.tail.header->regions_open, 1);
}

static struct seen *find_seen(uint64_t device, uint64_t inode)
{
  uint32_t settled = region_settled();
  if (!settled)
    return NULL; /* what is kept now may lie before a region's beginning */
  if (seen_since != settled)
    raw_fill(seen, 0, sizeof seen);
  seen_since = settled;
  for (unsigned i = 0; i < 16; i++) {
    struct seen *slot = &seen[(inode + i) % SEEN_ROOM];
    if (slot->inode == inode && slot->device == device)
      return slot;
    if (!slot->inode) {
      slot->device = device;
      slot->inode = inode;
      return slot;
    }
  }
  return NULL;
}

static uint64_t time_ns(const struct statx_timestamp *time)
{
  return (uint64_t)time->tv_sec * 1000000000u + time->tv_nsec;
}

static bool look(int dirfd, const char *path, unsigned flags, struct journal_undo *ret_undo)
{
  struct statx about;
  if (raw_syscall5(SYS_statx, (uint64_t)(int64_t)dirfd, (uint64_t)path, flags, STATX_BASIC_STATS, (uint64_t)&about) != 0)
    return false;
  *ret_undo = (struct journal_undo){
      .mode = about.stx_mode,
      .uid = about.stx_uid,
      .gid = about.stx_gid,
      .device = (uint64_t)about.stx_dev_major << 32 | about.stx_dev_minor,
      .inode = about.stx_ino,
      .size = about.stx_size,
      .atime_ns = time_ns(&about.stx_atime),
      .mtime_ns = time_ns(&about.stx_mtime),
  };
  return true;
}

/* What `path` leads to, symlinks followed; `full` itself where it is a descriptor's, or cannot be asked. */
static const char *resolve(int dirfd, const char *path, const char *full, unsigned flags, char *room)
{
  if (flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
    return full;
  int64_t fd = open_aside(dirfd, path, O_PATH, 0);
  if (fd < 0)
    return full;
  size_t length = path_of_descriptor((int)fd, room);
  raw_syscall1(SYS_close, (uint64_t)fd);
  return length ? room : full;
}

/* second and kept may be NULL. */
static void record(const struct journal_undo *undo, const char *full, const char *second, const char *kept)
{
  static const struct call keeper = {.id = CALL_ID_JOURNAL};
  struct draft draft;
  draft_begin(&draft, &keeper, JOURNAL_KEEP, 0);
  draft.tail.signature = 0;
  draft_add2(&draft, SEGMENT_UNDO, 0, undo, sizeof *undo, kept, kept ? raw_length(kept) : 0);
  draft_add(&draft, SEGMENT_FULL_PATH, 0, full, raw_length(full));
  if (second)
    draft_add(&draft, SEGMENT_FULL_PATH, 1, second, raw_length(second));
  draft_append(&draft);
}

__attribute__((noreturn)) static void cannot_keep(const char *full, int64_t error)
{
  engine_failed(TAIL_REPORT_FAILED, "a file cannot be kept before an atomic region changes it: ", full, error);
}

void region_content(int dirfd, const char *path, const char *full, uint64_t offset, uint64_t length)
{
  struct journal_undo undo;
  char name[96], room[PATH_ROOM];
  if (!look(dirfd, path, 0, &undo) || !S_ISREG(undo.mode) || !length)
    return;
  struct seen *file = find_seen(undo.device, undo.inode);
  uint32_t kept = file ? file->kept : 0;
  bool overwrites = offset < undo.size;
  if (kept & COPIED || (kept & SIZE_NOTED && !overwrites))
    return;
  undo.kind = overwrites ? JOURNAL_UNDO_CONTENT : JOURNAL_UNDO_SIZE;
  int64_t result = overwrites ? keep_copy_as_new(dirfd, path, undo.inode, name) : 0;
  if (result < 0)
    cannot_keep(full, result);
  record(&undo, resolve(dirfd, path, full, 0, room), NULL, overwrites ? name : NULL);
  if (file)
    file->kept |= overwrites ? COPIED : SIZE_NOTED;
}

void region_content_of(int fd, uint64_t offset, uint64_t length)
{
  char full[PATH_ROOM], path[32];
  if (!path_of_descriptor(fd, full) || full[0] != '/')
    return;
  path_proc_fd(fd, path);
  region_content(AT_FDCWD, path, full, offset, length);
}

void region_made(const char *full)
{
  struct journal_undo undo = {.kind = JOURNAL_UNDO_MADE};
  record(&undo, full, NULL, NULL);
}

/* Only one symlink is followed: what a chain of them makes stays. */
static void region_created_once(const char *full)
{
  struct journal_undo undo;
  if (!look(AT_FDCWD, full, AT_SYMLINK_NOFOLLOW, &undo))
    region_made(full);
}

void region_created(const char *full)
{
  char target[PATH_ROOM], joined[2 * PATH_ROOM];
  int64_t length = raw_syscall3(SYS_readlink, (uint64_t)full, (uint64_t)target, sizeof target - 1);
  if (length <= 0) {
    region_made(full);
    return;
  }
  /* A symlink that leads nowhere: what it names is created. */
  target[length] = 0;
  size_t used = 0;
  for (size_t i = 0; target[0] != '/' && full[i]; i++)
    if (full[i] == '/')
      used = i + 1;
  raw_copy(joined, full, used);
  raw_copy(joined + used, target, (size_t)length + 1);
  if (used + (size_t)length < PATH_ROOM)
    region_created_once(joined);
}

void region_taken(int dirfd, const char *path, const char *full)
{
  struct journal_undo undo;
  char name[96], target[PATH_ROOM + 128];
  if (!look(dirfd, path, AT_SYMLINK_NOFOLLOW, &undo))
    return;
  undo.kind = S_ISDIR(undo.mode) ? JOURNAL_UNDO_DIRECTORY : JOURNAL_UNDO_TAKEN;
  if (S_ISDIR(undo.mode)) {
    record(&undo, full, NULL, NULL);
    return;
  }
  keep_new_name(name, target, undo.inode);
  int64_t result = raw_syscall5(SYS_linkat, (uint64_t)(int64_t)dirfd, (uint64_t)path, (uint64_t)(int64_t)AT_FDCWD,
                                (uint64_t)target, 0);
  if (result == 0)
    keep_hide_link(undo.device, undo.inode);
  else if (S_ISREG(undo.mode)) /* on another filesystem */
    result = keep_copy_as_new(dirfd, path, undo.inode, name);
  if (result < 0)
    cannot_keep(full, result);
  record(&undo, full, NULL, name);
}

void region_renamed(const char *from, const char *to, const struct journal_file *file, bool exchanged)
{
  struct journal_undo undo = {
      .kind = exchanged ? JOURNAL_UNDO_EXCHANGED : JOURNAL_UNDO_RENAMED,
      .device = file->device,
      .inode = file->inode,
  };
  record(&undo, from, to, NULL);
}

void region_state(int dirfd, const char *path, const char *full, unsigned flags)
{
  struct journal_undo undo;
  if (!look(dirfd, path, flags, &undo))
    return;
  char room[PATH_ROOM];
  undo.kind = JOURNAL_UNDO_STATE;
  record(&undo, resolve(dirfd, path, full, flags, room), NULL, NULL);
}

/* By a path that does not need the directory's descriptor, which the calls for attributes do not take. */
static int64_t get_attribute(const char *full, bool follow, const char *name, void *bytes, size_t size)
{
  return raw_syscall4(follow ? SYS_getxattr : SYS_lgetxattr, (uint64_t)full, (uint64_t)name, (uint64_t)bytes, size);
}

void region_attribute(int dirfd, const char *path, const char *full, unsigned flags, const char *name)
{
  static const struct call keeper = {.id = CALL_ID_JOURNAL};
  struct journal_undo undo;
  struct draft draft;
  if (!look(dirfd, path, flags, &undo))
    return;
  char room[PATH_ROOM];
  undo.kind = JOURNAL_UNDO_ATTRIBUTE;
  full = resolve(dirfd, path, full, flags, room);
  bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
  uint8_t *bytes = NULL;
  int64_t size = get_attribute(full, follow, name, NULL, 0);
  if (size > 0) {
    bytes = (uint8_t *)raw_syscall6(SYS_mmap, TAIL_ADDRESS - (1ull << 32), (uint64_t)size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
    size = get_attribute(full, follow, name, bytes, (size_t)size);
  }
  draft_begin(&draft, &keeper, JOURNAL_KEEP, 0);
  draft.tail.signature = 0;
  draft_add(&draft, SEGMENT_UNDO, 0, &undo, sizeof undo);
  draft_add(&draft, SEGMENT_FULL_PATH, 0, full, raw_length(full));
  draft_add(&draft, SEGMENT_PATH, 1, name, raw_length(name));
  if (size >= 0)
    draft_add(&draft, SEGMENT_ATTRIBUTE, 0, bytes, (size_t)size);
  draft_append(&draft);
  if (bytes)
    raw_syscall2(SYS_munmap, (uint64_t)bytes, (uint64_t)size);
}
