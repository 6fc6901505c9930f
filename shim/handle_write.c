/* SPDX-License-Identifier: Apache-2.0 */
/* write, pwrite64, writev, pwritev, pwritev2, copy_file_range, sendfile, splice, tee, vmsplice.
 *
 * Killed between the intent and the outcome: a write at an offset is repeated as it is; an append is
 * settled by recovery from the size before and the hash; output to a terminal or pipe is given again. */
#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/keep.h"
#include "shim/pipe_flow.h"
#include "shim/region.h"
#include "shim/sockets.h"
#include "shim/stores.h"
#include "shim/unjournaled.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

/* How much of what was written is journaled for people to read. */
#define INPUT_SHOWN 32

struct writing {
  int fd;
  bool vector;
  bool positioned;
  bool append;
  bool in_place; /* whatever the description says */
  uint64_t offset; /* where positioned */
  uint64_t length; /* bytes asked for */
};

static struct writing writing_of(const struct call *call)
{
  struct writing writing = {.fd = (int)call->args[0], .length = call->args[2], .offset = call->args[3]};
  switch (call->id) {
  case SYS_pwrite64:
    writing.positioned = true;
    break;
  case SYS_writev:
  case SYS_pwritev:
  case SYS_pwritev2:
    writing.vector = true;
    writing.length = vector_length((const struct io_vector *)call->args[1], call->args[2]);
    writing.positioned = call->id != SYS_writev && call->args[3] != ~0ull;
    writing.append = call->id == SYS_pwritev2 && call->args[5] & RWF_APPEND;
    writing.in_place = call->id == SYS_pwritev2 && call->args[5] & RWF_NOAPPEND;
    break;
  }
  return writing;
}

/* ---- live ---- */

/* The call without its first `skip` bytes, which a reader has got already. */
static int64_t run_rest(struct call *call, const struct writing *writing, uint64_t skip)
{
  struct io_vector one;
  uint64_t count;
  if (!skip)
    return call_run(call);
  const struct io_vector *pieces = call_pieces(call, writing->vector, &one, &count);
  return channel_write_rest(call, pieces, count, skip);
}

/* Fills what tells later whether the write happened. */
static void describe(const struct call *call, const struct writing *writing,
                     const struct descriptor *descriptor, struct journal_written *written)
{
  *written = (struct journal_written){
      .device = descriptor->device,
      .inode = descriptor->inode,
      .birth_ns = descriptor->birth_ns,
      .offset = writing->positioned ? (int64_t)writing->offset : -1,
      .length = writing->length,
      .remote = descriptor->kind == DESCRIPTOR_SOCKET && socket_reaches_out(writing->fd),
  };
  if (descriptor->kind != DESCRIPTOR_REGULAR)
    return;
  /* O_APPEND wins over a named offset: Linux appends pwrite too. */
  if (writing->append || (descriptor->flags & DESCRIPTOR_APPEND && !writing->in_place)) {
    struct journal_file file;
    file_look(writing->fd, "", AT_EMPTY_PATH, &file);
    written->append = 1;
    written->offset = (int64_t)file.size;
    written->hash = writing->vector
                        ? hash_vector_whole((const struct io_vector *)call->args[1], call->args[2])
                        : hash_bytes((const void *)call->args[1], writing->length);
  }
}

static void keep_before(const struct writing *writing, const struct descriptor *descriptor,
                        const struct journal_written *written)
{
  if (written->append || descriptor->kind != DESCRIPTOR_REGULAR ||
      !keep_referenced(descriptor->device, descriptor->inode))
    return;
  uint64_t offset = writing->positioned
                        ? writing->offset
                        : (uint64_t)raw_syscall3(SYS_lseek, (uint64_t)writing->fd, 0, SEEK_CUR);
  keep_range(writing->fd, descriptor, offset, writing->length);
}

struct write_region {
  const struct writing *writing;
  const struct journal_written *written;
};

static void keep_for_region(const struct call *call, void *context)
{
  const struct write_region *region = context;
  const struct writing *writing = region->writing;
  (void)call;
  uint64_t offset = region->written->append ? (uint64_t)region->written->offset
                    : writing->positioned   ? writing->offset
                                            : (uint64_t)raw_syscall3(SYS_lseek, (uint64_t)writing->fd, 0, SEEK_CUR);
  region_content_of(writing->fd, offset, writing->length);
}

static void add_shown(struct draft *draft, const struct call *call, const struct writing *writing)
{
  const void *bytes = (const void *)call->args[1];
  uint64_t length = writing->length;
  if (writing->vector) {
    const struct io_vector *pieces = bytes;
    while (length && !pieces->length)
      pieces++;
    bytes = pieces->base;
    length = length ? pieces->length : 0;
  }
  draft_add(draft, SEGMENT_INPUT, 1, bytes, length < INPUT_SHOWN ? length : INPUT_SHOWN);
}

static int64_t write_change(struct call *call, const struct writing *writing,
                            const struct descriptor *descriptor)
{
  struct journal_written written;
  struct draft draft;
  describe(call, writing, descriptor, &written);
  keep_before(writing, descriptor, &written);
  struct write_region region = {writing, &written};
  if (descriptor->kind == DESCRIPTOR_REGULAR && !(descriptor->flags & DESCRIPTOR_OUTER_FILE))
    region_keep(call, keep_for_region, &region);
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_WRITTEN, 0, &written, sizeof written);
  add_shown(&draft, call, writing);
  call->remote = written.remote;
  record_intent(&draft, call);
  bool to_socket = descriptor->kind == DESCRIPTOR_SOCKET;
  bool pipe = descriptor->kind == DESCRIPTOR_DEVICE || descriptor->kind == DESCRIPTOR_NAMED_PIPE;
  uint64_t skip = pipe ? channel_ahead(writing->fd, writing->length) : 0;
  int64_t result = to_socket ? socket_write(call) : run_rest(call, writing, skip);
  record_result(call, result);
  if (to_socket)
    socket_signal(result, 0);
  return result;
}

static bool is_local(const struct descriptor *descriptor)
{
  switch (descriptor->kind) {
  case DESCRIPTOR_PIPE:
  case DESCRIPTOR_PAIR:
  case DESCRIPTOR_EVENTFD:
  case DESCRIPTOR_TERMINAL:
  case DESCRIPTOR_ANONYMOUS:
  case DESCRIPTOR_MEMFD:
  case DESCRIPTOR_NONE:
    return true;
  }
  return false;
}

/* ---- replay ---- */

/* Calls `take` with the first `length` bytes that the call wrote, piece by piece. */
static void each_piece(const struct call *call, const struct writing *writing, uint64_t length,
                       void (*take)(const struct writing *writing, uint64_t at, const uint8_t *bytes,
                                    uint64_t length))
{
  struct io_vector one = {(uint8_t *)call->args[1], call->args[2]};
  const struct io_vector *pieces =
      writing->vector ? (const struct io_vector *)call->args[1] : &one;
  uint64_t at = 0;
  for (uint64_t i = 0; at < length; i++) {
    uint64_t part = pieces[i].length < length - at ? pieces[i].length : length - at;
    take(writing, at, pieces[i].base, part);
    at += part;
  }
}

/* Gives output again, all of it. */
static void give_again(const struct writing *writing, uint64_t at, const uint8_t *bytes, uint64_t length)
{
  for (uint64_t done = 0; done < length;) {
    uint64_t from = (uint64_t)(bytes + done), rest = length - done;
    int64_t part = writing->positioned ? raw_syscall4(SYS_pwrite64, (uint64_t)writing->fd, from, rest,
                                                      writing->offset + at + done)
                                       : raw_syscall3(SYS_write, (uint64_t)writing->fd, from, rest);
    if (part == -EINTR)
      continue;
    if (part <= 0)
      return;
    done += (uint64_t)part;
  }
}

/* writing->offset: where it went. */
static void put_in_stores(const struct writing *writing, uint64_t at, const uint8_t *bytes, uint64_t length)
{
  stores_write(descriptor_get(writing->fd), writing->offset + at, bytes, length);
}

static void put_in_file(const struct writing *writing, uint64_t at, const uint8_t *bytes, uint64_t length)
{
  unjournaled_write_again(writing->fd, writing->offset + at, bytes, length);
}

/* The placeholder's offset moves as the file's did, and its stores get the bytes. */
static void follow_file(const struct call *call, const struct writing *writing,
                        const struct journal_entry *intent, int64_t result)
{
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_WRITTEN, -1);
  struct writing went = *writing;
  if (segment && ((const struct journal_written *)segment->data)->append)
    went.offset = (uint64_t)((const struct journal_written *)segment->data)->offset;
  else if (!writing->positioned)
    went.offset = (uint64_t)raw_syscall3(SYS_lseek, (uint64_t)writing->fd, 0, SEEK_CUR);
  if (descriptor_get(writing->fd)->flags & (DESCRIPTOR_GHOST | DESCRIPTOR_MAPPED))
    each_piece(call, &went, (uint64_t)result, put_in_stores);
  else if (descriptor_get(writing->fd)->flags & DESCRIPTOR_UNJOURNALED)
    each_piece(call, &went, (uint64_t)result, put_in_file);
  if (!writing->positioned)
    raw_syscall3(SYS_lseek, (uint64_t)writing->fd, went.offset + (uint64_t)result, SEEK_SET);
}

static void put_in_channel(const struct call *call, const struct writing *writing, uint64_t length)
{
  struct io_vector one;
  uint64_t count;
  const struct io_vector *pieces = call_pieces(call, writing->vector, &one, &count);
  channel_put(call, pieces, count, length);
}

/* Makes the descriptor's state what it was after the write. */
static void follow(const struct call *call, const struct writing *writing,
                   const struct journal_entry *intent, int64_t result)
{
  const struct descriptor *descriptor = descriptor_get(writing->fd);
  const struct tail_header *header = engine.tail.header;
  if (result <= 0)
    return;
  if (descriptor->kind == DESCRIPTOR_OUTER || descriptor->flags & DESCRIPTOR_OUTER_FILE) {
    if (header->outer[descriptor->outer].output == TAIL_OUTPUT_AGAIN)
      each_piece(call, writing, (uint64_t)result, give_again);
    return;
  }
  if (descriptor->kind == DESCRIPTOR_NAMED_PIPE)
    put_in_channel(call, writing, (uint64_t)result);
  else if (descriptor->kind == DESCRIPTOR_PLACEHOLDER || descriptor->kind == DESCRIPTOR_REGULAR)
    follow_file(call, writing, intent, result);
}

/* Into a pipe or counter of the run. */
static int64_t write_local(struct call *call, const struct writing *writing)
{
  struct io_vector one;
  uint64_t count;
  const struct io_vector *pieces = call_pieces(call, writing->vector, &one, &count);
  if (descriptor_get(writing->fd)->kind == DESCRIPTOR_PIPE && !engine_live() && replay_next() == JOURNAL_INTENT)
    return pipe_flow_write_again(call, pieces, count);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = entry->result;
      if (result > 0 && !(entry->arg_count & JOURNAL_FLAG_SKIPPED)) {
        channel_put(call, pieces, count, (uint64_t)result);
        pipe_flow_put(writing->fd, (uint64_t)result);
      }
      replay_advance(entry);
      return result;
    }
  }
  if (pipe_flow_follows(writing->fd))
    return pipe_flow_write(call, pieces, count, NULL, 0);
  crash_point();
  uint64_t skip = channel_ahead(writing->fd, writing->length);
  int64_t result = channel_write_rest(call, pieces, count, skip);
  crash_point();
  struct draft draft;
  struct journal_source channel;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  channel_describe(&draft, writing->fd, &channel);
  draft_append(&draft);
  return result;
}

int64_t handle_write(struct call *call)
{
  struct writing writing = writing_of(call);
  call_sign(call);
  if (is_local(descriptor_get(writing.fd)))
    return write_local(call, &writing);
  if (!engine_live()) {
    int64_t result;
    const struct journal_entry *intent, *outcome;
    if (descriptor_get(writing.fd)->kind == DESCRIPTOR_SOCKET && socket_replay_write(call, &result))
      return result;
    if (!engine_live() && replay_change(call, &result, &intent, &outcome)) {
      follow(call, &writing, intent, result);
      replay_advance(outcome);
      return result;
    }
  }
  return write_change(call, &writing, descriptor_get(writing.fd));
}
