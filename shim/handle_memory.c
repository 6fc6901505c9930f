/* SPDX-License-Identifier: Apache-2.0 */
/* mmap and mprotect. Memory without a file passes; a mapping of a file is recorded by reference.
 *
 * A shared mapping that may be written carries changes that no call shows. What it holds when it is made is
 * recorded or kept; in replay the program stores again what it had stored, and going live puts that into
 * the file. So one process is exact; what other processes do with the same mapping meanwhile is not journaled,
 * and the run says so. */
#include "shim/descriptors.h"
#include "shim/keep.h"
#include "shim/mappings.h"
#include "shim/paths.h"
#include "shim/x86_64/tsc_trap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* Up to this many bytes of a shared writable mapping are recorded when it is made; of a longer one the whole
 * file is kept. */
#define SHARED_SIZE_MAX (1u << 20)
#define PAGE_SIZE 4096u

static bool shared_writable(const struct call *call)
{
  return (call->args[3] & MAP_TYPE) != MAP_PRIVATE && call->args[2] & PROT_WRITE;
}

/* ---- live ---- */

/* How much of the file lies under the mapping's pages. */
static uint64_t covered(const struct call *call, const struct journal_file *file)
{
  uint64_t offset = call->args[5], length = (call->args[1] + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1ull);
  if (offset >= file->size)
    return 0;
  return length < file->size - offset ? length : file->size - offset;
}

static void keep_now(int fd, const struct journal_file *file)
{
  char link[32];
  path_proc_fd(fd, link);
  keep_copy(AT_FDCWD, link, file);
}

static void record_mapping(struct call *call, struct descriptor *descriptor, bool was_referenced, int64_t result)
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
  /* The program can store only when the call has returned: kept now is kept before. What the journal
   * refers to is changed past all calls from then on. */
  if (shared_writable(call) && (reference.length > SHARED_SIZE_MAX || was_referenced))
    keep_now((int)call->args[4], &file);
}

static int64_t map_live(struct call *call, struct descriptor *descriptor)
{
  bool was_referenced = keep_referenced(descriptor->device, descriptor->inode);
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
    if (shared_writable(call)) {
      descriptor_not_fresh((int)call->args[4]);
      file_mark_stored_to(descriptor->device, descriptor->inode);
    }
    record_mapping(call, descriptor, was_referenced, result);
  }
  return result;
}

static int64_t map_again(struct call *call, const struct journal_entry *entry)
{
  if (raw_is_error(entry->result))
    return entry->result;
  if (!journal_find_segment(entry, SEGMENT_REFERENCE, 4))
    return call_run(call);
  return mapping_make(call, entry);
}

int64_t handle_mmap(struct call *call)
{
  if (shared_writable(call))
    engine.shares_memory = true;
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

int64_t handle_munmap(struct call *call)
{
  mapping_leaves(call->args[0], call->args[1]);
  return call_run(call);
}

int64_t handle_mprotect(struct call *call)
{
  if (call->args[2] & PROT_EXEC)
    tsc_trap_arm();
  return call_run(call);
}
