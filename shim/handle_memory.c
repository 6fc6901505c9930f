/* SPDX-License-Identifier: Apache-2.0 */
/* mmap and mprotect. Memory without a file passes; a mapping of a file is recorded by reference.
 *
 * A shared mapping that may be written carries changes that no call shows. In replay it is private
 * memory with the file's bytes as they were when it was mapped; the program stores again what it had stored, and
 * going live puts that into the file and maps it. So one process is exact; what other processes do
 * with the same mapping meanwhile is not journaled, and the run says so. */
#include "shim/descriptors.h"
#include "shim/ghosts.h"
#include "shim/keep.h"
#include "shim/mappings.h"
#include "shim/paths.h"
#include "shim/x86_64/tsc_trap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define SHARED_MAX 64
/* Up to this many bytes of a shared writable mapping are recorded when it is made; of a longer one replay
 * takes the file as it is. */
#define SHARED_SIZE_MAX (1u << 20)

struct shared_mapping {
  uint64_t address, length, offset;
  uint64_t device, inode, birth_ns;
};

static struct shared_mapping shared[SHARED_MAX];
static unsigned shared_count;

const char *feed_extent_path(const struct feed_extent *extent, const char *path)
{
  if (extent->source != FEED_SOURCE_KEPT)
    return path;
  const struct feed_file *files = feed_at(engine.feed->files_offset);
  return feed_at(files[extent->zero].path);
}

static bool shared_writable(const struct call *call)
{
  return (call->args[3] & MAP_TYPE) != MAP_PRIVATE && call->args[2] & PROT_WRITE;
}

/* ---- live ---- */

/* How much of the file lies under the mapping. */
static uint64_t covered(const struct call *call, const struct journal_file *file)
{
  uint64_t offset = call->args[5], length = call->args[1];
  if (offset >= file->size)
    return 0;
  return length < file->size - offset ? length : file->size - offset;
}

static void record_mapping(struct call *call, struct descriptor *descriptor, int64_t result)
{
  if (shared_writable(call))
    record_note(TAIL_NOTED_SHARED_MAPPING,
                "a file is mapped shared and writable: what other processes change in it is not journaled");
  struct journal_file file = {0};
  file_look((int)call->args[4], "", AT_EMPTY_PATH, &file);
  struct journal_reference reference = {
      .device = descriptor->device,
      .inode = descriptor->inode,
      .birth_ns = descriptor->birth_ns,
      .offset = call->args[5],
      .length = covered(call, &file),
      .size = file.size,
      .ctime_ns = file.ctime_ns,
  };
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft_add(&draft, SEGMENT_REFERENCE, 4, &reference, sizeof reference);
  if (shared_writable(call) && reference.length <= SHARED_SIZE_MAX)
    draft_add(&draft, SEGMENT_OUTPUT, 0, (const void *)result, reference.length);
  draft_append(&draft);
}

static int64_t map_live(struct call *call, struct descriptor *descriptor)
{
  if (descriptor->kind == DESCRIPTOR_REGULAR)
    keep_mark_referenced(descriptor);
  crash_point();
  int64_t result = call_run(call);
  crash_point();
  if (raw_is_error(result) || descriptor->kind != DESCRIPTOR_REGULAR) {
    struct draft draft;
    draft_begin(&draft, call, JOURNAL_COMPLETE, result);
    draft_append(&draft);
  } else {
    if (shared_writable(call))
      descriptor_not_fresh((int)call->args[4]);
    record_mapping(call, descriptor, result);
  }
  return result;
}

/* ---- replay ---- */

_Noreturn static void mapped_changed(const char *path)
{
  engine_failed(TAIL_REPORT_INPUT,
                *path ? "a file that the run mapped is missing, or was changed by somebody else: "
                      : "a file that the run mapped has no name any more",
                path, 0);
}

static void fill_from(uint64_t address, const char *path, uint64_t offset, uint64_t length)
{
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, O_RDONLY | O_CLOEXEC, 0);
  while (fd >= 0 && length) {
    int64_t got = raw_syscall4(SYS_pread64, (uint64_t)fd, address, length, offset);
    if (got <= 0)
      mapped_changed(path);
    address += (uint64_t)got;
    offset += (uint64_t)got;
    length -= (uint64_t)got;
  }
  if (fd < 0)
    mapped_changed(path);
  raw_syscall1(SYS_close, (uint64_t)fd);
}

/* Private memory in the mapping's place, to be filled. */
static int64_t map_memory(const struct call *call, uint64_t address)
{
  uint64_t fixed = call->args[3] & MAP_FIXED ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  return raw_syscall6(SYS_mmap, address, call->args[1], PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | fixed, ~0ull, 0);
}

static int64_t map_file(const struct call *call, const struct journal_reference *reference,
                        const struct feed_file *file, const char *path, uint64_t address)
{
  struct journal_file now;
  int64_t fd = raw_syscall3(SYS_open, (uint64_t)path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0 || file_look((int)fd, "", AT_EMPTY_PATH, &now) != 0)
    mapped_changed(path);
  bool same = now.size == reference->size && now.ctime_ns == reference->ctime_ns;
  if (!same && !(file->flags & (FEED_FILE_CHANGED | FEED_FILE_KEPT | FEED_FILE_GHOST)))
    mapped_changed(path);
  uint64_t fixed = call->args[3] & MAP_FIXED ? 0 : MAP_FIXED_NOREPLACE;
  int64_t result = raw_syscall6(SYS_mmap, address, call->args[1], call->args[2], call->args[3] | fixed,
                                (uint64_t)fd, call->args[5]);
  raw_syscall1(SYS_close, (uint64_t)fd);
  return result;
}

static void remember_shared(const struct call *call, const struct journal_reference *reference,
                            uint64_t address)
{
  if (shared_count == SHARED_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more shared writable mappings than can be replayed", "", SHARED_MAX);
  shared[shared_count++] = (struct shared_mapping){
      address, call->args[1], call->args[5], reference->device, reference->inode, reference->birth_ns,
  };
}

static int64_t map_extents(const struct call *call, const struct journal_segment *segment,
                           const char *path, uint64_t address)
{
  int64_t result = map_memory(call, address);
  if (raw_is_error(result))
    return result;
  const struct feed_extent *extents = (const struct feed_extent *)segment->data;
  for (uint64_t i = 0; i < segment->length / sizeof *extents; address += extents[i++].length) {
    if (extents[i].source == FEED_SOURCE_BLOB)
      raw_copy((void *)address, feed_at(extents[i].offset), extents[i].length);
    else
      fill_from(address, feed_extent_path(&extents[i], path), extents[i].offset, extents[i].length);
  }
  raw_syscall3(SYS_mprotect, (uint64_t)result, call->args[1], call->args[2]);
  return result;
}

static int64_t map_again(struct call *call, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_REFERENCE, 4);
  if (raw_is_error(entry->result))
    return entry->result;
  if (!segment)
    return call_run(call);
  const struct journal_reference *reference = (const struct journal_reference *)segment->data;
  char room[PATH_ROOM];
  const struct feed_file *file =
      feed_find_primary(reference->device, reference->inode, reference->birth_ns);
  const char *path = ghost_or_file_path(file, room);
  keep_mark_file(reference->device, reference->inode, reference->birth_ns);
  uint64_t address = (uint64_t)entry->result;
  const struct journal_segment *bytes = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  if (shared_writable(call)) {
    int64_t result = map_memory(call, address);
    if (bytes)
      raw_copy((uint8_t *)address, bytes->data, bytes->length);
    else
      fill_from(address, path, reference->offset, reference->length);
    remember_shared(call, reference, address);
    return result;
  }
  segment = journal_find_segment(entry, SEGMENT_EXTENTS, 4);
  if (segment)
    return map_extents(call, segment, path, address);
  if (!file || !*path)
    mapped_changed(path);
  return map_file(call, reference, file, path, address);
}

void mappings_go_live(void)
{
  for (unsigned i = 0; i < shared_count; i++) {
    const struct shared_mapping *mapping = &shared[i];
    const struct feed_file *file =
        feed_find_primary(mapping->device, mapping->inode, mapping->birth_ns);
    const char *path = file && file->path ? feed_at(file->path) : "";
    struct journal_file now = {.device = mapping->device, .inode = mapping->inode,
                               .birth_ns = mapping->birth_ns, .mode = 0600};
    int64_t fd = ghost_file(file) ? ghost_open(&now, NULL, O_RDWR) : open_aside(AT_FDCWD, path, O_RDWR, 0);
    if (fd < 0 || file_look((int)fd, "", AT_EMPTY_PATH, &now) != 0)
      mapped_changed(path);
    uint64_t end = mapping->offset + mapping->length;
    if (end > now.size)
      end = now.size;
    for (uint64_t at = mapping->offset; at < end;) {
      int64_t put = raw_syscall4(SYS_pwrite64, (uint64_t)fd, mapping->address + (at - mapping->offset),
                                 end - at, at);
      if (put <= 0)
        mapped_changed(path);
      at += (uint64_t)put;
    }
    raw_syscall6(SYS_mmap, mapping->address, mapping->length, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, (uint64_t)fd, mapping->offset);
    raw_syscall1(SYS_close, (uint64_t)fd);
  }
  shared_count = 0;
}

/* A mapping that is gone is not put back. */
static void forget_shared(uint64_t address, uint64_t length)
{
  for (unsigned i = 0; i < shared_count;)
    if (shared[i].address >= address && shared[i].address + shared[i].length <= address + length)
      shared[i] = shared[--shared_count];
    else
      i++;
}

int64_t handle_munmap(struct call *call)
{
  /* Before it is gone, what it holds goes where a shared mapping's stores go. */
  forget_shared(call->args[0], call->args[1]);
  return call_run(call);
}

int64_t handle_mmap(struct call *call)
{
  if (call->args[3] & MAP_ANONYMOUS || (int)call->args[4] < 0) {
    if (call->args[2] & PROT_EXEC)
      tsc_trap_arm();
    return call_run(call);
  }
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = map_again(call, entry);
      if (result != entry->result)
        engine_failed(TAIL_REPORT_FAILED, "a mapping came back at another address than before", "", result);
      replay_advance(entry);
      return result;
    }
  }
  if (call->args[2] & PROT_EXEC)
    tsc_trap_arm();
  return map_live(call, descriptor_get((int)call->args[4]));
}

int64_t handle_mprotect(struct call *call)
{
  if (call->args[2] & PROT_EXEC)
    tsc_trap_arm();
  return call_run(call);
}
