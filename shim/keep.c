/* SPDX-License-Identifier: Apache-2.0 */
/* Old bytes and kept files.
 *
 * Everything here happens before the intent of the change: killed in between, the journal holds a
 * copy too many, which nothing refers to. A file is copied under its final name in kept/ before its
 * entry is written, so that an entry never names a copy that is not whole. */
#include "shim/keep.h"

#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FICLONE_REQUEST 0x40049409u
#define OLD_PIECE (64u << 10)

bool keep_referenced(uint64_t device, uint64_t inode)
{
  const struct tail_header *header = engine.tail.header;
  if (atomic_load_explicit(&header->references_overflow, memory_order_relaxed))
    return true;
  for (uint64_t i = 0; i < TAIL_REFERENCED_MAX; i++) {
    const struct tail_referenced *slot = &header->referenced[(inode + i) % TAIL_REFERENCED_MAX];
    uint64_t found = atomic_load_explicit(&slot->inode, memory_order_acquire);
    if (!found)
      return false;
    if (found == inode && slot->device == device)
      return true;
  }
  return true;
}

void keep_mark_referenced(struct descriptor *descriptor)
{
  if (descriptor->flags & DESCRIPTOR_REFERENCED)
    return;
  descriptor->flags |= DESCRIPTOR_REFERENCED;
  if (keep_referenced(descriptor->device, descriptor->inode))
    return;
  struct tail_header *header = engine.tail.header;
  for (uint64_t i = 0; i < TAIL_REFERENCED_MAX; i++) {
    struct tail_referenced *slot =
        &header->referenced[(descriptor->inode + i) % TAIL_REFERENCED_MAX];
    uint64_t free = 0;
    /* The inode is claimed before the device is there: a reader in between sees device 0 and takes
     * the file as not referenced, which concerns only a change that runs at that very moment. */
    if (atomic_compare_exchange_strong(&slot->inode, &free, descriptor->inode)) {
      slot->device = descriptor->device;
      slot->birth_ns = descriptor->birth_ns;
      return;
    }
  }
  atomic_store(&header->references_overflow, 1);
}

static void begin(struct draft *draft)
{
  static const struct call keeper = {.id = CALL_ID_JOURNAL};
  draft_begin(draft, &keeper, JOURNAL_KEEP, 0);
  draft->tail.signature = 0;
}

void keep_range(int fd, const struct descriptor *descriptor, uint64_t offset, uint64_t length)
{
  if (!length || !keep_referenced(descriptor->device, descriptor->inode))
    return;
  char path[32];
  path_proc_fd(fd, path);
  /* The program's own descriptor may be for writing only. */
  int64_t reader = raw_syscall3(SYS_open, (uint64_t)path, O_RDONLY | O_CLOEXEC, 0);
  if (reader < 0)
    engine_failed(TAIL_REPORT_FAILED, "a file that was read cannot be kept before it is changed: ", path,
                  reader);
  uint64_t room = length < OLD_PIECE ? journal_padded(length) : OLD_PIECE;
  uint8_t *bytes = (uint8_t *)raw_syscall6(SYS_mmap, TAIL_ADDRESS - (1ull << 32), room, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
  while (length) {
    uint64_t part = length < room ? length : room;
    int64_t got = raw_syscall4(SYS_pread64, (uint64_t)reader, (uint64_t)bytes, part, offset);
    if (got <= 0)
      break;
    struct journal_old old = {descriptor->device, descriptor->inode, descriptor->birth_ns, offset};
    struct draft draft;
    begin(&draft);
    draft_add2(&draft, SEGMENT_OLD, 0, &old, sizeof old, bytes, (size_t)got);
    draft_append(&draft);
    offset += (uint64_t)got;
    length -= (uint64_t)got;
  }
  raw_syscall2(SYS_munmap, (uint64_t)bytes, room);
  raw_syscall1(SYS_close, (uint64_t)reader);
}

/* A name in kept/ that no other thread has: where the journal stands, and the inode. */
static void kept_name(char *ret_name, char *ret_path, const struct journal_file *file)
{
  static _Atomic uint32_t serial;
  size_t used = path_put_number(ret_name, 0, atomic_load(&engine.tail.header->head), 16);
  used = path_put_text(ret_name, used, "-");
  used = path_put_number(ret_name, used, file->inode, 16);
  used = path_put_text(ret_name, used, "-");
  used = path_put_number(ret_name, used, (uint32_t)engine.pid_real, 16);
  used = path_put_text(ret_name, used, "-");
  path_put_number(ret_name, used, atomic_fetch_add(&serial, 1), 16);
  used = path_put_text(ret_path, 0, engine.tail.header->run_directory);
  used = path_put_text(ret_path, used, "/kept/");
  path_put_text(ret_path, used, ret_name);
}

static void record_kept(const struct journal_file *file, const char *name)
{
  struct journal_kept kept = {file->device, file->inode, file->birth_ns};
  struct draft draft;
  begin(&draft);
  draft_add2(&draft, SEGMENT_KEPT, 0, &kept, sizeof kept, name, raw_length(name));
  draft_append(&draft);
}

static int64_t copy_bytes(int64_t from, int64_t to)
{
  if (raw_syscall3(SYS_ioctl, (uint64_t)to, FICLONE_REQUEST, (uint64_t)from) == 0)
    return 0;
  for (;;) {
    int64_t moved = raw_syscall6(SYS_copy_file_range, (uint64_t)from, 0, (uint64_t)to, 0, 1u << 30, 0);
    if (moved == -EXDEV || moved == -EINVAL || moved == -EOPNOTSUPP)
      moved = raw_syscall4(SYS_sendfile, (uint64_t)to, (uint64_t)from, 0, 1u << 30);
    if (moved <= 0)
      return moved;
  }
}

void keep_copy(int dirfd, const char *path, const struct journal_file *file)
{
  char name[96], target[PATH_ROOM + 128];
  kept_name(name, target, file);
  int64_t from = raw_syscall3(SYS_openat, (uint64_t)(int64_t)dirfd, (uint64_t)path, O_RDONLY | O_CLOEXEC);
  int64_t to = raw_syscall4(SYS_openat, (uint64_t)(int64_t)AT_FDCWD, (uint64_t)target,
                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int64_t result = from < 0 ? from : to < 0 ? to : copy_bytes(from, to);
  if (from >= 0)
    raw_syscall1(SYS_close, (uint64_t)from);
  if (to >= 0)
    raw_syscall1(SYS_close, (uint64_t)to);
  if (result < 0)
    engine_failed(TAIL_REPORT_FAILED, "a file that was read cannot be kept before it is changed: ", path,
                  result);
  record_kept(file, name);
}

void keep_link(int dirfd, const char *path, const struct journal_file *file)
{
  char name[96], target[PATH_ROOM + 128];
  kept_name(name, target, file);
  int64_t result = raw_syscall5(SYS_linkat, (uint64_t)(int64_t)dirfd, (uint64_t)path,
                                (uint64_t)(int64_t)AT_FDCWD, (uint64_t)target, 0);
  if (result < 0)
    keep_copy(dirfd, path, file);
  else
    record_kept(file, name);
}
