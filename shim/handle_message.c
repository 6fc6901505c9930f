/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on sockets: between two ends inside the run they are local and made again in replay; to anybody
 * else they are remote changes, and what comes in is recorded. The kernel, asked by netlink, is asked again
 * in replay: what it has not been read of is there when the process goes live.
 *
 * Killed between the intent of a send and its outcome, nobody knows whether it left. A stream dies with the
 * process, so sending it again gives ECONNRESET, and the program decides; a datagram is sent again. */
#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/messages.h"
#include "shim/readiness.h"
#include "shim/sockets.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

/* How much of what was sent is journaled for people to read. */
#define INPUT_SHOWN 32
#define MANY_MAX 1024 /* messages of one sendmmsg, in Linux */

/* ---- sending ---- */

/* One message of a send. */
struct sending {
  int fd;
  int flags;
  bool many; /* sendmmsg: `count` of them, `message` is the first */
  uint64_t count;
  const struct message *message;
  struct message own; /* sendto's */
  struct io_vector piece;
};

static const struct message *message_at(const struct sending *sending, uint64_t i)
{
  return sending->many ? &((const struct message_of_many *)sending->message)[i].message : sending->message;
}

static void sending_of(const struct call *call, struct sending *sending)
{
  *sending = (struct sending){.fd = (int)call->args[0], .count = 1, .message = (const struct message *)call->args[1]};
  switch (call->id) {
  case SYS_sendto:
    sending->piece = (struct io_vector){(uint8_t *)call->args[1], call->args[2]};
    sending->own = (struct message){(void *)call->args[4], (uint32_t)call->args[5], &sending->piece, 1, NULL, 0, 0};
    sending->message = &sending->own;
    sending->flags = (int)call->args[3];
    break;
  case SYS_sendmsg:
    sending->flags = (int)call->args[2];
    break;
  case SYS_sendmmsg:
    sending->many = true;
    sending->count = (uint32_t)call->args[2] < MANY_MAX ? (uint32_t)call->args[2] : MANY_MAX;
    sending->flags = (int)call->args[3];
    break;
  case SYS_shutdown:
    sending->count = 0;
    break;
  }
}

static void sign(struct call *call, const struct sending *sending)
{
  call_sign(call);
  uint64_t hash = call->signature;
  for (uint64_t i = 0; i < sending->count; i++) {
    const struct message *message = message_at(sending, i);
    if (call->id != SYS_sendto)
      hash = hash_mix(hash, hash_vector_whole(message->pieces, message->piece_count));
    if (message->name)
      hash = hash_mix(hash, socket_address_hash(message->name, message->name_length));
  }
  call->signature = hash | 1;
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

/* Of all messages: lengths that sendmmsg gives back. */
static void copy_lengths(const struct sending *sending, int64_t sent, uint32_t *lengths, bool give)
{
  struct message_of_many *many = (struct message_of_many *)sending->message;
  for (int64_t i = 0; sending->many && i < sent && i < MANY_MAX; i++)
    if (give)
      many[i].length = lengths[i];
    else
      lengths[i] = many[i].length;
}

static void add_written(struct draft *draft, const struct sending *sending, struct journal_written *written)
{
  const struct descriptor *descriptor = descriptor_get(sending->fd);
  *written = (struct journal_written){
      .device = descriptor->device,
      .inode = descriptor->inode,
      .offset = -1,
      .remote = socket_reaches_out(sending->fd),
  };
  for (uint64_t i = 0; i < sending->count; i++)
    written->length += vector_length(message_at(sending, i)->pieces, message_at(sending, i)->piece_count);
  draft_add(draft, SEGMENT_WRITTEN, 0, written, sizeof *written);
  const struct message *first = sending->message;
  uint64_t shown = first->piece_count ? first->pieces->length : 0;
  if (shown && first->pieces->base)
    draft_add(draft, SEGMENT_INPUT, 1, first->pieces->base, shown < INPUT_SHOWN ? shown : INPUT_SHOWN);
}

static int64_t send_live(struct call *call, const struct sending *sending)
{
  static const struct call_shape kept_here = {.class = CALL_CLASS_CHANGE_LOCAL};
  struct journal_descriptor rows[DESCRIBED_MAX];
  struct journal_written written = {.remote = true};
  uint32_t lengths[MANY_MAX];
  int fds[PASSED_MAX];
  struct draft draft;
  struct call intended = *call;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  if (sending->count) {
    add_written(&draft, sending, &written);
    passed_add(&draft, fds, passed_list(sending->message->control, sending->message->control_length, fds), rows);
  }
  if (!written.remote)
    intended.shape = &kept_here;
  record_intent(&draft, &intended);
  for (uint64_t i = 0; i < sending->count; i++)
    passed_translate(message_at(sending, i)->control, message_at(sending, i)->control_length, true);
  struct call quiet = *call;
  if (sending->count)
    quiet.args[call->id == SYS_sendmsg ? 2 : 3] |= MSG_NOSIGNAL;
  int64_t result = call_run(&quiet);
  for (uint64_t i = 0; i < sending->count; i++)
    passed_translate(message_at(sending, i)->control, message_at(sending, i)->control_length, false);
  crash_point();
  draft_begin(&draft, call, JOURNAL_RESULT, result);
  draft.tail.arg_count = 0;
  if (sending->many && result > 0) {
    copy_lengths(sending, result, lengths, false);
    draft_add(&draft, SEGMENT_OUTPUT, 5, lengths, (uint64_t)result * sizeof *lengths);
  }
  draft_append(&draft);
  return result;
}

/* What the kernel is asked by netlink and answers without changing anything. */
static void ask_kernel_again(const struct sending *sending)
{
  const struct message *message = sending->message;
  const struct nlmsghdr *header = message->piece_count ? (const struct nlmsghdr *)message->pieces->base : NULL;
  uint8_t byte;
  bool question = header && message->pieces->length >= sizeof *header && (header->nlmsg_type & 3) == 2;
  if (sending->many || !question || socket_number(sending->fd, SO_PROTOCOL) != NETLINK_ROUTE)
    return;
  /* Nothing of the question before. */
  while (raw_syscall6(SYS_recvfrom, (uint64_t)sending->fd, (uint64_t)&byte, 1, MSG_DONTWAIT, 0, 0) >= 0)
    ;
  raw_syscall3(SYS_sendmsg, (uint64_t)sending->fd, (uint64_t)message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void follow_send(const struct sending *sending, const struct journal_entry *intent, int64_t result)
{
  const struct descriptor *descriptor = descriptor_get(sending->fd);
  int fds[PASSED_MAX];
  if (descriptor->kind != DESCRIPTOR_SOCKET || !sending->count)
    return;
  if (descriptor->flags & DESCRIPTOR_KERNEL) {
    ask_kernel_again(sending);
    return;
  }
  socket_follow_sent(sending->fd, intent, result);
  if (result >= 0)
    passed_hold(fds, passed_list(sending->message->control, sending->message->control_length, fds), intent);
}

/* Between two ends inside the run it is local, to anybody else remote. */
int64_t handle_send(struct call *call)
{
  struct sending sending;
  uint32_t lengths[MANY_MAX];
  struct call replayed = *call;
  const struct journal_entry *intent, *outcome;
  int64_t result;
  sending_of(call, &sending);
  sign(call, &sending);
  if (descriptor_get(sending.fd)->kind == DESCRIPTOR_PAIR)
    return send_in_pair(call);
  replayed.signature = call->signature;
  replayed.args[5] = (uint64_t)lengths;
  if (engine_live() || !replay_change(&replayed, &result, &intent, &outcome)) {
    result = send_live(call, &sending);
  } else {
    copy_lengths(&sending, result, lengths, true);
    follow_send(&sending, intent, result);
    replay_advance(outcome);
  }
  if (sending.count)
    socket_signal(result, (uint64_t)sending.flags);
  return result;
}

/* ---- receiving ---- */

/* What a message brings beside its bytes. */
struct received {
  uint64_t control_length;
  uint32_t name_length, flags, length;
};

/* A message as a call whose outputs are its pieces, name, control bytes and the rest. */
static const struct call_shape message_shape = {
    .class = CALL_CLASS_OBSERVE,
    .args = {CALL_ARG_FD, CALL_ARG_OUT_IOV(2), CALL_ARG_VAL, CALL_ARG_ADDR, CALL_ARG_ADDR, CALL_ARG_ADDR}};

static struct call outputs_of(const struct call *call, const struct message *message, const struct received *received)
{
  struct call outputs = *call;
  outputs.shape = &message_shape;
  outputs.args[1] = (uint64_t)message->pieces;
  outputs.args[2] = message->piece_count;
  outputs.args[3] = (uint64_t)message->name;
  outputs.args[4] = (uint64_t)message->control;
  outputs.args[5] = (uint64_t)received;
  return outputs;
}

static int flags_of(const struct call *call)
{
  return (int)(call->id == SYS_recvmsg ? call->args[2] : call->args[3]) & ~MSG_WAITFORONE;
}

static void add_received(struct draft *draft, const struct call *call, const struct message *message, uint32_t name_room,
                         struct received *received)
{
  struct call outputs = outputs_of(call, message, received);
  uint64_t room = vector_length(message->pieces, message->piece_count);
  int64_t result = draft->tail.result;
  *received = (struct received){message->control_length, message->name_length, (uint32_t)message->flags, received->length};
  /* MSG_TRUNC tells of more than there was room for. */
  draft->tail.result = (int64_t)(received->length < room ? received->length : room);
  draft_add_outputs(draft, &outputs);
  draft->tail.result = result;
  if (message->name)
    draft_add(draft, SEGMENT_OUTPUT, 3, message->name, message->name_length < name_room ? message->name_length : name_room);
  if (message->control)
    draft_add(draft, SEGMENT_OUTPUT, 4, message->control, message->control_length);
  draft_add(draft, SEGMENT_OUTPUT, 5, received, sizeof *received);
}

static int64_t receive_message_live(struct call *call)
{
  struct message *message = (struct message *)call->args[1];
  uint32_t name_room = message->name_length;
  struct journal_descriptor rows[DESCRIBED_MAX];
  int fds[PASSED_MAX];
  struct call one = *call;
  one.id = SYS_recvmsg;
  one.args[1] = (uint64_t)message;
  one.args[2] = (uint64_t)flags_of(call);
  crash_point();
  int64_t result = readiness_lost((int)call->args[0]) ? -EAGAIN : call_run(&one);
  crash_point();
  if (result >= 0)
    passed_translate(message->control, message->control_length, false);
  struct received received = {.length = (uint32_t)result};
  bool many = call->id == SYS_recvmmsg && result >= 0;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, many ? 1 : result);
  if (result >= 0) {
    add_received(&draft, call, message, name_room, &received);
    unsigned count = passed_list(message->control, message->control_length, fds);
    for (unsigned i = 0; i < count; i++) {
      descriptor_forget(fds[i]);
      placeholder_replace(fds[i]);
    }
    passed_add(&draft, fds, count, rows);
  }
  draft_append(&draft);
  if (many)
    ((struct message_of_many *)message)->length = received.length;
  return many ? 1 : result;
}

static void drop_from_kernel(int fd, int flags)
{
  uint8_t byte;
  if (!(flags & MSG_PEEK))
    raw_syscall6(SYS_recvfrom, (uint64_t)fd, (uint64_t)&byte, 1, MSG_DONTWAIT, 0, 0);
}

/* What was only looked at is there still, as far as the program knows. */
static void follow_received(int fd, int64_t result, uint64_t asked, int flags)
{
  if (!(flags & MSG_PEEK)) {
    socket_follow_read(fd, result, asked);
    return;
  }
  socket_follow(fd, result, false);
  if (result >= 0)
    readiness_told(fd);
}

/* What the entry says that came with the message, and where it came from. */
static void follow_message(struct call *call, struct message *message, const struct journal_entry *entry)
{
  int fd = (int)call->args[0];
  const struct descriptor *descriptor = descriptor_get(fd);
  const struct journal_segment *control = journal_find_segment(entry, SEGMENT_OUTPUT, 4);
  int made[PASSED_MAX], wanted[PASSED_MAX];
  if (descriptor->kind == DESCRIPTOR_PAIR && entry->result >= 0) {
    raw_syscall3(SYS_recvmsg, (uint64_t)fd, (uint64_t)message, (uint64_t)flags_of(call) | MSG_DONTWAIT);
    unsigned count = passed_list(message->control, message->control_length, made);
    if (control && count && passed_list(control->data, control->length, wanted) == count)
      passed_place(made, wanted, count);
  } else if (descriptor->flags & DESCRIPTOR_KERNEL) {
    drop_from_kernel(fd, flags_of(call));
  } else if (descriptor->kind == DESCRIPTOR_SOCKET) {
    if (entry->result >= 0)
      passed_give(entry);
    bool empty = !control || !control->length;
    uint64_t asked = empty ? vector_length(message->pieces, message->piece_count) : 0;
    follow_received(fd, entry->result, asked, flags_of(call));
  }
}

static int64_t receive_message(struct call *call)
{
  struct message *message = (struct message *)call->args[1];
  struct received received = {0};
  struct call outputs = outputs_of(call, message, &received);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(&outputs, JOURNAL_COMPLETE);
  if (!entry)
    return receive_message_live(call);
  follow_message(call, message, entry);
  int64_t result = replay_deliver(&outputs, entry);
  if (result >= 0) {
    message->name_length = received.name_length;
    message->control_length = received.control_length;
    message->flags = (int)received.flags;
    if (call->id == SYS_recvmmsg)
      ((struct message_of_many *)message)->length = received.length;
  }
  replay_advance(entry);
  return result;
}

static int64_t receive_live(struct call *call)
{
  crash_point();
  int64_t result = readiness_lost((int)call->args[0]) ? -EAGAIN : call_run(call);
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  /* MSG_TRUNC tells of more than there was room for. */
  if (result > 0 && (uint64_t)result > call->args[2])
    draft.tail.result = (int64_t)call->args[2];
  draft_add_outputs(&draft, call);
  draft.tail.result = result;
  draft_append(&draft);
  return result;
}

static int64_t receive(struct call *call)
{
  int fd = (int)call->args[0], flags = (int)call->args[3];
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return receive_live(call);
  int64_t result = replay_deliver(call, entry);
  const struct descriptor *descriptor = descriptor_get(fd);
  if (descriptor->flags & DESCRIPTOR_KERNEL)
    drop_from_kernel(fd, flags);
  else if (descriptor->kind == DESCRIPTOR_SOCKET)
    follow_received(fd, result, call->args[2], flags);
  else if (!(flags & MSG_PEEK))
    channel_take(fd, result);
  replay_advance(entry);
  return result;
}

/* recvmmsg gives one message at a time, as it may. */
int64_t handle_receive(struct call *call)
{
  call_sign(call);
  if (call->id == SYS_recvmmsg && !call->args[2])
    return observe(call);
  return call->id == SYS_recvfrom ? receive(call) : receive_message(call);
}
