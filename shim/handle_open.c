/* SPDX-License-Identifier: Apache-2.0 */
/* open, openat, openat2, creat.
 *
 * Opening that creates or truncates is a change; other opening observes. Killed after a file was
 * created and before the outcome is journaled: the intent says that the name was free, recovery
 * looks. Truncating and plain creating are repeated, with the same effect. */
#include "shim/descriptors.h"
#include "shim/identity.h"
#include "shim/keep.h"
#include "shim/named_pipes.h"
#include "shim/number_lock.h"
#include "shim/paths.h"
#include "shim/region.h"
#include "shim/stores.h"
#include "shim/terminals.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

struct opening {
  int dirfd;
  unsigned path_arg;
  const char *path;
  uint64_t flags;
};

static struct opening opening_of(const struct call *call)
{
  switch (call->id) {
  case SYS_open:
    return (struct opening){AT_FDCWD, 0, (const char *)call->args[0], call->args[1]};
  case SYS_creat:
    return (struct opening){AT_FDCWD, 0, (const char *)call->args[0], O_CREAT | O_WRONLY | O_TRUNC};
  case SYS_openat2:
    return (struct opening){(int)call->args[0], 1, (const char *)call->args[1],
                            call->args[2] ? ((const struct open_how *)call->args[2])->flags : 0};
  default:
    return (struct opening){(int)call->args[0], 1, (const char *)call->args[1], call->args[2]};
  }
}

static bool changes(uint64_t flags)
{
  return flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* Only a file of the filesystem is stood for. A device is opened again, it holds nothing of ours; so is
 * what the process has open itself and names by /proc or /dev/fd: it is there again. */
static bool opened_anew(const struct journal_entry *outcome)
{
  const struct journal_segment *segment = journal_find_segment(outcome, SEGMENT_FILE, -1);
  const struct journal_segment *full = journal_find_segment(outcome, SEGMENT_FULL_PATH, 0);
  uint32_t mode = segment ? ((const struct journal_file *)segment->data)->mode : 0;
  if (S_ISCHR(mode) || S_ISBLK(mode))
    return true;
  return full && full->length > 7 &&
         (full->data[0] != '/' || raw_equal(full->data, "/memfd:", 7));
}

/* A pipe whose other end is not open any more, or not yet, would be waited for. */
static int64_t open_without_waiting(const struct opening *opening)
{
  uint64_t dirfd = (uint64_t)(int64_t)opening->dirfd, path = (uint64_t)opening->path;
  struct journal_file file;
  int64_t both = -1;
  if (file_look(opening->dirfd, opening->path, 0, &file) == 0 && S_ISFIFO(file.mode))
    both = open_aside(opening->dirfd, opening->path, O_RDWR | O_NONBLOCK, 0);
  int64_t high = both < 0 ? -1 : raw_syscall3(SYS_fcntl, (uint64_t)both, F_DUPFD_CLOEXEC, (uint64_t)engine.tail.header->lock_fd - 1);
  if (both >= 0)
    raw_syscall1(SYS_close, (uint64_t)both);
  int64_t fd = raw_syscall4(SYS_openat, dirfd, path, opening->flags & ~(uint64_t)(O_CREAT | O_EXCL | O_TRUNC), 0);
  if (high >= 0)
    raw_syscall1(SYS_close, (uint64_t)high);
  return fd;
}

static void open_again(const struct call *call, const struct opening *opening,
                       const struct journal_entry *entry, const struct journal_entry *outcome)
{
  int64_t fd = opened_anew(outcome)                       ? open_without_waiting(opening)
               : named_pipe_opened(outcome, opening->flags) ? named_pipe_open_again(outcome, opening->flags)
                                                            : placeholder_make(outcome, entry, opening->flags);
  descriptor_place(fd, outcome->result, opening->path);
  descriptor_forget((int)outcome->result);
  const struct descriptor *descriptor = descriptor_get((int)outcome->result);
  if (descriptor->kind == DESCRIPTOR_PLACEHOLDER && opening->flags & O_TRUNC)
    stores_truncate(descriptor, 0);
  replay_advance(outcome);
}

/* Flags that are no argument of the call. */
static void add_how(struct draft *draft, const struct call *call)
{
  if (call->id == SYS_openat2 && call->args[2])
    draft_add(draft, SEGMENT_INPUT, 2, (const void *)call->args[2], sizeof(struct open_how));
}

/* Before a change: what is there, in the intent; and what the journal refers to, kept. */
static bool look_before(struct draft *draft, const struct call *call, const struct opening *opening,
                        char *full, struct journal_file *file)
{
  size_t length = path_full(opening->dirfd, opening->path, full);
  bool followed = !(opening->flags & (O_EXCL | O_NOFOLLOW));
  bool exists = file_look(opening->dirfd, opening->path, followed ? 0 : AT_SYMLINK_NOFOLLOW, file) == 0;
  if (exists && opening->flags & O_TRUNC && file->size && S_ISREG(file->mode) &&
      keep_referenced(file->device, file->inode))
    keep_copy(opening->dirfd, opening->path, file);
  draft_begin(draft, call, JOURNAL_INTENT, 0);
  draft_add(draft, SEGMENT_FULL_PATH, opening->path_arg, full, length);
  if (exists)
    draft_add(draft, SEGMENT_FILE, opening->path_arg, file, sizeof *file);
  add_how(draft, call);
  return exists;
}

/* The kernel names files of /proc/self, and those of other processes, by pid, which is another one in the next attempt. */
static size_t without_pid(char *path, size_t length)
{
  char own[32];
  size_t used = path_put_text(own, 0, "/proc/");
  used = path_put_number(own, used, (uint32_t)engine.pid_real, 10);
  used = path_put_text(own, used, "/");
  if (length < used || !raw_equal(path, own, used)) {
    const char *seen = identity_path_seen(path);
    return seen == path ? length : path_put_text(path, 0, seen);
  }
  const char self[] = "/proc/self/";
  char rest[PATH_ROOM];
  raw_copy(rest, path + used, length - used + 1);
  raw_copy(path, self, sizeof self - 1);
  raw_copy(path + sizeof self - 1, rest, length - used + 1);
  return sizeof self - 1 + length - used;
}

/* After success: which file it is, and its canonical path, in `draft`. */
static void add_opened(struct draft *draft, int fd, const struct opening *opening, bool fresh,
                       char *full, struct journal_file *file)
{
  descriptor_forget(fd);
  if (file_look(fd, "", AT_EMPTY_PATH, file) != 0)
    return;
  draft_add(draft, SEGMENT_FILE, 0, file, sizeof *file);
  struct descriptor *descriptor = descriptor_get(fd);
  size_t length = without_pid(full, path_of_descriptor(fd, full));
  if (length && (opening->flags & O_TMPFILE) != O_TMPFILE)
    draft_add(draft, SEGMENT_FULL_PATH, 0, full, length);
  if (descriptor->kind == DESCRIPTOR_REGULAR && fresh)
    descriptor->flags |= DESCRIPTOR_FRESH;
}

struct opening_region {
  const struct opening *opening;
  const char *full;
  bool creates, empties;
};

static void keep_for_region(const struct call *call, void *context)
{
  const struct opening_region *region = context;
  (void)call;
  if (region->creates)
    region_created(region->full);
  else if (region->empties)
    region_content(region->opening->dirfd, region->opening->path, region->full, 0, 1);
}

static int64_t open_change(struct call *call, const struct opening *opening)
{
  char full[PATH_ROOM];
  struct journal_file file;
  struct draft draft;
  bool existed = look_before(&draft, call, opening, full, &file);
  struct opening_region region = {
      .opening = opening,
      .full = full,
      .creates = !existed && opening->flags & O_CREAT,
      .empties = existed && opening->flags & O_TRUNC && file.size,
  };
  region_keep(call, keep_for_region, &region);
  record_intent(&draft, call);
  struct number_lock lock;
  number_lock_take(&lock);
  int64_t result = call_run(call);
  crash_point();
  draft_begin(&draft, call, JOURNAL_RESULT, result);
  draft.tail.arg_count = 0;
  if (result >= 0)
    add_opened(&draft, (int)result, opening, !existed || opening->flags & O_TRUNC || !file.size, full,
               &file);
  draft_append(&draft);
  number_lock_release(&lock);
  return result;
}

/* A named pipe waits for its other end, which may be a thread that wants the lock. */
static bool may_block(const struct opening *opening)
{
  struct journal_file file;
  return engine.threaded && file_look(opening->dirfd, opening->path, 0, &file) == 0 && S_ISFIFO(file.mode);
}

static int64_t open_observe(struct call *call, const struct opening *opening)
{
  char full[PATH_ROOM];
  struct journal_file file;
  struct draft draft;
  struct number_lock lock;
  bool waits = may_block(opening);
  crash_point();
  if (!waits)
    number_lock_take(&lock);
  int64_t result = call_run(call);
  crash_point();
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  add_how(&draft, call);
  if (result >= 0)
    add_opened(&draft, (int)result, opening, false, full, &file);
  draft_append(&draft);
  if (!waits)
    number_lock_release(&lock);
  return result;
}

int64_t handle_open(struct call *call)
{
  struct opening opening = opening_of(call);
  if (!opening.path)
    return -EFAULT;
  call_sign(call);
  char terminal[32];
  opening.path = terminal_path((const char *)call->args[opening.path_arg], terminal);
  if (opening.path == terminal) {
    call->args[opening.path_arg] = (uint64_t)terminal;
    call->string_length[opening.path_arg] = (uint16_t)raw_length(terminal);
  }
  bool change = changes(opening.flags), replaying = !engine_live();
  int64_t result;
  if (replaying) {
    atomic_fetch_add(&engine.tail.header->opening, 1);
    const struct journal_entry *entry = replay_take(call, change ? JOURNAL_INTENT : JOURNAL_COMPLETE);
    const struct journal_entry *outcome = entry;
    if (entry && change) {
      replay_advance(entry);
      outcome = replay_take(call, JOURNAL_RESULT);
    }
    if (outcome) {
      result = outcome->result;
      atomic_fetch_sub(&engine.tail.header->opening, 1);
      if (raw_is_error(result))
        replay_advance(outcome);
      else
        open_again(call, &opening, entry, outcome);
      return result;
    }
  }
  /* The kernel may have had it open when the run was killed. */
  struct named_pipe_hold hold = {.fd = -1};
  if (replaying) {
    named_pipe_before_open(opening.dirfd, opening.path, opening.flags, &hold);
    atomic_fetch_sub(&engine.tail.header->opening, 1);
  }
  result = change ? open_change(call, &opening) : open_observe(call, &opening);
  named_pipe_after_open(&hold);
  return result;
}
