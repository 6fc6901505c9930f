/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of descriptors, and the placeholders that stand for files while the journal is replayed.
 *
 * A placeholder is a memfd whose name says which entry of the feed opened it. So everything that the
 * kernel knows of a description (number, sharing, offset, flags, locks, close-on-exec) is kept by the
 * kernel, also over an exec, and going live only asks it. */
#include "shim/descriptors.h"

#include "shim/paths.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TABLE_SIZE 4096
#define PLACEHOLDER_NAME "perdure:"

static struct descriptor table[TABLE_SIZE];
static struct descriptor beyond;

void file_from_statx(struct journal_file *file, const struct statx *stx)
{
  *file = (struct journal_file){
      .device = (uint64_t)stx->stx_dev_major << 32 | stx->stx_dev_minor,
      .inode = stx->stx_ino,
      .size = stx->stx_size,
      .mtime_ns = (uint64_t)stx->stx_mtime.tv_sec * 1000000000u + stx->stx_mtime.tv_nsec,
      .ctime_ns = (uint64_t)stx->stx_ctime.tv_sec * 1000000000u + stx->stx_ctime.tv_nsec,
      .mode = stx->stx_mode,
      .link_count = stx->stx_nlink,
  };
  if (stx->stx_mask & STATX_BTIME)
    file->birth_ns = (uint64_t)stx->stx_btime.tv_sec * 1000000000u + stx->stx_btime.tv_nsec;
}

int64_t file_look(int dirfd, const char *path, unsigned flags, struct journal_file *ret_file)
{
  struct statx stx;
  int64_t result = raw_syscall5(SYS_statx, (uint64_t)(int64_t)dirfd, (uint64_t)path, flags,
                                STATX_BASIC_STATS | STATX_BTIME, (uint64_t)&stx);
  if (result == 0)
    file_from_statx(ret_file, &stx);
  return result;
}

static bool starts_with(const char *text, const char *prefix)
{
  while (*prefix)
    if (*text++ != *prefix++)
      return false;
  return true;
}

/* What it stands for. A file that has lost its last name is rebuilt from the writes of the replay. */
static void tell_placeholder(struct descriptor *descriptor, const struct journal_entry *entry)
{
  descriptor->kind = DESCRIPTOR_PLACEHOLDER;
  descriptor->feed_offset = feed_offset(entry);
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_FILE, -1);
  if (!segment)
    return;
  const struct journal_file *file = (const struct journal_file *)segment->data;
  const struct feed_file *found = feed_find_file(file->device, file->inode, file->birth_ns);
  descriptor->device = file->device;
  descriptor->inode = file->inode;
  descriptor->birth_ns = file->birth_ns;
  if (found && found->flags & FEED_FILE_GHOST)
    descriptor->flags |= DESCRIPTOR_GHOST;
}

/* A regular file without a name may be a memfd: the program's own, or a placeholder. */
static void tell_nameless(int fd, struct descriptor *descriptor)
{
  char path[PATH_ROOM];
  path_of_descriptor(fd, path);
  if (!starts_with(path, "/memfd:"))
    return;
  const char *name = path + sizeof "/memfd:" - 1;
  if (!starts_with(name, PLACEHOLDER_NAME)) {
    descriptor->kind = DESCRIPTOR_MEMFD;
    return;
  }
  uint64_t offset = 0;
  for (name += sizeof PLACEHOLDER_NAME - 1; *name >= '0' && *name <= '9'; name++)
    offset = offset * 10 + (uint64_t)(*name - '0');
  if (!engine_live())
    tell_placeholder(descriptor, feed_at(offset));
}

static void tell_anonymous(int fd, struct descriptor *descriptor)
{
  char path[PATH_ROOM];
  path_of_descriptor(fd, path);
  descriptor->kind = raw_same_text(path, "anon_inode:[eventfd]") ? DESCRIPTOR_EVENTFD : DESCRIPTOR_ANONYMOUS;
}

/* Was the run started with this object? */
static void tell_outer(struct descriptor *descriptor, bool regular)
{
  const struct tail_header *header = engine.tail.header;
  for (uint32_t i = 0; i < header->outer_count; i++)
    if (header->outer[i].device == descriptor->device && header->outer[i].inode == descriptor->inode) {
      descriptor->outer = (uint16_t)i;
      if (regular)
        descriptor->flags |= DESCRIPTOR_OUTER_FILE;
      else
        descriptor->kind = DESCRIPTOR_OUTER;
      return;
    }
}

/* A pipe that was opened by a path reaches beyond the process. */
static bool has_name(int fd)
{
  char path[PATH_ROOM];
  path_of_descriptor(fd, path);
  return path[0] == '/';
}

static void fill(int fd, struct descriptor *descriptor)
{
  struct journal_file file;
  *descriptor = (struct descriptor){.kind = DESCRIPTOR_NONE};
  if (file_look(fd, "", AT_EMPTY_PATH, &file) != 0)
    return;
  descriptor->device = file.device;
  descriptor->inode = file.inode;
  descriptor->birth_ns = file.birth_ns;
  switch (file.mode & S_IFMT) {
  case S_IFREG:
    descriptor->kind = DESCRIPTOR_REGULAR;
    if (file.size <= JOURNAL_INLINE_FILE_SIZE_MAX)
      descriptor->inline_bytes = JOURNAL_INLINE_FILE_SIZE_MAX;
    if (raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL) & O_APPEND)
      descriptor->flags |= DESCRIPTOR_APPEND;
    if (file.link_count == 0)
      tell_nameless(fd, descriptor);
    tell_outer(descriptor, true);
    break;
  case S_IFDIR:
    descriptor->kind = DESCRIPTOR_DIRECTORY;
    break;
  case S_IFIFO:
    descriptor->kind = has_name(fd) ? DESCRIPTOR_DEVICE : DESCRIPTOR_PIPE;
    tell_outer(descriptor, false);
    break;
  case S_IFSOCK:
    descriptor->kind = DESCRIPTOR_SOCKET;
    tell_outer(descriptor, false);
    break;
  case 0:
    tell_anonymous(fd, descriptor);
    break;
  default:
    descriptor->kind = DESCRIPTOR_DEVICE;
    tell_outer(descriptor, false);
    break;
  }
}

struct descriptor *descriptor_get(int fd)
{
  if (fd < 0 || fd >= TABLE_SIZE) {
    fill(fd, &beyond);
    return &beyond;
  }
  if (table[fd].kind == DESCRIPTOR_UNKNOWN)
    fill(fd, &table[fd]);
  return &table[fd];
}

void descriptor_forget(int fd)
{
  if (fd >= 0 && fd < TABLE_SIZE)
    table[fd].kind = DESCRIPTOR_UNKNOWN;
}

void descriptor_forget_all(void)
{
  for (int fd = 0; fd < TABLE_SIZE; fd++)
    table[fd].kind = DESCRIPTOR_UNKNOWN;
}

void descriptor_copy(int from, int to)
{
  if (to < 0 || to >= TABLE_SIZE)
    return;
  if (from >= 0 && from < TABLE_SIZE)
    table[to] = table[from];
  else
    table[to].kind = DESCRIPTOR_UNKNOWN;
}

bool descriptor_needs_file(uint64_t device, uint64_t inode)
{
  for (int fd = 0; fd < TABLE_SIZE; fd++)
    if (table[fd].kind == DESCRIPTOR_REGULAR && table[fd].inode == inode &&
        table[fd].device == device && !(table[fd].flags & DESCRIPTOR_FRESH))
      return true;
  return false;
}

void descriptor_not_fresh(int fd)
{
  const struct descriptor *changed = descriptor_get(fd);
  uint64_t device = changed->device, inode = changed->inode;
  for (int other = 0; other < TABLE_SIZE; other++)
    if (table[other].inode == inode && table[other].device == device)
      table[other].flags &= (uint8_t)~DESCRIPTOR_FRESH;
}

int64_t placeholder_make(const struct journal_entry *entry, uint64_t open_flags)
{
  char name[64];
  size_t used = path_put_text(name, 0, PLACEHOLDER_NAME);
  path_put_number(name, used, feed_offset(entry), 10);
  int64_t fd = raw_syscall2(SYS_memfd_create, (uint64_t)name, open_flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  if (fd < 0)
    return fd;
  uint64_t status = open_flags & (O_APPEND | O_NONBLOCK);
  if (status)
    raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, status);
  if (fd < TABLE_SIZE) {
    table[fd] = (struct descriptor){.flags = open_flags & O_APPEND ? DESCRIPTOR_APPEND : 0};
    tell_placeholder(&table[fd], entry);
  }
  return fd;
}
