/* SPDX-License-Identifier: Apache-2.0 */
/* read, pread64, readv, preadv, preadv2, lseek, getdents.
 *
 * Bytes of a large regular file are referenced rather than recorded: device, inode, offset, length
 * and hash. Replay reads them again, from the file or from what was kept of it, and the hash decides. */
#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/ghosts.h"
#include "shim/input_file.h"
#include "shim/keep.h"
#include "shim/mappings.h"
#include "shim/paths.h"
#include "shim/pipe_flow.h"
#include "shim/readiness.h"
#include "shim/sockets.h"
#include "shim/watches.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct reading {
  int fd;
  bool vector;
  bool positioned;
  uint64_t offset; /* where positioned */
};

static struct reading reading_of(const struct call *call)
{
  struct reading reading = {.fd = (int)call->args[0]};
  switch (call->id) {
  case SYS_pread64:
    reading.positioned = true;
    break;
  case SYS_readv:
    reading.vector = true;
    break;
  case SYS_preadv:
  case SYS_preadv2:
    reading.vector = true;
    /* preadv2 with offset -1 reads at the description's. */
    reading.positioned = call->args[3] != ~0ull;
    break;
  }
  reading.offset = call->args[3];
  return reading;
}

static uint64_t hash_vector(const struct io_vector *pieces, uint64_t count, uint64_t length)
{
  uint64_t hash = 0;
  for (uint64_t i = 0; i < count && length; i++) {
    uint64_t part = pieces[i].length < length ? pieces[i].length : length;
    hash = hash_mix(hash, hash_bytes(pieces[i].base, part));
    length -= part;
  }
  return hash;
}

static uint64_t hash_output(const struct call *call, const struct reading *reading, uint64_t length)
{
  if (reading->vector)
    return hash_vector((const struct io_vector *)call->args[1], call->args[2], length);
  return hash_bytes((const void *)call->args[1], length);
}

/* ---- live ---- */

static bool referenced(struct descriptor *descriptor, const struct reading *reading, int64_t result)
{
  if (descriptor->kind != DESCRIPTOR_REGULAR || result <= 0)
    return false;
  if (descriptor->inline_bytes >= result &&
      !(reading->positioned && reading->offset >= JOURNAL_INLINE_FILE_SIZE_MAX)) {
    descriptor->inline_bytes -= (int32_t)result;
    return false;
  }
  return true;
}

/* Files of /proc and /sys say that they are empty, and their bytes are gone once they are read; those of a file
 * that is mapped and stored to are gone when the program stores, which no call shows; one that was opened where nothing is
 * journaled is made anew by every attempt. */
static bool must_be_recorded(const struct descriptor *descriptor)
{
  uint64_t major = descriptor->device >> 32;
  return (major == 0 && descriptor->birth_ns == 0) || descriptor->flags & DESCRIPTOR_UNJOURNALED ||
         file_is_stored_to(descriptor->device, descriptor->inode);
}

/* Before the read: whoever changes the file from now on keeps what it changes. */
static bool may_reference(const struct call *call, const struct reading *reading,
                          const struct descriptor *descriptor)
{
  if (descriptor->kind != DESCRIPTOR_REGULAR || must_be_recorded(descriptor))
    return false;
  uint64_t length = reading->vector
                        ? vector_length((const struct io_vector *)call->args[1], call->args[2])
                        : call->args[2];
  return descriptor->inline_bytes <= 0 || length > (uint64_t)descriptor->inline_bytes ||
         (reading->positioned && reading->offset >= JOURNAL_INLINE_FILE_SIZE_MAX);
}

static void record_reference(struct call *call, const struct reading *reading,
                             struct descriptor *descriptor, int64_t result)
{
  uint64_t offset = reading->offset;
  if (!reading->positioned)
    offset = (uint64_t)(raw_syscall3(SYS_lseek, (uint64_t)reading->fd, 0, SEEK_CUR) - result);
  struct journal_reference reference = {
      .device = descriptor->device,
      .inode = descriptor->inode,
      .birth_ns = descriptor->birth_ns,
      .offset = offset,
      .length = (uint64_t)result,
      .hash = hash_output(call, reading, (uint64_t)result),
  };
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft_add(&draft, SEGMENT_REFERENCE, 1, &reference, sizeof reference);
  draft_append(&draft);
}

/* Its writer, another process or thread, has yet to make the write again that the crash has cut off. */
#define OWED_WAIT_MS 1000

/* What was there when the run was killed, and the program was told of, is there again in a moment: a program that does
 * not wait must find it. */
static int64_t run_read(const struct call *call, int fd)
{
  int64_t result = call_run(call);
  struct pollfd poll = {.fd = fd, .events = POLLIN};
  if (result != -EAGAIN || !(readiness_owed(fd) || channel_is_awaited(fd)))
    return result;
  raw_syscall3(SYS_poll, (uint64_t)&poll, 1, OWED_WAIT_MS);
  return call_run(call);
}

static int64_t read_live(struct call *call, const struct reading *reading)
{
  struct descriptor *descriptor = descriptor_get(reading->fd);
  if (may_reference(call, reading, descriptor))
    keep_mark_referenced(descriptor);
  crash_point();
  struct pipe_flow_read flowing;
  pipe_flow_read_begin(reading->fd, &flowing);
  bool lost = descriptor->kind == DESCRIPTOR_SOCKET && readiness_lost(reading->fd);
  int64_t result = lost ? -EAGAIN : run_read(call, reading->fd);
  if (result > 0 && descriptor->kind == DESCRIPTOR_INOTIFY && call->id == SYS_read)
    watches_translate((uint8_t *)call->args[1], result);
  crash_point();
  if (!flowing.flow && result > 0 && referenced(descriptor, reading, result) && !must_be_recorded(descriptor)) {
    record_reference(call, reading, descriptor, result);
    return result;
  }
  struct draft draft;
  struct journal_source source = {descriptor->device, descriptor->inode};
  uint64_t zeros = (uint64_t)result;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  if (descriptor->kind == DESCRIPTOR_OUTER && result > 0)
    draft_add(&draft, SEGMENT_SOURCE, 0, &source, sizeof source);
  else if (descriptor->kind != DESCRIPTOR_REGULAR)
    channel_describe(&draft, reading->fd, &source);
  if (descriptor->flags & DESCRIPTOR_ZEROS && result > 0)
    draft_add(&draft, SEGMENT_ZEROS, 1, &zeros, sizeof zeros);
  else if (pipe_flow_read_ended(&flowing, result))
    draft.parts[draft.tail.part_count - 1].arg = JOURNAL_CHANNEL_FLOWS;
  else
    draft_add_outputs(&draft, call);
  draft_append(&draft);
  pipe_flow_read_journaled(&flowing);
  return result;
}

/* ---- replay ---- */

static void give_at(const struct call *call, const struct reading *reading, uint64_t at,
                    const void *bytes, uint64_t length)
{
  if (reading->vector)
    vector_scatter((const struct io_vector *)call->args[1], call->args[2], at, bytes, length);
  else
    raw_copy((uint8_t *)call->args[1] + at, bytes, length);
}

__attribute__((noreturn)) static void input_changed(const char *path)
{
  engine_failed(TAIL_REPORT_INPUT,
                *path ? "an input is missing, or has other bytes than when the run read it: "
                      : "an input that the run read has no name any more",
                path, 0);
}

/* The feed's paths name what replay does not change; other paths are those of stores, which it does. */
static int64_t read_again(const char *path, void *to, uint64_t length, uint64_t offset)
{
  if ((uint64_t)(path - (const char *)engine.feed) < engine.feed->size)
    return input_file_read(path, to, length, offset);
  int64_t fd = open_aside(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0)
    return fd;
  int64_t got = raw_syscall4(SYS_pread64, (uint64_t)fd, (uint64_t)to, length, offset);
  raw_syscall1(SYS_close, (uint64_t)fd);
  return got;
}

/* Fills `length` bytes at `at` of the output from the file. */
static void give_file(const struct call *call, const struct reading *reading, const char *path,
                      uint64_t offset, uint64_t at, uint64_t length)
{
  while (length) {
    uint8_t bytes[4096];
    uint8_t *target = reading->vector ? bytes : (uint8_t *)call->args[1] + at;
    uint64_t part = reading->vector && length > sizeof bytes ? sizeof bytes : length;
    int64_t got = read_again(path, target, part, offset);
    if (got <= 0)
      input_changed(path);
    if (reading->vector)
      give_at(call, reading, at, bytes, (uint64_t)got);
    at += (uint64_t)got;
    offset += (uint64_t)got;
    length -= (uint64_t)got;
  }
}

static void give_reference(const struct call *call, const struct reading *reading,
                           const struct journal_entry *entry,
                           const struct journal_reference *reference)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_EXTENTS, 1);
  char room[PATH_ROOM + 128];
  const char *path = ghost_or_file_path(
      feed_find_primary(reference->device, reference->inode, reference->birth_ns), room);
  keep_mark_file(reference->device, reference->inode, reference->birth_ns);
  if (!segment) {
    give_file(call, reading, path, reference->offset, 0, reference->length);
  } else {
    const struct feed_extent *extents = (const struct feed_extent *)segment->data;
    uint64_t count = segment->length / sizeof *extents, at = 0;
    for (uint64_t i = 0; i < count; at += extents[i++].length) {
      if (extents[i].source == FEED_SOURCE_BLOB)
        give_at(call, reading, at, feed_at(extents[i].offset), extents[i].length);
      else
        give_file(call, reading, feed_extent_path(&extents[i], path), extents[i].offset, at,
                  extents[i].length);
    }
  }
  if (hash_output(call, reading, reference->length) != reference->hash)
    input_changed(path);
}

static void read_flowing_again(const struct call *call, const struct reading *reading, uint64_t length)
{
  struct io_vector one;
  uint64_t count;
  const struct io_vector *pieces = call_pieces(call, reading->vector, &one, &count);
  pipe_flow_read_again(reading->fd, pieces, count, length);
}

static void give_zeros(const struct call *call, const struct reading *reading, uint64_t length)
{
  struct io_vector one;
  uint64_t count;
  const struct io_vector *pieces = call_pieces(call, reading->vector, &one, &count);
  for (uint64_t i = 0; i < count && length; i++) {
    uint64_t part = pieces[i].length < length ? pieces[i].length : length;
    raw_fill(pieces[i].base, 0, part);
    length -= part;
  }
}

static void follow(const struct reading *reading, int64_t result)
{
  if (result <= 0)
    return;
  const struct descriptor *descriptor = descriptor_get(reading->fd);
  switch (descriptor->kind) {
  case DESCRIPTOR_PLACEHOLDER:
  case DESCRIPTOR_REGULAR:
  case DESCRIPTOR_MEMFD:
    if (!reading->positioned)
      raw_syscall3(SYS_lseek, (uint64_t)reading->fd, (uint64_t)result, SEEK_CUR);
    break;
  default:
    channel_take(reading->fd, result);
    break;
  }
}

int64_t handle_read(struct call *call)
{
  struct reading reading = reading_of(call);
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry);
      const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_REFERENCE, 1);
      if (segment)
        give_reference(call, &reading, entry, (const struct journal_reference *)segment->data);
      if (journal_find_segment(entry, SEGMENT_ZEROS, 1))
        give_zeros(call, &reading, (uint64_t)result);
      if (journal_flows(entry))
        read_flowing_again(call, &reading, (uint64_t)result);
      else if (descriptor_get(reading.fd)->kind == DESCRIPTOR_SOCKET)
        socket_follow_read(reading.fd, result, call->args[2]);
      else if (!(entry->arg_count & JOURNAL_FLAG_SKIPPED))
        follow(&reading, result);
      replay_advance(entry);
      return result;
    }
  }
  return read_live(call, &reading);
}

/* Is the descriptor one whose offset replay keeps in the kernel? */
static bool keeps_offset(int fd)
{
  uint8_t kind = descriptor_get(fd)->kind;
  return kind == DESCRIPTOR_PLACEHOLDER || kind == DESCRIPTOR_REGULAR || kind == DESCRIPTOR_MEMFD;
}

/* Output that the run was started with stands where the supervisor put it: behind what is there. */
static void seek_again(const struct call *call, int64_t result)
{
  int fd = (int)call->args[0];
  const struct descriptor *descriptor = descriptor_get(fd);
  bool output = descriptor->flags & DESCRIPTOR_OUTER_FILE &&
                (raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  if (output && engine.tail.header->outer[descriptor->outer].output == TAIL_OUTPUT_AGAIN)
    call_run(call);
  else if (!output && keeps_offset(fd))
    raw_syscall3(SYS_lseek, (uint64_t)fd, (uint64_t)result, SEEK_SET);
}

int64_t handle_lseek(struct call *call)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = entry->result;
      if (!raw_is_error(result))
        seek_again(call, result);
      replay_advance(entry);
      return result;
    }
  }
  return observe(call);
}

/* ---- directories ---- */

struct directory_entry {
  uint64_t inode;
  int64_t next;
  uint16_t size;
  char rest[];
};

/* Takes the run's lock, which the program does not know of, out of a listing of descriptors. */
static int64_t hide_lock(uint8_t *entries, int64_t size, bool wide)
{
  char name[16];
  path_put_number(name, 0, (uint32_t)engine.tail.header->lock_fd, 10);
  for (int64_t place = 0; place < size;) {
    struct directory_entry *entry = (struct directory_entry *)(entries + place);
    uint16_t length = entry->size;
    if (raw_same_text(entry->rest + (wide ? 1 : 0), name)) {
      for (int64_t i = place; i + length < size; i++)
        entries[i] = entries[i + length];
      return size - length;
    }
    place += length;
  }
  return size;
}

int64_t handle_getdents(struct call *call)
{
  call_sign(call);
  int fd = (int)call->args[0];
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry), next = 0;
      for (int64_t place = 0; place < result;) {
        const struct directory_entry *last =
            (const struct directory_entry *)((const uint8_t *)call->args[1] + place);
        next = last->next;
        place += last->size;
      }
      if (result > 0)
        raw_syscall3(SYS_lseek, (uint64_t)fd, (uint64_t)next, SEEK_SET);
      replay_advance(entry);
      return result;
    }
  }
  crash_point();
  int64_t result = call_run(call);
  if (result > 0 && descriptor_get(fd)->flags & DESCRIPTOR_LISTS_FDS)
    result = hide_lock((uint8_t *)call->args[1], result, call->id == SYS_getdents64);
  crash_point();
  record_complete(call, result);
  return result;
}

/* ---- about files ---- */

int64_t handle_stat(struct call *call)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry);
      replay_advance(entry);
      return result;
    }
  }
  crash_point();
  int64_t result = call_run(call);
  if (result == 0)
    keep_hide_links(call);
  crash_point();
  record_complete(call, result);
  return result;
}
