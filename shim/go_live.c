/* SPDX-License-Identifier: Apache-2.0 */
/* The end of replay: every placeholder is replaced by the file that it stands for, opened without
 * creating or truncating, with the offset, flags and locks that the kernel kept on the placeholder.
 *
 * Nothing in the world is changed, but for the stores of shared mappings. Killed at any line, the next
 * attempt replays again; a file that is not what it was ends the run before anything else happens. */
#include "shim/credentials.h"
#include "shim/curl_group.h"
#include "shim/children.h"
#include "shim/descriptors.h"
#include "shim/epoll_sets.h"
#include "shim/ghosts.h"
#include "shim/identity.h"
#include "shim/keep.h"
#include "shim/locks.h"
#include "shim/mappings.h"
#include "shim/messages.h"
#include "shim/named_pipes.h"
#include "shim/paths.h"
#include "shim/timers.h"
#include "shim/readiness.h"
#include "shim/sockets.h"
#include "shim/signals.h"
#include "shim/watches.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define STATUS_FLAGS (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)
#define FD_MAX 65536
#define LIST_ADDRESS (TAIL_ADDRESS - (3ull << 32))

/* A descriptor and what it is on. */
struct listed_fd {
  uint64_t device, inode;
  int fd;
};

struct listed {
  uint64_t inode;
  int64_t next;
  uint16_t size;
  uint8_t type;
  char name[];
};

/* The number that a name of /proc/self/fd is. */
static uint64_t number_at(const char *place)
{
  uint64_t number = 0;
  while (*place >= '0' && *place <= '9')
    number = number * 10 + (uint64_t)(*place++ - '0');
  return number;
}

static uint64_t flags_of(const struct journal_entry *opening)
{
  switch (opening->call) {
  case SYS_open:
    return opening->args[1];
  case SYS_creat:
    return O_WRONLY;
  case SYS_openat2: {
    const struct journal_segment *how = journal_find_segment(opening, SEGMENT_INPUT, 2);
    return how ? ((const struct open_how *)how->data)->flags : O_RDWR;
  }
  default:
    return opening->args[2];
  }
}

__attribute__((noreturn)) static void cannot_reopen(const char *path, int64_t error)
{
  engine_failed(TAIL_REPORT_INPUT, "a file that the run has open is missing or is another file now: ",
                path, error);
}

/* Where the file was: what O_TMPFILE was given, or the directory of its name. */
static const char *directory_of(const struct journal_entry *opening, const struct journal_entry *outcome,
                                char *room)
{
  const struct journal_segment *full = journal_find_segment(outcome, SEGMENT_FULL_PATH, 0);
  bool nameless = !full;
  if (nameless)
    full = journal_find_segment(opening, SEGMENT_FULL_PATH, -1);
  if (!full || full->length >= PATH_ROOM || !full->length || full->data[0] != '/')
    return NULL;
  size_t length = full->length;
  while (!nameless && length > 1 && full->data[length - 1] != '/')
    length--;
  raw_copy(room, full->data, length);
  room[length] = 0;
  return room;
}

static int64_t open_named(const struct journal_file *file, const struct feed_file *found, uint64_t flags)
{
  if (!found || !found->path)
    cannot_reopen("(no name)", 0);
  /* What /proc says about a process it says under the number that this one has now. */
  const char *path = identity_path(feed_at(found->path));
  int64_t fd = open_aside(AT_FDCWD, path, flags, 0);
  if (fd < 0)
    cannot_reopen(path, fd);
  struct journal_file now;
  file_look((int)fd, "", AT_EMPTY_PATH, &now);
  /* Files of /proc have no identity of their own: what counts is the name. */
  bool has_identity = file->device >> 32 || file->birth_ns;
  if (has_identity && !(found->flags & (FEED_FILE_KEPT | FEED_FILE_REBORN)) &&
      (now.inode != file->inode || now.device != file->device))
    cannot_reopen(path, 0);
  return fd;
}

static int64_t open_real(const struct descriptor *placeholder, uint64_t status)
{
  const struct journal_entry *outcome = feed_at(placeholder->outcome);
  const struct journal_entry *opening = feed_at(placeholder->opening);
  const struct journal_file *file =
      (const struct journal_file *)journal_find_segment(outcome, SEGMENT_FILE, -1)->data;
  const struct feed_file *found = feed_find_primary(file->device, file->inode, file->birth_ns);
  uint64_t flags = flags_of(opening);
  if ((flags & O_TMPFILE) == O_TMPFILE)
    flags &= ~(uint64_t)O_TMPFILE;
  /* A symlink is opened itself only with O_PATH; elsewhere the path is resolved already. */
  if (!(flags & O_PATH))
    flags &= ~(uint64_t)O_NOFOLLOW;
  flags &= ~(uint64_t)(O_CREAT | O_EXCL | O_TRUNC | STATUS_FLAGS);
  if (!ghost_file(found))
    return open_named(file, found, flags | status);
  char room[PATH_ROOM];
  int64_t fd = ghost_open(file, directory_of(opening, outcome, room), flags | status);
  if (fd < 0)
    cannot_reopen("(no name)", fd);
  return fd;
}

/* Who gets SIGIO of it, or another signal, and a lease. */
static void take_owner_over(uint64_t placeholder, uint64_t real)
{
  struct f_owner_ex owner = {0};
  int64_t signal = raw_syscall2(SYS_fcntl, placeholder, F_GETSIG);
  int64_t lease = raw_syscall2(SYS_fcntl, placeholder, F_GETLEASE);
  if (raw_syscall3(SYS_fcntl, placeholder, F_GETOWN_EX, (uint64_t)&owner) == 0 && owner.pid)
    raw_syscall3(SYS_fcntl, real, F_SETOWN_EX, (uint64_t)&owner);
  if (signal > 0)
    raw_syscall3(SYS_fcntl, real, F_SETSIG, (uint64_t)signal);
  if (lease == F_RDLCK || lease == F_WRLCK)
    raw_syscall3(SYS_fcntl, real, F_SETLEASE, (uint64_t)lease);
}

/* The description behind `listed[first]`, on all the numbers that it has. */
static void replace(const struct listed_fd *listed, unsigned count, unsigned first, char *room)
{
  int fd = listed[first].fd;
  struct descriptor placeholder = *descriptor_get(fd);
  if (placeholder.kind != DESCRIPTOR_PLACEHOLDER)
    return;
  uint64_t status = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL) & STATUS_FLAGS;
  int64_t offset = raw_syscall3(SYS_lseek, (uint64_t)fd, 0, SEEK_CUR);
  int64_t real = open_real(&placeholder, status);
  /* ext4 lists nothing from the beginning of a directory whose first listing began at the end. */
  if (offset > 0)
    raw_syscall3(SYS_getdents64, (uint64_t)real, (uint64_t)room, LOCKS_ROOM);
  if (offset > 0)
    raw_syscall3(SYS_lseek, (uint64_t)real, (uint64_t)offset, SEEK_SET);
  locks_take_over(fd, (int)real, fd, room);
  take_owner_over((uint64_t)fd, (uint64_t)real);
  for (unsigned i = 0; i < count; i++) {
    if (listed[i].inode != listed[first].inode || listed[i].device != listed[first].device)
      continue;
    uint64_t number = (uint64_t)listed[i].fd;
    uint64_t close_on_exec = (uint64_t)raw_syscall2(SYS_fcntl, number, F_GETFD) & FD_CLOEXEC;
    raw_syscall3(SYS_dup3, (uint64_t)real, number, close_on_exec ? O_CLOEXEC : 0);
    descriptor_forget(listed[i].fd);
  }
  raw_syscall1(SYS_close, (uint64_t)real);
}

void each_descriptor(void (*visit)(int fd, void *context), void *context)
{
  char bytes[2048];
  int64_t directory = open_aside(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY, 0);
  if (directory < 0)
    engine_failed(TAIL_REPORT_FAILED, "the open descriptors cannot be listed: ", "/proc/self/fd", directory);
  for (;;) {
    int64_t size = raw_syscall3(SYS_getdents64, (uint64_t)directory, (uint64_t)bytes, sizeof bytes);
    if (size <= 0)
      break;
    for (int64_t place = 0; place < size;) {
      const struct listed *entry = (const struct listed *)(bytes + place);
      place += entry->size;
      int fd = (int)number_at(entry->name);
      if (entry->name[0] != '.' && fd != directory && fd != engine.tail.header->lock_fd)
        visit(fd, context);
    }
  }
  raw_syscall1(SYS_close, (uint64_t)directory);
}

/* All descriptors, and what each is on. */
struct list {
  struct listed_fd *fds;
  unsigned count;
};

static void add_to_list(int fd, void *context)
{
  struct list *list = context;
  struct journal_file file = {0};
  if (list->count == FD_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more descriptors are open than can be made again", "", FD_MAX);
  file_look(fd, "", AT_EMPTY_PATH, &file);
  list->fds[list->count++] = (struct listed_fd){file.device, file.inode, fd};
}

/* ALL, or those that a child may share: what is built only at the end of replay is none of them. */
enum { REPLACE_ALL = -1, REPLACE_SHARED = -2 };

static bool chosen(int which, int fd)
{
  if (which >= 0)
    return fd == which;
  return which == REPLACE_ALL || !(descriptor_get(fd)->flags & (DESCRIPTOR_GHOST | DESCRIPTOR_MAPPED));
}

/* Replaces the description of one number, or of several. */
static void replace_placeholders(int which)
{
  uint64_t room = FD_MAX * sizeof(struct listed_fd) + LOCKS_ROOM;
  int64_t place = raw_syscall6(SYS_mmap, LIST_ADDRESS, room, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
  if (raw_is_error(place))
    engine_failed(TAIL_REPORT_FAILED, "there is no memory to list the open descriptors", "", place);
  struct list list = {.fds = (struct listed_fd *)place};
  each_descriptor(add_to_list, &list);
  for (unsigned i = 0; i < list.count; i++)
    if (chosen(which, list.fds[i].fd))
      replace(list.fds, list.count, i, (char *)(list.fds + FD_MAX));
  raw_syscall2(SYS_munmap, (uint64_t)place, room);
}

void placeholder_replace(int fd)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  if (descriptor->kind != DESCRIPTOR_PLACEHOLDER)
    return;
  if (engine_live() && descriptor->flags & DESCRIPTOR_GHOST)
    cannot_reopen("(no name, in a message on its way)", 0);
  replace_placeholders(fd);
}

void placeholders_share(void)
{
  if (mappings_of_changed_files())
    engine_failed(TAIL_REPORT_FAILED, "the run made a process while it had a file mapped that it has changed: that "
                  "cannot be resumed", "", 0);
  replace_placeholders(REPLACE_SHARED);
}

void placeholders_put_back(void)
{
  replace_placeholders(REPLACE_SHARED);
}

void engine_go_live(void)
{
  static _Atomic uint32_t going;
  struct tail_header *header = engine.tail.header;
  if (atomic_exchange(&going, 1)) {
    /* Another thread is at it; what this one wants to do waits. */
    while (!engine_live())
      raw_syscall0(SYS_sched_yield);
    return;
  }
  sockets_stop_unanswered();
  replace_placeholders(REPLACE_ALL);
  named_pipes_go_live();
  if (raw_syscall1(SYS_chdir, (uint64_t)engine.directory) < 0)
    engine_failed(TAIL_REPORT_INPUT, "the run's working directory is gone: ", engine.directory, 0);
  mappings_go_live();
  ghosts_release();
  locks_take_own();
  passed_go_live();
  sockets_go_live();
  readiness_go_live();
  epoll_sets_complete();
  sockets_wake_waiting();
  if (!atomic_exchange(&header->links_hidden, 1))
    keep_hide_known_links();
  descriptor_forget_all();
  descriptors_learn();
  watches_go_live();
  credentials_go_live();
  kills_go_live();
  signals_go_live();
  atomic_store(&header->live, 1);
  atomic_store_explicit(&engine.process->live, 1, memory_order_release);
  named_pipes_let_go();
  timers_go_live();
}
