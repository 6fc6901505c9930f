/* SPDX-License-Identifier: Apache-2.0 */
/* copy_file_range, sendfile, splice: bytes that move without passing the program.
 *
 * Into a regular file it is a change at an offset, repeated when its outcome is not known: the source
 * is as it was. To a socket it is a remote change. Where the bytes would go past the journal (into or out of an outer pipe, into a pipe
 * of the run from a file), the answer is EINVAL, on which programs read and write instead. */
#include "shim/descriptors.h"
#include "shim/keep.h"
#include "shim/region.h"
#include "shim/sockets.h"

#include <errno.h>
#include <fcntl.h>

struct copying {
  int from, to;
  int64_t *from_offset, *to_offset; /* NULL: the description's own */
  uint64_t length;
};

static struct copying copying_of(const struct call *call)
{
  if (call->id == SYS_sendfile)
    return (struct copying){(int)call->args[1], (int)call->args[0], (int64_t *)call->args[2], NULL,
                            call->args[3]};
  return (struct copying){(int)call->args[0], (int)call->args[2], (int64_t *)call->args[1],
                          (int64_t *)call->args[3], call->args[4]};
}

/* The offsets that the program names are part of what it asks. */
static void sign(struct call *call, const struct copying *copying)
{
  call_sign(call);
  if (copying->from_offset)
    call->signature = hash_mix(call->signature, (uint64_t)*copying->from_offset) | 1;
  if (copying->to_offset)
    call->signature = hash_mix(call->signature, (uint64_t)*copying->to_offset) | 1;
}

static bool is_file(int fd)
{
  uint8_t kind = descriptor_get(fd)->kind;
  return kind == DESCRIPTOR_REGULAR || kind == DESCRIPTOR_PLACEHOLDER;
}

/* Copied bytes are in no journal: a file without a name, built again from its writes, cannot have them. */
static bool is_nameless(int fd)
{
  struct journal_file file;
  return file_look(fd, "", AT_EMPTY_PATH, &file) == 0 && file.link_count == 0;
}

static void move(int fd, const int64_t *offset, int64_t result)
{
  if (!offset && is_file(fd))
    raw_syscall3(SYS_lseek, (uint64_t)fd, (uint64_t)result, SEEK_CUR);
}

/* A pipe of the run gives up again what was spliced out of it. */
static void drain_pipe(int fd, int64_t length)
{
  uint8_t bytes[4096];
  while (length > 0) {
    int64_t got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)bytes,
                               length > (int64_t)sizeof bytes ? sizeof bytes : (uint64_t)length);
    if (got <= 0)
      return;
    length -= got;
  }
}

static void follow(const struct copying *copying, int64_t result)
{
  if (result <= 0)
    return;
  if (descriptor_get(copying->from)->kind == DESCRIPTOR_PIPE)
    drain_pipe(copying->from, result);
  else
    move(copying->from, copying->from_offset, result);
  move(copying->to, copying->to_offset, result);
}

static int64_t refuse_nameless(struct call *call)
{
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry)
    replay_advance(entry);
  else
    record_complete(call, -EINVAL);
  return -EINVAL;
}

/* Where it will write. */
static uint64_t offset_to(const struct copying *copying)
{
  return copying->to_offset ? (uint64_t)*copying->to_offset
                            : (uint64_t)raw_syscall3(SYS_lseek, (uint64_t)copying->to, 0, SEEK_CUR);
}

static void keep_for_region(const struct call *call, void *context)
{
  const struct copying *copying = context;
  (void)call;
  region_content_of(copying->to, offset_to(copying), copying->length);
}

static int64_t copy_into_file(struct call *call)
{
  struct copying copying = copying_of(call);
  sign(call, &copying);
  const struct journal_entry *outcome;
  int64_t result;
  bool refused = engine_live() ? is_nameless(copying.to) : replay_next() == JOURNAL_COMPLETE;
  if (refused)
    return refuse_nameless(call);
  if (!engine_live() && replay_change(call, &result, NULL, &outcome)) {
    follow(&copying, result);
    replay_advance(outcome);
    return result;
  }
  struct descriptor *target = descriptor_get(copying.to);
  struct journal_written written = {
      .device = target->device,
      .inode = target->inode,
      .birth_ns = target->birth_ns,
      .offset = copying.to_offset ? *copying.to_offset : -1,
      .length = copying.length,
  };
  if (target->kind == DESCRIPTOR_REGULAR && keep_referenced(target->device, target->inode))
    keep_range(copying.to, target, offset_to(&copying), copying.length);
  if (target->kind == DESCRIPTOR_REGULAR)
    region_keep(call, keep_for_region, &copying);
  descriptor_not_fresh(copying.to);
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_WRITTEN, 0, &written, sizeof written);
  record_intent(&draft, call);
  result = call_run(call);
  record_result(call, result);
  return result;
}

/* To a socket: what has left is not in the journal, as with a write. */
static int64_t copy_into_socket(struct call *call)
{
  struct copying copying = copying_of(call);
  sign(call, &copying);
  const struct journal_entry *intent, *outcome;
  int64_t result;
  if (!engine_live() && replay_change(call, &result, &intent, &outcome)) {
    follow(&copying, result);
    socket_follow_sent(copying.to, intent, result);
    replay_advance(outcome);
    socket_signal(result, 0);
    return result;
  }
  const struct descriptor *target = descriptor_get(copying.to);
  const struct journal_written written = {
      .device = target->device,
      .inode = target->inode,
      .offset = -1,
      .length = copying.length,
      .remote = socket_reaches_out(copying.to),
  };
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_WRITTEN, 0, &written, sizeof written);
  call->remote = written.remote;
  record_intent(&draft, call);
  result = socket_run_quietly(call);
  record_result(call, result);
  socket_signal(result, 0);
  return result;
}

int64_t handle_copy(struct call *call)
{
  struct copying copying = copying_of(call);
  if (call->id == SYS_sendfile && is_file(copying.from) && descriptor_get(copying.to)->kind == DESCRIPTOR_SOCKET)
    return copy_into_socket(call);
  if (!is_file(copying.from) || !is_file(copying.to) ||
      descriptor_get(copying.to)->flags & DESCRIPTOR_OUTER_FILE)
    return -EINVAL;
  return copy_into_file(call);
}

int64_t handle_splice(struct call *call)
{
  struct copying copying = copying_of(call);
  if (descriptor_get(copying.from)->kind == DESCRIPTOR_PIPE && descriptor_get(copying.to)->kind == DESCRIPTOR_SOCKET)
    return copy_into_socket(call);
  if (descriptor_get(copying.from)->kind != DESCRIPTOR_PIPE || !is_file(copying.to) ||
      descriptor_get(copying.to)->flags & DESCRIPTOR_OUTER_FILE)
    return -EINVAL;
  return copy_into_file(call);
}
