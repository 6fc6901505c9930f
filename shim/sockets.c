/* SPDX-License-Identifier: Apache-2.0 */
/* What replay knows of a socket, kept in its filter, and how calls change it.
 *
 * Killed at any line, the sockets of the replay are gone, and the next attempt makes its own. */
#include "shim/sockets.h"
#include "shim/signals.h"

#include "shim/descriptors.h"
#include "shim/readiness.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>

#define STATE_MARK 0x70657264u
#define PLACES 5
#define STATE_WORDS (2 + 2 * PLACES) /* the mark, the flags, places of two words */

int socket_number(int fd, int option)
{
  int value = -1;
  uint32_t length = sizeof value;
  raw_syscall5(SYS_getsockopt, (uint64_t)fd, SOL_SOCKET, (uint64_t)option, (uint64_t)&value, (uint64_t)&length);
  return value;
}

bool socket_is_stream(int fd)
{
  int type = socket_number(fd, SO_TYPE);
  return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

/* ---- the state ---- */

struct socket_state socket_state_get(int fd)
{
  struct sock_filter code[STATE_WORDS + 1];
  struct socket_state state = {0};
  uint32_t length = STATE_WORDS + 1; /* of instructions */
  int64_t result = raw_syscall5(SYS_getsockopt, (uint64_t)fd, SOL_SOCKET, SO_GET_FILTER, (uint64_t)code,
                                (uint64_t)&length);
  if (result != 0 || length != STATE_WORDS + 1 || code[0].k != STATE_MARK)
    return state;
  state.flags = code[1].k;
  uint64_t *places[PLACES] = {&state.bound, &state.named, &state.peer, &state.listening, &state.asked};
  for (unsigned i = 0; i < PLACES; i++)
    *places[i] = (uint64_t)code[2 + 2 * i].k << 32 | code[3 + 2 * i].k;
  return state;
}

void socket_state_put(int fd, const struct socket_state *state)
{
  struct sock_filter code[STATE_WORDS + 1];
  const uint64_t places[PLACES] = {state->bound, state->named, state->peer, state->listening, state->asked};
  uint32_t words[STATE_WORDS] = {STATE_MARK, state->flags};
  for (unsigned i = 0; i < PLACES; i++) {
    words[2 + 2 * i] = (uint32_t)(places[i] >> 32);
    words[3 + 2 * i] = (uint32_t)places[i];
  }
  for (unsigned i = 0; i < STATE_WORDS; i++)
    code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, words[i]);
  code[STATE_WORDS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
  const struct sock_fprog program = {STATE_WORDS + 1, code};
  int64_t result = raw_syscall5(SYS_setsockopt, (uint64_t)fd, SOL_SOCKET, SO_ATTACH_FILTER, (uint64_t)&program,
                                sizeof program);
  if (result != 0)
    engine_failed(TAIL_REPORT_FAILED, "what a socket of the run was cannot be kept on its stand-in: ",
                  "SO_ATTACH_FILTER", result);
}

void socket_state_drop(int fd)
{
  int nothing = 0;
  raw_syscall5(SYS_setsockopt, (uint64_t)fd, SOL_SOCKET, SO_DETACH_FILTER, (uint64_t)&nothing, sizeof nothing);
}

/* ---- what calls say about it ---- */

static bool says_nothing(int64_t result)
{
  return result == -EAGAIN || result == -EINTR || result == -EINPROGRESS || result == -EALREADY || result == -EFAULT ||
         result == -EMSGSIZE || result == -EOPNOTSUPP || result == -EINVAL;
}

void socket_follow(int fd, int64_t result, bool error)
{
  if (says_nothing(result))
    return;
  struct socket_state state = socket_state_get(fd), before = state;
  bool failed = result < 0;
  /* What was said on it was said on another connection. */
  if (state.flags & SOCKET_UNJOURNALED && !error)
    state.flags |= SOCKET_STREAM_OPEN;
  if (state.flags & SOCKET_PENDING) {
    state.flags &= ~(uint32_t)SOCKET_PENDING;
    state.flags |= failed ? 0 : SOCKET_STREAM_OPEN;
    state.peer = 0;
  } else if (state.flags & SOCKET_STREAM_OPEN && failed && (error || result != -ENOTCONN)) {
    state.flags |= SOCKET_ENDED;
  }
  if (state.flags != before.flags)
    socket_state_put(fd, &state);
}

/* Changes the place of what has not been answered. */
static void put_asked(int fd, uint64_t place)
{
  if (!engine.tail.header->not_idempotent)
    return;
  struct socket_state state = socket_state_get(fd);
  if ((state.asked != 0) == (place != 0))
    return;
  state.asked = place;
  socket_state_put(fd, &state);
}

void socket_follow_sent(int fd, const struct journal_entry *intent, int64_t result)
{
  socket_follow(fd, result, false);
  if (result > 0)
    put_asked(fd, feed_offset(intent));
}

void socket_follow_read(int fd, int64_t result, uint64_t asked)
{
  readiness_used(fd);
  socket_follow(fd, result, false);
  if (result > 0)
    put_asked(fd, 0);
  if (result != 0 || !asked)
    return;
  struct socket_state state = socket_state_get(fd);
  if (!(state.flags & SOCKET_STREAM_OPEN) || state.flags & SOCKET_ENDED)
    return;
  state.flags |= SOCKET_ENDED;
  socket_state_put(fd, &state);
}

/* ---- what is sent ---- */

static uint16_t port_of(const struct socket_address *address)
{
  if (address->family != AF_INET && address->family != AF_INET6)
    return 0;
  return (uint16_t)(address->bytes[2] << 8 | address->bytes[3]);
}

bool socket_reaches_out(int fd)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  if (descriptor->kind != DESCRIPTOR_SOCKET || descriptor->flags & DESCRIPTOR_KERNEL)
    return false;
  if (socket_is_stream(fd))
    return true;
  struct socket_address peer = {.length = sizeof peer.bytes};
  int64_t result = raw_syscall3(SYS_getpeername, (uint64_t)fd, (uint64_t)peer.bytes, (uint64_t)&peer.length);
  return result != 0 || port_of(&peer) != 53;
}

bool socket_replay_write(struct call *call, int64_t *ret_result)
{
  const struct journal_entry *intent, *outcome;
  if (!replay_change(call, ret_result, &intent, &outcome))
    return false;
  socket_follow_sent((int)call->args[0], intent, *ret_result);
  replay_advance(outcome);
  socket_signal(*ret_result, 0);
  return true;
}

int64_t socket_write(const struct call *call)
{
  struct msghdr message = {.msg_iov = (struct iovec *)call->args[1], .msg_iovlen = call->args[2]};
  switch (call->id) {
  case SYS_write:
    return raw_syscall6(SYS_sendto, call->args[0], call->args[1], call->args[2], MSG_NOSIGNAL, 0, 0);
  case SYS_writev:
    return raw_syscall3(SYS_sendmsg, call->args[0], (uint64_t)&message, MSG_NOSIGNAL);
  default:
    return socket_run_quietly(call);
  }
}

int64_t socket_run_quietly(const struct call *call)
{
  const uint64_t broken_pipe = 1ull << (SIGPIPE - 1);
  const struct timespec none = {0, 0};
  uint64_t before, pending = 0;
  raw_syscall2(SYS_rt_sigpending, (uint64_t)&pending, 8);
  raw_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, (uint64_t)&broken_pipe, (uint64_t)&before, 8);
  int64_t result = call_run(call);
  if (result == -EPIPE && !(pending & broken_pipe))
    raw_syscall4(SYS_rt_sigtimedwait, (uint64_t)&broken_pipe, 0, (uint64_t)&none, 8);
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&before, 0, 8);
  return result;
}

void socket_signal(int64_t result, uint64_t flags)
{
  if (result != -EPIPE || flags & MSG_NOSIGNAL)
    return;
  /* The call is journaled: its handler runs here in every attempt. */
  signals_expect(SIGPIPE);
  raw_syscall3(SYS_tgkill, (uint64_t)engine.pid_real, (uint64_t)raw_syscall0(SYS_gettid), SIGPIPE);
  signals_expect_none();
}

/* A path in an address ends at its NUL: what lies behind is whatever the caller's stack held. */
uint64_t socket_address_hash(const uint8_t *address, uint64_t length)
{
  uint64_t used = length < 2 ? length : 2;
  if (length > 2 && address[0] == AF_UNIX && address[1] == 0) {
    bool abstract = address[2] == 0;
    while (used < length && (abstract || address[used]))
      used++;
  } else {
    used = length < 128 ? length : 128;
  }
  return hash_bytes(address, used);
}
