/* SPDX-License-Identifier: Apache-2.0 */
/* The end of replay: every placeholder is replaced by the file that it stands for, opened without
 * creating or truncating, with the offset, flags and locks that the kernel kept on the placeholder.
 *
 * Nothing in the world is changed, but for the stores of shared mappings. Killed at any line, the next
 * attempt replays again; a file that is not what it was ends the run before anything else happens. */
#include "shim/descriptors.h"
#include "shim/mappings.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define STATUS_FLAGS (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)
#define FD_MAX 65536

struct listed {
  uint64_t inode;
  int64_t next;
  uint16_t size;
  uint8_t type;
  char name[];
};

/* ---- locks, from /proc/self/fdinfo ---- */

static bool has(const char *line, const char *end, const char *word)
{
  size_t length = raw_length(word);
  for (; line + length <= end; line++)
    if (raw_equal(line, word, length))
      return true;
  return false;
}

/* The number after the last `before` characters, from the right: "... 00:01:77 0 EOF". */
static uint64_t number_at(const char *place)
{
  uint64_t number = 0;
  while (*place >= '0' && *place <= '9')
    number = number * 10 + (uint64_t)(*place++ - '0');
  return number;
}

static void take_lock(int target, const char *line, const char *end)
{
  bool write = has(line, end, " WRITE ");
  if (has(line, end, "FLOCK ")) {
    raw_syscall2(SYS_flock, (uint64_t)target, write ? LOCK_EX : LOCK_SH);
    return;
  }
  const char *last = end;
  while (last > line && last[-1] != ' ')
    last--;
  const char *first = last - 1;
  while (first > line && first[-1] != ' ')
    first--;
  struct flock range = {.l_type = write ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
  range.l_start = (off_t)number_at(first);
  range.l_len = *last == 'E' ? 0 : (off_t)(number_at(last) - (uint64_t)range.l_start + 1);
  uint64_t command = has(line, end, "OFDLCK") ? F_OFD_SETLKW : F_SETLKW;
  raw_syscall3(SYS_fcntl, (uint64_t)target, command, (uint64_t)&range);
}

static void take_locks(int placeholder, int target)
{
  char path[64], text[2048];
  size_t used = path_put_text(path, 0, "/proc/self/fdinfo/");
  path_put_number(path, used, (uint32_t)placeholder, 10);
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return;
  int64_t size = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)text, sizeof text - 1);
  raw_syscall1(SYS_close, (uint64_t)fd);
  text[size > 0 ? size : 0] = 0;
  for (char *line = text; *line;) {
    char *end = line;
    while (*end && *end != '\n')
      end++;
    if (raw_equal(line, "lock:", 5))
      take_lock(target, line, end);
    line = *end ? end + 1 : end;
  }
}

/* ---- files ---- */

static uint64_t flags_of(const struct journal_entry *entry)
{
  switch (entry->call) {
  case SYS_open:
    return entry->args[1];
  case SYS_creat:
    return O_WRONLY;
  case SYS_openat2:
    return O_RDWR;
  default:
    return entry->args[2];
  }
}

/* RESULT entries have no arguments; their INTENT, just before in the stream, has. */
static const struct journal_entry *opening_entry(const struct journal_entry *outcome)
{
  if (outcome->kind != JOURNAL_RESULT)
    return outcome;
  const struct journal_entry *intent = NULL;
  uint64_t offset = engine.feed->entries_offset;
  while (feed_at(offset) != outcome) {
    const struct journal_entry *entry = feed_at(offset);
    if (entry->stream == outcome->stream && entry->kind == JOURNAL_INTENT)
      intent = entry;
    offset += entry->size;
  }
  return intent;
}

__attribute__((noreturn)) static void cannot_reopen(const char *path, int64_t error)
{
  engine_failed(TAIL_REPORT_INPUT, "a file that the run has open is missing or is another file now: ",
                path, error);
}

static int64_t open_real(const struct descriptor *placeholder, uint64_t status)
{
  const struct journal_entry *outcome = feed_at(placeholder->feed_offset);
  const struct journal_file *file =
      (const struct journal_file *)journal_find_segment(outcome, SEGMENT_FILE, -1)->data;
  const struct feed_file *found = feed_find_file(file->device, file->inode, file->birth_ns);
  if (!found || !found->path)
    cannot_reopen("(no name)", 0);
  const char *path = feed_at(found->path);
  uint64_t flags = flags_of(opening_entry(outcome)) &
                   ~(uint64_t)(O_CREAT | O_EXCL | O_TRUNC | STATUS_FLAGS);
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, flags | status | O_CLOEXEC, 0);
  if (fd < 0)
    cannot_reopen(path, fd);
  struct journal_file now;
  file_look((int)fd, "", AT_EMPTY_PATH, &now);
  /* Files of /proc have no identity of their own: what counts is the name. */
  bool has_identity = file->device >> 32 || file->birth_ns;
  if (has_identity && !(found->flags & FEED_FILE_KEPT) && (now.inode != file->inode || now.device != file->device))
    cannot_reopen(path, 0);
  return fd;
}

/* The description behind `fd`, on all the numbers that it has. */
static void replace(int fd, const int *fds, unsigned count)
{
  struct descriptor placeholder = *descriptor_get(fd);
  if (placeholder.kind != DESCRIPTOR_PLACEHOLDER || placeholder.flags & DESCRIPTOR_GHOST)
    return;
  struct journal_file identity;
  file_look(fd, "", AT_EMPTY_PATH, &identity);
  uint64_t status = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL) & STATUS_FLAGS;
  int64_t offset = raw_syscall3(SYS_lseek, (uint64_t)fd, 0, SEEK_CUR);
  int64_t real = open_real(&placeholder, status);
  if (offset > 0)
    raw_syscall3(SYS_lseek, (uint64_t)real, (uint64_t)offset, SEEK_SET);
  take_locks(fd, (int)real);
  for (unsigned i = 0; i < count; i++) {
    struct journal_file other;
    if (fds[i] != fd && (descriptor_get(fds[i])->kind != DESCRIPTOR_PLACEHOLDER ||
                         file_look(fds[i], "", AT_EMPTY_PATH, &other) != 0 || other.inode != identity.inode))
      continue;
    uint64_t close_on_exec = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fds[i], F_GETFD) & FD_CLOEXEC;
    raw_syscall3(SYS_dup3, (uint64_t)real, (uint64_t)fds[i], close_on_exec ? O_CLOEXEC : 0);
    descriptor_forget(fds[i]);
  }
  /* It kept a number of its own so that the locks that go with the closing of a file stay. */
  bool is_one_of_them = false;
  for (unsigned i = 0; i < count; i++)
    is_one_of_them |= fds[i] == real;
  if (!is_one_of_them)
    raw_syscall1(SYS_close, (uint64_t)real);
}

unsigned list_descriptors(int *ret_fds, unsigned room)
{
  unsigned count = 0;
  char bytes[2048];
  int64_t directory = raw_syscall3(SYS_open, (uint64_t) "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory < 0)
    return 0;
  for (;;) {
    int64_t size = raw_syscall3(SYS_getdents64, (uint64_t)directory, (uint64_t)bytes, sizeof bytes);
    if (size <= 0)
      break;
    for (int64_t place = 0; place < size;) {
      const struct listed *entry = (const struct listed *)(bytes + place);
      place += entry->size;
      int fd = (int)number_at(entry->name);
      if (entry->name[0] != '.' && fd != directory && fd != engine.tail.header->lock_fd && count < room)
        ret_fds[count++] = fd;
    }
  }
  raw_syscall1(SYS_close, (uint64_t)directory);
  return count;
}

void engine_go_live(void)
{
  static _Atomic uint32_t going;
  struct tail_header *header = engine.tail.header;
  if (atomic_exchange(&going, 1)) {
    /* Another thread is at it; what this one wants to do waits. */
    while (!atomic_load(&header->live))
      raw_syscall0(SYS_sched_yield);
    return;
  }
  /* Their work is not in the journal: going on as if it were done, or doing it again, would be a guess. */
  if (atomic_load(&header->replayed_children) > 0)
    engine_failed(TAIL_REPORT_FAILED, "child processes are not journaled yet, and one was under way when the "
                  "run was killed: look at what it has done, then begin anew after `perdure rm`", "", 0);
  int fds[1024];
  unsigned count = list_descriptors(fds, sizeof fds / sizeof *fds);
  for (unsigned i = 0; i < count; i++)
    replace(fds[i], fds, count);
  if (raw_syscall1(SYS_chdir, (uint64_t)engine.directory) < 0)
    engine_failed(TAIL_REPORT_INPUT, "the run's working directory is gone: ", engine.directory, 0);
  mappings_go_live();
  descriptor_forget_all();
  atomic_store_explicit(&header->live, 1, memory_order_release);
}
