/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on sockets: between two ends inside the run they are local and made again in replay; to anybody
 * else they are remote changes, and what comes in is recorded. */
#include "shim/channels.h"
#include "shim/descriptors.h"

#include <errno.h>
#include <sys/socket.h>

struct message {
  void *name;
  uint32_t name_length;
  struct io_vector *pieces;
  uint64_t piece_count;
  void *control;
  uint64_t control_length;
  int flags;
};

/* A path in an address ends at its NUL: what lies behind is whatever the caller's stack held. */
static uint64_t hash_address(const uint8_t *address, uint64_t length)
{
  uint64_t used = length < 2 ? length : 2;
  if (length > 2 && address[0] == 1 && address[1] == 0) {
    bool abstract = address[2] == 0;
    while (used < length && (abstract || address[used]))
      used++;
  } else {
    used = length < 128 ? length : 128;
  }
  return hash_bytes(address, used);
}

int64_t handle_connect(struct call *call)
{
  call_sign(call);
  if (call->args[1])
    call->signature =
        hash_mix(call->signature, hash_address((const uint8_t *)call->args[1], (uint32_t)call->args[2])) | 1;
  return change_signed(call);
}

int64_t handle_again(struct call *call)
{
  return local_again(call);
}

/* Replay: what the other end holds is there again. */
static int64_t send_in_pair(struct call *call)
{
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry) {
    crash_point();
    int64_t result = call_run(call);
    crash_point();
    record_complete(call, result);
    return result;
  }
  int64_t result = entry->result;
  struct io_vector one = {(uint8_t *)call->args[1], call->args[2]};
  if (call->id == SYS_sendto && result > 0)
    channel_put(call, &one, 1, (uint64_t)result);
  else if (call->id == SYS_shutdown || result > 0)
    call_run(call);
  replay_advance(entry);
  return result;
}

/* Between two ends inside the run it is local, to anybody else remote. */
int64_t handle_send(struct call *call)
{
  call_sign(call);
  if (call->id == SYS_sendmsg) {
    const struct message *message = (const struct message *)call->args[1];
    call->signature =
        hash_mix(call->signature, hash_vector_whole(message->pieces, message->piece_count)) | 1;
  }
  if (descriptor_get((int)call->args[0])->kind == DESCRIPTOR_PAIR)
    return send_in_pair(call);
  return change_signed(call);
}

static int64_t receive_message(struct call *call)
{
  struct message *message = (struct message *)call->args[1];
  uint32_t name_room = message->name_length;
  crash_point();
  int64_t result = call_run(call);
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  if (!raw_is_error(result)) {
    /* In the order of receive_again. */
    draft_add(&draft, SEGMENT_INPUT, 1, message, sizeof *message);
    draft_add(&draft, SEGMENT_INPUT, 2, message->name,
              !message->name ? 0 : message->name_length < name_room ? message->name_length : name_room);
    draft_add(&draft, SEGMENT_INPUT, 3, message->control, message->control ? message->control_length : 0);
    uint64_t rest = (uint64_t)result;
    for (uint64_t i = 0; i < message->piece_count && rest && i < 8; i++) {
      uint64_t part = message->pieces[i].length < rest ? message->pieces[i].length : rest;
      draft_add(&draft, SEGMENT_INPUT, 4, message->pieces[i].base, part);
      rest -= part;
    }
  }
  draft_append(&draft);
  return result;
}

static void receive_again(struct call *call, const struct journal_entry *entry)
{
  struct message *message = (struct message *)call->args[1];
  uint64_t at = 0;
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_INPUT, 1);
  for (; segment; segment = journal_next_segment(entry, segment)) {
    switch (segment->arg) {
    case 1: {
      const struct message *recorded = (const struct message *)segment->data;
      message->name_length = recorded->name_length;
      message->control_length = recorded->control_length;
      message->flags = recorded->flags;
      break;
    }
    case 2:
      raw_copy(message->name, segment->data, segment->length);
      break;
    case 3:
      raw_copy(message->control, segment->data, segment->length);
      break;
    case 4:
      vector_scatter(message->pieces, message->piece_count, at, segment->data, segment->length);
      at += segment->length;
      break;
    }
  }
}

static int64_t receive(struct call *call)
{
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return observe(call);
  int64_t result = replay_deliver(call, entry);
  if (!(call->args[3] & MSG_PEEK))
    channel_take((int)call->args[0], result);
  replay_advance(entry);
  return result;
}

int64_t handle_receive(struct call *call)
{
  if (call->id == SYS_recvmmsg)
    return -ENOSYS;
  call_sign(call);
  if (call->id == SYS_recvfrom)
    return receive(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = entry->result;
      /* For the descriptors that came with it. */
      if (result >= 0 && descriptor_get((int)call->args[0])->kind == DESCRIPTOR_PAIR)
        raw_syscall3(SYS_recvmsg, call->args[0], call->args[1], call->args[2] | MSG_DONTWAIT);
      if (!raw_is_error(result))
        receive_again(call, entry);
      replay_advance(entry);
      return result;
    }
  }
  return receive_message(call);
}
