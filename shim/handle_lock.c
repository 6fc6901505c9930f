/* SPDX-License-Identifier: Apache-2.0 */
/* flock, and fcntl's locks.
 *
 * A lock is asked for and recorded like any observation: whether it is free depends on others. Killed at any
 * line, the kernel has given it up, and the next attempt takes it again when it goes live. */
#include "shim/locks.h"

#include "shim/descriptors.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#define OWN_MAX 256

/* A lock of the process, to be taken when all descriptors are in place. */
struct own_lock {
  int fd;
  struct flock range;
};

LARGE_TABLE static struct own_lock own_locks[OWN_MAX];
static unsigned own_count;

static bool of_process(const struct call *call)
{
  return call->args[1] == F_SETLK || call->args[1] == F_SETLKW;
}

static bool asks(const struct call *call)
{
  return call->args[1] == F_GETLK || call->args[1] == F_OFD_GETLK;
}

/* ---- replay ---- */

/* Does something to every other placeholder of that file. */
static void unlock_others(int fd, const struct flock *range)
{
  const struct descriptor own = *descriptor_get(fd);
  struct flock unlock = *range;
  unlock.l_type = F_UNLCK;
  int other = -1;
  while ((other = descriptor_next_placeholder(other, own.device, own.inode, own.birth_ns)) >= 0)
    if (other != fd)
      raw_syscall3(SYS_fcntl, (uint64_t)other, F_SETLK, (uint64_t)&unlock);
}

/* The range from the file's beginning: a placeholder has another end. */
static struct flock absolute(const struct call *call, const struct journal_entry *entry)
{
  struct flock range = *(const struct flock *)call->args[2];
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_FILE, 0);
  if (range.l_whence == SEEK_CUR)
    range.l_start += raw_syscall3(SYS_lseek, call->args[0], 0, SEEK_CUR);
  else if (range.l_whence == SEEK_END && segment)
    range.l_start += (off_t)((const struct journal_file *)segment->data)->size;
  range.l_whence = SEEK_SET;
  return range;
}

static void follow(const struct call *call, const struct journal_entry *entry)
{
  int fd = (int)call->args[0];
  uint8_t kind = descriptor_get(fd)->kind;
  if (kind != DESCRIPTOR_PLACEHOLDER && kind != DESCRIPTOR_REGULAR)
    return;
  if (call->id == SYS_flock) {
    int64_t result = raw_syscall2(SYS_flock, (uint64_t)fd, call->args[1] | LOCK_NB);
    if (result < 0)
      engine_failed(TAIL_REPORT_FAILED, "a lock that the run held is another's now", "", result);
    return;
  }
  struct flock range = absolute(call, entry);
  if (of_process(call))
    unlock_others(fd, &range);
  uint64_t command = call->args[1] == F_SETLKW ? F_SETLK : call->args[1] == F_OFD_SETLKW ? F_OFD_SETLK : call->args[1];
  int64_t result = raw_syscall3(SYS_fcntl, (uint64_t)fd, command, (uint64_t)&range);
  if (result == -EAGAIN || result == -EACCES)
    engine_failed(TAIL_REPORT_FAILED, "a lock that the run held is another's now", "", result);
}

void locks_before_close(int fd)
{
  const struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  if (descriptor_get(fd)->kind == DESCRIPTOR_PLACEHOLDER)
    unlock_others(fd, &whole);
}

/* ---- live ---- */

/* Who holds a lock is told by a number that is another one in each attempt. */
static void translate_owner(const struct call *call)
{
  struct flock *range = (struct flock *)call->args[2];
  if (range->l_type != F_UNLCK && range->l_pid == engine.pid_real)
    range->l_pid = atomic_load(&engine.process->pid_seen);
}

static int64_t lock_live(struct call *call)
{
  struct draft draft;
  struct journal_file file;
  crash_point();
  bool from_end = call->id == SYS_fcntl && ((const struct flock *)call->args[2])->l_whence == SEEK_END &&
                  file_look((int)call->args[0], "", AT_EMPTY_PATH, &file) == 0;
  int64_t result = call_run(call);
  crash_point();
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  if (call->id == SYS_fcntl && result == 0 && asks(call)) {
    translate_owner(call);
    draft_add(&draft, SEGMENT_OUTPUT, 2, (const void *)call->args[2], sizeof(struct flock));
  } else if (from_end) {
    draft_add(&draft, SEGMENT_FILE, 0, &file, sizeof file);
  }
  draft_append(&draft);
  return result;
}

static int64_t lock(struct call *call)
{
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry);
      if (result == 0 && !(call->id == SYS_fcntl && asks(call)))
        follow(call, entry);
      replay_advance(entry);
      return result;
    }
  }
  return lock_live(call);
}

int64_t handle_flock(struct call *call)
{
  call_sign(call);
  return lock(call);
}

int64_t lock_by_fcntl(struct call *call)
{
  const struct flock *range = (const struct flock *)call->args[2];
  if (!range)
    return -EFAULT;
  call_sign(call);
  call->signature = hash_mix(call->signature, (uint64_t)range->l_type << 16 | (uint16_t)range->l_whence);
  call->signature = hash_mix(hash_mix(call->signature, (uint64_t)range->l_start), (uint64_t)range->l_len) | 1;
  return lock(call);
}

/* ---- going live: what /proc says of the placeholder's locks ---- */

static bool has(const char *line, const char *end, const char *word)
{
  size_t length = raw_length(word);
  for (; line + length <= end; line++)
    if (raw_equal(line, word, length))
      return true;
  return false;
}

static uint64_t number_at(const char *place)
{
  uint64_t number = 0;
  while (*place >= '0' && *place <= '9')
    number = number * 10 + (uint64_t)(*place++ - '0');
  return number;
}

/* "lock:  1: POSIX  ADVISORY  WRITE 77 00:01:77 0 EOF": the range is the last two words. */
static struct flock range_of(const char *line, const char *end)
{
  struct flock range = {.l_type = has(line, end, " WRITE ") ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
  const char *last = end;
  while (last > line && last[-1] != ' ')
    last--;
  const char *first = last - 1;
  while (first > line && first[-1] != ' ')
    first--;
  range.l_start = (off_t)number_at(first);
  range.l_len = *last == 'E' ? 0 : (off_t)(number_at(last) - (uint64_t)range.l_start + 1);
  return range;
}

static void take_lock(int real, int number, const char *line, const char *end)
{
  struct flock range = range_of(line, end);
  if (has(line, end, "FLOCK ")) {
    raw_syscall2(SYS_flock, (uint64_t)real, range.l_type == F_WRLCK ? LOCK_EX : LOCK_SH);
  } else if (has(line, end, "OFDLCK")) {
    raw_syscall3(SYS_fcntl, (uint64_t)real, F_OFD_SETLKW, (uint64_t)&range);
  } else {
    if (own_count == OWN_MAX)
      engine_failed(TAIL_REPORT_FAILED, "more locks are held than can be taken again", "", OWN_MAX);
    own_locks[own_count++] = (struct own_lock){number, range};
  }
}

void locks_take_over(int placeholder, int real, int number, char *room)
{
  char path[64];
  size_t used = path_put_text(path, 0, "/proc/self/fdinfo/");
  path_put_number(path, used, (uint32_t)placeholder, 10);
  int64_t fd = open_aside(AT_FDCWD, path, O_RDONLY, 0);
  int64_t size = 0, got;
  while (fd >= 0 && size < (int64_t)LOCKS_ROOM - 1 &&
         (got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)room + (uint64_t)size,
                             LOCKS_ROOM - 1 - (uint64_t)size)) > 0)
    size += got;
  if (fd >= 0)
    raw_syscall1(SYS_close, (uint64_t)fd);
  room[size] = 0;
  for (const char *line = room; *line;) {
    const char *end = line;
    while (*end && *end != '\n')
      end++;
    if (end - line > 5 && raw_equal(line, "lock:", 5))
      take_lock(real, number, line, end);
    line = *end ? end + 1 : end;
  }
}

void locks_take_own(void)
{
  for (unsigned i = 0; i < own_count; i++)
    raw_syscall3(SYS_fcntl, (uint64_t)own_locks[i].fd, F_SETLKW, (uint64_t)&own_locks[i].range);
  own_count = 0;
}
