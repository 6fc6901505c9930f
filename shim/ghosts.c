/* SPDX-License-Identifier: Apache-2.0 */
/* Nameless files, from their stores to the files that stand for them.
 *
 * Killed at any line, the next attempt builds its own. That a file goes on as another one is journaled
 * before the program can do anything with it, so that a name which it gets later is known to be its. */
#include "shim/ghosts.h"

#include "shim/keep.h"
#include "shim/paths.h"
#include "shim/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define GHOST_MAX 256

struct ghost {
  struct journal_file file; /* as the program opened it */
  int32_t fd;               /* of the file that stands for it now */
};

/* Of the process that goes live, while it does. */
LARGE_TABLE static struct ghost ghosts[GHOST_MAX];
static unsigned ghost_count;

__attribute__((noreturn)) static void cannot_build(const char *path, int64_t error)
{
  engine_failed(TAIL_REPORT_FAILED, "a file without a name cannot be built again: ", path, error);
}

static struct store_id id_of(const struct feed_file *file)
{
  return (struct store_id){file->device, file->inode, file->birth_ns};
}

/* A kept name that is a link to the file itself has its writes already; a copy has not. */
static bool kept_by_link(const struct feed_file *file)
{
  struct journal_file kept;
  return file->path && file_look(AT_FDCWD, feed_at(file->path), AT_SYMLINK_NOFOLLOW, &kept) == 0 &&
         kept.inode == file->inode && kept.device == file->device;
}

bool ghost_file(const struct feed_file *file)
{
  if (!file || !(file->flags & FEED_FILE_GHOST))
    return false;
  struct store_id id = id_of(file);
  return !(file->flags & FEED_FILE_KEPT) || store_exists(STORE_GHOST, &id);
}

/* ---- replay ---- */

void ghost_begin(const struct journal_file *file)
{
  const struct feed_file *found = feed_find_primary(file->device, file->inode, file->birth_ns);
  uint32_t kept = FEED_FILE_GHOST | FEED_FILE_KEPT;
  if (!found || (found->flags & kept) != kept || !found->path || kept_by_link(found))
    return;
  struct store_id id = id_of(found);
  int64_t to = store_open(STORE_GHOST, &id);
  int64_t from = open_aside(AT_FDCWD, feed_at(found->path), O_RDONLY, 0);
  int64_t result = from < 0 ? from : keep_copy_bytes(from, to);
  if (result < 0)
    cannot_build(feed_at(found->path), result);
  raw_syscall1(SYS_close, (uint64_t)from);
  raw_syscall1(SYS_close, (uint64_t)to);
  /* What is known of descriptors says that writes are not applied. */
  descriptor_forget_all();
}

const char *ghost_or_file_path(const struct feed_file *file, char *room)
{
  if (!file)
    return "";
  if (ghost_file(file)) {
    struct store_id id = id_of(file);
    store_path(STORE_GHOST, &id, room);
    return room;
  }
  return file->path ? feed_at(file->path) : "";
}

/* ---- going live ---- */

static void record_reborn(const struct journal_file *before, int64_t fd)
{
  static const struct call go_live = {.id = CALL_ID_JOURNAL};
  struct journal_file now;
  struct draft draft;
  int64_t result = file_look((int)fd, "", AT_EMPTY_PATH, &now);
  if (result < 0)
    cannot_build("statx", result);
  draft_begin(&draft, &go_live, JOURNAL_KEEP, 0);
  draft.tail.signature = 0;
  draft_add(&draft, SEGMENT_FILE, 0, before, sizeof *before);
  draft_add(&draft, SEGMENT_FILE, 1, &now, sizeof now);
  draft_append(&draft);
}

/* The store's bytes in a nameless file of `directory`; where that cannot be, the store itself. */
static int64_t make_nameless(const struct journal_file *file, const char *directory)
{
  struct store_id id = {file->device, file->inode, file->birth_ns};
  int64_t store = store_open(STORE_GHOST, &id);
  store_remove(STORE_GHOST, &id);
  int64_t fd = directory ? open_aside(AT_FDCWD, directory, O_TMPFILE | O_RDWR, 0600) : -ENOENT;
  if (fd < 0)
    return store;
  int64_t result = keep_copy_bytes(store, fd);
  if (result < 0)
    cannot_build(directory, result);
  raw_syscall1(SYS_close, (uint64_t)store);
  return fd;
}

static struct ghost *find_or_make(const struct journal_file *file, const char *directory)
{
  for (unsigned i = 0; i < ghost_count; i++)
    if (ghosts[i].file.inode == file->inode && ghosts[i].file.device == file->device &&
        ghosts[i].file.birth_ns == file->birth_ns)
      return &ghosts[i];
  if (ghost_count == GHOST_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more open files without a name than can be built again", "", GHOST_MAX);
  struct ghost *ghost = &ghosts[ghost_count++];
  *ghost = (struct ghost){*file, (int32_t)make_nameless(file, directory)};
  record_reborn(file, ghost->fd);
  return ghost;
}

int64_t ghost_open(const struct journal_file *file, const char *directory, uint64_t flags)
{
  const struct feed_file *found = feed_find_primary(file->device, file->inode, file->birth_ns);
  struct journal_file primary = *file;
  if (found) {
    primary.device = found->device;
    primary.inode = found->inode;
    primary.birth_ns = found->birth_ns;
  }
  const struct ghost *ghost = find_or_make(&primary, directory);
  char path[32];
  path_proc_fd(ghost->fd, path);
  return open_aside(AT_FDCWD, path, flags & ~(uint64_t)(O_DIRECTORY | O_TMPFILE), 0);
}

void ghosts_release(void)
{
  for (unsigned i = 0; i < ghost_count; i++) {
    raw_syscall2(SYS_fchmod, (uint64_t)ghosts[i].fd, ghosts[i].file.mode & 07777);
    raw_syscall1(SYS_close, (uint64_t)ghosts[i].fd);
  }
  ghost_count = 0;
}
