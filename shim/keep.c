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
  if (engine_left())
    return false;
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
  keep_mark_file(descriptor->device, descriptor->inode, descriptor->birth_ns);
}

void keep_mark_file(uint64_t device, uint64_t inode, uint64_t birth_ns)
{
  if (keep_referenced(device, inode))
    return;
  struct tail_header *header = engine.tail.header;
  for (uint64_t i = 0; i < TAIL_REFERENCED_MAX; i++) {
    struct tail_referenced *slot =
        &header->referenced[(inode + i) % TAIL_REFERENCED_MAX];
    uint64_t free = 0;
    /* The inode is claimed before the device is there: a reader in between sees device 0 and takes
     * the file as not referenced, which concerns only a change that runs at that very moment. */
    if (atomic_compare_exchange_strong(&slot->inode, &free, inode)) {
      slot->device = device;
      slot->birth_ns = birth_ns;
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
  int64_t reader = open_aside(AT_FDCWD, path, O_RDONLY, 0);
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

void keep_new_name(char *ret_name, char *ret_path, uint64_t inode)
{
  static _Atomic uint32_t serial;
  size_t used = path_put_number(ret_name, 0, atomic_load(&engine.tail.header->head), 16);
  used = path_put_text(ret_name, used, "-");
  used = path_put_number(ret_name, used, inode, 16);
  used = path_put_text(ret_name, used, "-");
  used = path_put_number(ret_name, used, (uint32_t)engine.pid_real, 16);
  used = path_put_text(ret_name, used, "-");
  path_put_number(ret_name, used, atomic_fetch_add(&serial, 1), 16);
  used = path_put_text(ret_path, 0, engine.tail.header->run_directory);
  used = path_put_text(ret_path, used, "/kept/");
  path_put_text(ret_path, used, ret_name);
}

/* certain: it is a copy, whatever comes next. Else the intent that follows tells. */
static void record_kept(const struct journal_file *file, const char *name, bool certain)
{
  struct journal_kept kept = {file->device, file->inode, file->birth_ns};
  struct draft draft;
  begin(&draft);
  draft_add2(&draft, SEGMENT_KEPT, certain, &kept, sizeof kept, name, raw_length(name));
  draft_append(&draft);
}

int64_t keep_copy_bytes(int64_t from, int64_t to)
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

int64_t keep_copy_as_new(int dirfd, const char *path, uint64_t inode, char *ret_name)
{
  char target[PATH_ROOM + 128];
  keep_new_name(ret_name, target, inode);
  int64_t from = open_aside(dirfd, path, O_RDONLY, 0);
  int64_t to = open_aside(AT_FDCWD, target, O_WRONLY | O_CREAT | O_EXCL, 0600);
  int64_t result = from < 0 ? from : to < 0 ? to : keep_copy_bytes(from, to);
  if (from >= 0)
    raw_syscall1(SYS_close, (uint64_t)from);
  if (to >= 0)
    raw_syscall1(SYS_close, (uint64_t)to);
  if (result < 0 && to >= 0) /* half a copy is of no use, and may have filled the disk that the journal needs */
    raw_syscall1(SYS_unlink, (uint64_t)target);
  return result;
}

static void copy_file(int dirfd, const char *path, const struct journal_file *file, bool certain)
{
  char name[96];
  int64_t result = keep_copy_as_new(dirfd, path, file->inode, name);
  if (result < 0)
    engine_failed(TAIL_REPORT_FAILED, "a file that was read cannot be kept before it is changed: ", path,
                  result);
  record_kept(file, name, certain);
}

void keep_copy(int dirfd, const char *path, const struct journal_file *file)
{
  if (!engine_left())
    copy_file(dirfd, path, file, true);
}

void keep_link(int dirfd, const char *path, const struct journal_file *file)
{
  char name[96], target[PATH_ROOM + 128];
  if (engine_left())
    return;
  keep_new_name(name, target, file->inode);
  int64_t result = raw_syscall5(SYS_linkat, (uint64_t)(int64_t)dirfd, (uint64_t)path,
                                (uint64_t)(int64_t)AT_FDCWD, (uint64_t)target, 0);
  if (result < 0) {
    copy_file(dirfd, path, file, false);
    return;
  }
  record_kept(file, name, false);
  keep_hide_link(file->device, file->inode);
}

/* ---- links that the program must not count ---- */

void keep_hide_link(uint64_t device, uint64_t inode)
{
  struct tail_header *header = engine.tail.header;
  uint32_t place = atomic_fetch_add(&header->kept_count, 1);
  if (place < TAIL_KEPT_MAX) {
    header->kept[place].device = device;
    atomic_store(&header->kept[place].inode, inode);
  }
}

void keep_hide_known_links(void)
{
  char path[PATH_ROOM + 16], bytes[2048];
  size_t used = path_put_text(path, 0, engine.tail.header->run_directory);
  path_put_text(path, used, "/kept");
  int64_t directory = open_aside(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  if (directory < 0)
    return;
  for (;;) {
    int64_t size = raw_syscall3(SYS_getdents64, (uint64_t)directory, (uint64_t)bytes, sizeof bytes);
    if (size <= 0)
      break;
    for (int64_t place = 0; place < size;) {
      const struct listed_name *listed = (const struct listed_name *)(bytes + place);
      struct journal_file file;
      place += listed->size;
      if (listed->name[0] != '.' &&
          file_look((int)directory, listed->name, AT_SYMLINK_NOFOLLOW, &file) == 0)
        keep_hide_link(file.device, file.inode);
    }
  }
  raw_syscall1(SYS_close, (uint64_t)directory);
}

uint64_t keep_hidden_links(uint64_t device, uint64_t inode)
{
  const struct tail_header *header = engine.tail.header;
  uint32_t count = engine_left() ? 0 : atomic_load(&header->kept_count);
  uint64_t links = 0;
  for (uint32_t i = 0; i < count && i < TAIL_KEPT_MAX; i++)
    links += atomic_load(&header->kept[i].inode) == inode && header->kept[i].device == device;
  return links;
}

void keep_hide_links(const struct call *call)
{
  if (!atomic_load_explicit(&engine.tail.header->kept_count, memory_order_relaxed))
    return;
  if (call->id == SYS_statx) {
    struct statx *about = (struct statx *)call->args[4];
    uint64_t device = (uint64_t)about->stx_dev_major << 32 | about->stx_dev_minor;
    uint32_t hidden = (uint32_t)keep_hidden_links(device, about->stx_ino);
    about->stx_nlink -= hidden < about->stx_nlink ? hidden : about->stx_nlink;
  } else {
    struct stat *about = (struct stat *)call->args[call->id == SYS_newfstatat ? 2 : 1];
    uint64_t device = (uint64_t)((about->st_dev >> 8 & 0xfff) | (about->st_dev >> 32 & ~0xfffull)) << 32 |
                      ((about->st_dev & 0xff) | (about->st_dev >> 12 & ~0xffull & 0xffffffff));
    uint64_t hidden = keep_hidden_links(device, about->st_ino);
    about->st_nlink -= hidden < about->st_nlink ? hidden : about->st_nlink;
  }
}
