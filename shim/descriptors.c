/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of descriptors, and the placeholders that stand for files while the journal is replayed.
 *
 * A placeholder is a memfd whose name says which entry of the feed opened it. So everything that the
 * kernel knows of a description (number, sharing, offset, flags, locks, close-on-exec) is kept by the
 * kernel, also over an exec, and going live only asks it. */
#include "shim/descriptors.h"

#include "shim/ghosts.h"
#include "shim/mappings.h"
#include "shim/named_pipes.h"
#include "shim/paths.h"
#include "shim/terminals.h"
#include "shim/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define TABLE_SIZE 4096
#define PLACEHOLDER_NAME "perdure:"

LARGE_TABLE static struct descriptor table[TABLE_SIZE];
static _Atomic int table_end; /* above all that is known */
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

static uint64_t take_number(const char **text)
{
  uint64_t number = 0;
  while (**text >= '0' && **text <= '9')
    number = number * 10 + (uint64_t)(*(*text)++ - '0');
  return number;
}

/* What it stands for, from the feed. */
static void describe_placeholder(struct descriptor *descriptor, uint64_t outcome, uint64_t opening)
{
  const struct journal_segment *segment = journal_find_segment(feed_at(outcome), SEGMENT_FILE, -1);
  descriptor->kind = DESCRIPTOR_PLACEHOLDER;
  descriptor->outcome = outcome;
  descriptor->opening = opening;
  if (!segment)
    return;
  const struct journal_file *file = (const struct journal_file *)segment->data;
  const struct feed_file *found = feed_find_primary(file->device, file->inode, file->birth_ns);
  descriptor->device = found ? found->device : file->device;
  descriptor->inode = found ? found->inode : file->inode;
  descriptor->birth_ns = found ? found->birth_ns : file->birth_ns;
  if (ghost_file(found))
    descriptor->flags |= DESCRIPTOR_GHOST;
  if (file_is_mapped(descriptor->device, descriptor->inode, descriptor->birth_ns))
    descriptor->flags |= DESCRIPTOR_MAPPED;
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
  /* One that was on its way in a message when the process went live. */
  if (!engine.feed)
    return;
  name += sizeof PLACEHOLDER_NAME - 1;
  uint64_t outcome = take_number(&name);
  name++;
  describe_placeholder(descriptor, outcome, take_number(&name));
}

static void tell_anonymous(int fd, struct descriptor *descriptor)
{
  char path[PATH_ROOM];
  path_of_descriptor(fd, path);
  descriptor->kind = raw_same_text(path, "anon_inode:[eventfd]")    ? DESCRIPTOR_EVENTFD
                     : raw_same_text(path, "anon_inode:[timerfd]")  ? DESCRIPTOR_TIMERFD
                     : raw_same_text(path, "anon_inode:[signalfd]") ? DESCRIPTOR_SIGNALFD
                     : raw_same_text(path, "anon_inode:inotify")    ? DESCRIPTOR_INOTIFY
                                                                    : DESCRIPTOR_ANONYMOUS;
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

/* Two sockets that were made together have no names, either of them. */
static bool is_pair(int fd)
{
  uint16_t name[64], peer[64];
  uint32_t name_length = sizeof name, peer_length = sizeof peer;
  return raw_syscall3(SYS_getsockname, (uint64_t)fd, (uint64_t)name, (uint64_t)&name_length) == 0 &&
         name[0] == AF_UNIX && name_length == sizeof *name &&
         raw_syscall3(SYS_getpeername, (uint64_t)fd, (uint64_t)peer, (uint64_t)&peer_length) == 0 &&
         peer_length == sizeof *peer;
}

/* A pipe that was opened by a path reaches beyond the process. */
static bool has_name(int fd)
{
  char path[PATH_ROOM];
  path_of_descriptor(fd, path);
  return path[0] == '/';
}

static bool is_own_terminal(int fd)
{
  char path[PATH_ROOM];
  return path_of_descriptor(fd, path) && terminal_is_own(path);
}

/* A directory of /proc, which has no disk of its own, that is called fd. */
static bool lists_descriptors(int fd, const struct journal_file *file)
{
  char path[PATH_ROOM];
  if (file->device >> 32 || file->birth_ns)
    return false;
  size_t length = path_of_descriptor(fd, path);
  return length > 9 && raw_equal(path, "/proc/", 6) && raw_equal(path + length - 3, "/fd", 3);
}

/* null(4), full(4): reading gives zeros, as many as are asked for. */
static bool gives_zeros(int fd)
{
  struct stat about;
  uint64_t zero = makedev(1, 5), full = makedev(1, 7);
  return raw_syscall2(SYS_fstat, (uint64_t)fd, (uint64_t)&about) == 0 && (about.st_rdev == zero || about.st_rdev == full);
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
    if (descriptor->kind == DESCRIPTOR_REGULAR)
      tell_outer(descriptor, true);
    break;
  case S_IFDIR:
    descriptor->kind = DESCRIPTOR_DIRECTORY;
    if (lists_descriptors(fd, &file))
      descriptor->flags |= DESCRIPTOR_LISTS_FDS;
    break;
  case S_IFIFO:
    descriptor->kind = has_name(fd) ? DESCRIPTOR_DEVICE : DESCRIPTOR_PIPE;
    if (!named_pipe_tell(descriptor))
      tell_outer(descriptor, false);
    break;
  case S_IFSOCK:
    descriptor->kind = is_pair(fd) ? DESCRIPTOR_PAIR : DESCRIPTOR_SOCKET;
    if (socket_number(fd, SO_DOMAIN) == AF_NETLINK)
      descriptor->flags |= DESCRIPTOR_KERNEL;
    tell_outer(descriptor, false);
    break;
  case 0:
    tell_anonymous(fd, descriptor);
    break;
  case S_IFCHR:
    descriptor->kind = is_own_terminal(fd) ? DESCRIPTOR_TERMINAL : DESCRIPTOR_DEVICE;
    tell_outer(descriptor, false);
    if (descriptor->kind == DESCRIPTOR_DEVICE && gives_zeros(fd))
      descriptor->flags |= DESCRIPTOR_ZEROS;
    break;
  default:
    descriptor->kind = DESCRIPTOR_DEVICE;
    tell_outer(descriptor, false);
    break;
  }
}

static void known_up_to(int fd)
{
  int end = atomic_load(&table_end);
  while (fd >= end && !atomic_compare_exchange_weak(&table_end, &end, fd + 1))
    ;
}

struct descriptor *descriptor_get(int fd)
{
  if (fd < 0 || fd >= TABLE_SIZE) {
    fill(fd, &beyond);
    return &beyond;
  }
  if (table[fd].kind == DESCRIPTOR_UNKNOWN) {
    fill(fd, &table[fd]);
    known_up_to(fd);
  }
  return &table[fd];
}

void descriptor_forget(int fd)
{
  if (fd >= 0 && fd < TABLE_SIZE)
    table[fd].kind = DESCRIPTOR_UNKNOWN;
}

void descriptor_forget_all(void)
{
  for (int fd = 0; fd < table_end; fd++)
    table[fd].kind = DESCRIPTOR_UNKNOWN;
}

void descriptor_forget_range(unsigned first, unsigned last)
{
  for (unsigned fd = first; fd <= last && fd < (unsigned)table_end; fd++)
    table[fd].kind = DESCRIPTOR_UNKNOWN;
}

static void learn(int fd, void *context)
{
  descriptor_get(fd);
}

void descriptors_learn(void)
{
  each_descriptor(learn, NULL);
}

void descriptor_status_changed(int fd)
{
  const struct descriptor changed = *descriptor_get(fd);
  for (int other = 0; other < table_end; other++) {
    struct descriptor *known = &table[other];
    if (known->kind != DESCRIPTOR_REGULAR || known->inode != changed.inode || known->device != changed.device)
      continue;
    known->flags &= (uint16_t)~DESCRIPTOR_APPEND;
    if (raw_syscall2(SYS_fcntl, (uint64_t)other, F_GETFL) & O_APPEND)
      known->flags |= DESCRIPTOR_APPEND;
  }
}

void descriptor_copy(int from, int to)
{
  if (to < 0 || to >= TABLE_SIZE)
    return;
  known_up_to(to);
  if (from >= 0 && from < TABLE_SIZE)
    table[to] = table[from];
  else
    table[to].kind = DESCRIPTOR_UNKNOWN;
}

int descriptor_next_known(unsigned fd)
{
  for (int known = fd < TABLE_SIZE ? (int)fd : TABLE_SIZE; known < table_end; known++)
    if (table[known].kind != DESCRIPTOR_UNKNOWN)
      return known;
  return -1;
}

int descriptor_next_placeholder(int after, uint64_t device, uint64_t inode, uint64_t birth_ns)
{
  for (int fd = after + 1; fd < table_end; fd++)
    if (table[fd].kind == DESCRIPTOR_PLACEHOLDER && table[fd].inode == inode &&
        table[fd].device == device && table[fd].birth_ns == birth_ns)
      return fd;
  return -1;
}

bool descriptor_needs_file(uint64_t device, uint64_t inode)
{
  for (int fd = 0; fd < table_end; fd++)
    if (table[fd].kind == DESCRIPTOR_REGULAR && table[fd].inode == inode &&
        table[fd].device == device && !(table[fd].flags & DESCRIPTOR_FRESH))
      return true;
  return false;
}

void descriptor_not_fresh(int fd)
{
  const struct descriptor *changed = descriptor_get(fd);
  uint64_t device = changed->device, inode = changed->inode;
  for (int other = 0; other < table_end; other++)
    if (table[other].inode == inode && table[other].device == device)
      table[other].flags &= (uint16_t)~DESCRIPTOR_FRESH;
}

int64_t placeholder_make(const struct journal_entry *outcome, const struct journal_entry *opening,
                         uint64_t open_flags)
{
  char name[64];
  size_t used = path_put_text(name, 0, PLACEHOLDER_NAME);
  used = path_put_number(name, used, feed_offset(outcome), 10);
  used = path_put_text(name, used, ":");
  path_put_number(name, used, feed_offset(opening), 10);
  int64_t fd = raw_syscall2(SYS_memfd_create, (uint64_t)name, open_flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  if (fd < 0)
    return fd;
  uint64_t status = open_flags & (O_APPEND | O_NONBLOCK);
  if (status)
    raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, status);
  descriptor_forget((int)fd);
  return fd;
}

void descriptor_place(int64_t fd, int64_t wanted, const char *what)
{
  if (fd == wanted)
    return;
  bool taken = raw_syscall2(SYS_fcntl, (uint64_t)wanted, F_GETFD) >= 0;
  if (fd < 0 || taken)
    engine_failed(TAIL_REPORT_FAILED, "a descriptor came back with another number than before: ", what, fd);
  uint64_t close_on_exec = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFD) & FD_CLOEXEC;
  int64_t placed = raw_syscall3(SYS_dup3, (uint64_t)fd, (uint64_t)wanted, close_on_exec ? O_CLOEXEC : 0);
  if (placed != wanted)
    engine_failed(TAIL_REPORT_FAILED, "a descriptor cannot get the number that it had: ", what, placed);
  raw_syscall1(SYS_close, (uint64_t)fd);
  descriptor_forget((int)fd);
  descriptor_forget((int)wanted);
}

int64_t open_aside(int dirfd, const char *path, uint64_t flags, uint64_t mode)
{
  flags |= O_CLOEXEC;
  int64_t fd = raw_syscall4(SYS_openat, (uint64_t)(int64_t)dirfd, (uint64_t)path, flags, mode);
  struct rlimit limit;
  if (fd != -EMFILE || raw_syscall2(SYS_getrlimit, RLIMIT_NOFILE, (uint64_t)&limit) != 0)
    return fd;
  struct rlimit raised = {limit.rlim_max, limit.rlim_max};
  raw_syscall2(SYS_setrlimit, RLIMIT_NOFILE, (uint64_t)&raised);
  fd = raw_syscall4(SYS_openat, (uint64_t)(int64_t)dirfd, (uint64_t)path, flags, mode);
  raw_syscall2(SYS_setrlimit, RLIMIT_NOFILE, (uint64_t)&limit);
  return fd;
}

bool is_run_lock(uint64_t fd)
{
  return (int)fd == engine.tail.header->lock_fd;
}

int64_t close_range_around_lock(unsigned first, unsigned last, uint64_t flags)
{
  unsigned lock = (unsigned)engine.tail.header->lock_fd;
  int64_t result = 0;
  if (first > lock || last < lock)
    return raw_syscall3(SYS_close_range, first, last, flags);
  if (first < lock)
    result = raw_syscall3(SYS_close_range, first, lock - 1, flags);
  if (result == 0 && last > lock)
    result = raw_syscall3(SYS_close_range, lock + 1, last, flags);
  return result;
}
