/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing here waits: what a call found or made room for then is there now, but for what other threads do
 * meanwhile, and those come in the journal's order.
 *
 * Killed at any line, everything here is gone, and the next attempt makes it again. */
#include "shim/channels.h"

#include "shim/descriptors.h"
#include "shim/named_pipes.h"
#include "shim/pipe_flow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* A pipe whose reader is ahead of its writer: a read is journaled when it ends, a long write comes later.
 * They may be two processes. */
static struct tail_ahead *find_ahead(uint64_t inode, bool make)
{
  if (!engine.feed)
    return NULL; /* it began live */
  struct tail_ahead *ahead = engine.tail.header->ahead;
  for (unsigned i = 0; i < TAIL_AHEAD_MAX; i++)
    if (ahead[i].bytes && ahead[i].inode == inode)
      return &ahead[i];
  for (unsigned i = 0; make && i < TAIL_AHEAD_MAX; i++)
    if (!ahead[i].bytes) {
      ahead[i].inode = inode;
      return &ahead[i];
    }
  if (make)
    engine_failed(TAIL_REPORT_FAILED, "more pipes are read while they are written than can be replayed", "",
                  TAIL_AHEAD_MAX);
  return NULL;
}

void channel_paired(const int ends[2])
{
  struct tail_header *header = engine.tail.header;
  struct tail_pair *pair = &header->pairs[atomic_fetch_add(&header->pair_count, 1) % TAIL_PAIR_MAX];
  for (int i = 0; i < 2; i++)
    pair->ends[i] = descriptor_get(ends[i])->inode;
}

/* Whose bytes a write to the descriptor brings: the pipe's, or the other end's of a pair. */
static uint64_t reader_of(int fd)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  const struct tail_header *header = engine.tail.header;
  uint32_t count = atomic_load(&header->pair_count);
  if (descriptor->kind != DESCRIPTOR_PAIR)
    return descriptor->inode;
  for (uint32_t i = count, back = 0; i-- > 0 && back < TAIL_PAIR_MAX; back++) {
    const uint64_t *ends = header->pairs[i % TAIL_PAIR_MAX].ends;
    if (ends[0] == descriptor->inode || ends[1] == descriptor->inode)
      return ends[ends[0] == descriptor->inode];
  }
  return 0;
}

void channel_describe(struct draft *draft, int fd, struct journal_source *room)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  *room = (struct journal_source){0};
  switch (descriptor->kind) {
  case DESCRIPTOR_PIPE:
    *room = (struct journal_source){descriptor->device, descriptor->inode};
    break;
  case DESCRIPTOR_PAIR:
  case DESCRIPTOR_EVENTFD:
  case DESCRIPTOR_TIMERFD:
  case DESCRIPTOR_SIGNALFD:
  case DESCRIPTOR_ANONYMOUS:
  case DESCRIPTOR_INOTIFY:
  case DESCRIPTOR_MEMFD:
  case DESCRIPTOR_SOCKET:
    break;
  default:
    return;
  }
  draft_add(draft, SEGMENT_CHANNEL, 0, room, sizeof *room);
}

uint64_t channel_ahead(int fd, uint64_t length)
{
  struct tail_ahead *pipe = find_ahead(reader_of(fd), false);
  if (!pipe)
    return 0;
  uint64_t taken = pipe->bytes < length ? pipe->bytes : length;
  pipe->bytes -= taken;
  return taken;
}

int64_t channel_write_rest(struct call *call, const struct io_vector *pieces, uint64_t count, uint64_t done)
{
  uint64_t skip = done;
  if (!done)
    return call_run(call);
  while (count && skip >= pieces->length) {
    skip -= pieces->length;
    pieces++;
    count--;
  }
  if (!count)
    return (int64_t)done;
  int64_t result = raw_syscall3(SYS_write, call->args[0], (uint64_t)(pieces->base + skip), pieces->length - skip);
  return result < 0 ? (int64_t)done : (int64_t)done + result;
}

void channel_forget_ahead(uint64_t inode)
{
  struct tail_ahead *pipe = find_ahead(inode, false);
  if (pipe)
    pipe->bytes = 0;
}

bool channel_is_awaited(int fd)
{
  return find_ahead(descriptor_get(fd)->inode, false) != NULL;
}

static bool ready(int fd, short events)
{
  struct pollfd poll = {fd, events, 0};
  return raw_syscall3(SYS_poll, (uint64_t)&poll, 1, 0) == 1;
}

/* ---- taking ---- */

/* Up to `length` bytes; how many there were. */
static uint64_t take_bytes(int fd, uint64_t length)
{
  uint8_t bytes[4096];
  uint64_t taken = 0;
  int available = 0;
  if (raw_syscall3(SYS_ioctl, (uint64_t)fd, FIONREAD, (uint64_t)&available) != 0)
    return length;
  if (length > (uint64_t)available)
    length = (uint64_t)available;
  while (taken < length) {
    uint64_t part = length - taken < sizeof bytes ? length - taken : sizeof bytes;
    int64_t got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)bytes, part);
    if (got <= 0)
      break;
    taken += (uint64_t)got;
  }
  return taken;
}

/* What is not there yet, its writer brings later. */
static void take_stream(int fd, uint64_t length)
{
  uint64_t missing = length - take_bytes(fd, length);
  if (missing)
    find_ahead(descriptor_get(fd)->inode, true)->bytes += missing;
}

/* A message is taken whole, however little of it was asked for. */
static void take_from_pair(int fd, uint64_t length)
{
  int type = SOCK_STREAM;
  uint32_t size = sizeof type;
  uint8_t byte;
  raw_syscall5(SYS_getsockopt, (uint64_t)fd, SOL_SOCKET, SO_TYPE, (uint64_t)&type, (uint64_t)&size);
  if (type == SOCK_STREAM)
    take_stream(fd, length);
  else
    raw_syscall6(SYS_recvfrom, (uint64_t)fd, (uint64_t)&byte, 1, MSG_DONTWAIT, 0, 0);
}

/* What went off is told once: a timer that goes off again keeps its pace, another one is over. */
static void take_from_timer(int fd)
{
  struct itimerspec left = {0};
  raw_syscall2(SYS_timerfd_gettime, (uint64_t)fd, (uint64_t)&left);
  if (!left.it_interval.tv_sec && !left.it_interval.tv_nsec)
    left.it_value = (struct timespec){0, 0};
  raw_syscall4(SYS_timerfd_settime, (uint64_t)fd, 0, (uint64_t)&left, 0);
}

/* The kernel moves bytes from one end of a terminal to the other in its own time. */
#define TERMINAL_WAIT_MS 1000

static void take_from_terminal(int fd, uint64_t length)
{
  uint8_t bytes[4096];
  struct pollfd poll = {fd, POLLIN, 0};
  while (length && raw_syscall3(SYS_poll, (uint64_t)&poll, 1, TERMINAL_WAIT_MS) == 1) {
    int64_t got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)bytes,
                               length < sizeof bytes ? length : sizeof bytes);
    if (got <= 0)
      return;
    length -= (uint64_t)got;
  }
}

/* Counters and queues of records. */
static void take_records(int fd, uint64_t length)
{
  uint8_t bytes[4096];
  while (length && ready(fd, POLLIN)) {
    int64_t got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)bytes,
                               length < sizeof bytes ? length : sizeof bytes);
    if (got <= 0 || (uint64_t)got >= length)
      return;
    length -= (uint64_t)got;
  }
}

void channel_take(int fd, int64_t length)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  if (length <= 0)
    return;
  switch (descriptor->kind) {
  case DESCRIPTOR_PIPE:
    if (pipe_flow_took(fd, (uint64_t)length))
      pipe_flow_read_again(fd, NULL, 0, (uint64_t)length);
    else
      take_stream(fd, (uint64_t)length);
    break;
  case DESCRIPTOR_NAMED_PIPE:
    if (named_pipe_has_writer(fd))
      take_stream(fd, (uint64_t)length);
    else
      take_bytes(fd, (uint64_t)length);
    break;
  case DESCRIPTOR_PAIR:
    take_from_pair(fd, (uint64_t)length);
    break;
  case DESCRIPTOR_TERMINAL:
    take_from_terminal(fd, (uint64_t)length);
    break;
  case DESCRIPTOR_TIMERFD:
    take_from_timer(fd);
    break;
  case DESCRIPTOR_EVENTFD:
  case DESCRIPTOR_SIGNALFD:
    take_records(fd, (uint64_t)length);
    break;
  }
}

/* ---- putting ---- */

/* More lies in it for a moment than ever did: a read that made room is journaled after the write. */
static void make_room(int fd, bool is_pipe)
{
  int64_t result;
  if (is_pipe) {
    int64_t size = raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETPIPE_SZ);
    result = raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETPIPE_SZ, (uint64_t)size * 2);
  } else {
    int size = 0;
    uint32_t length = sizeof size;
    raw_syscall5(SYS_getsockopt, (uint64_t)fd, SOL_SOCKET, SO_SNDBUF, (uint64_t)&size, (uint64_t)&length);
    int before = size;
    raw_syscall5(SYS_setsockopt, (uint64_t)fd, SOL_SOCKET, SO_SNDBUF, (uint64_t)&size, sizeof size);
    raw_syscall5(SYS_getsockopt, (uint64_t)fd, SOL_SOCKET, SO_SNDBUF, (uint64_t)&size, (uint64_t)&length);
    result = size > before ? 0 : -ENOBUFS;
  }
  if (result < 0)
    engine_failed(TAIL_REPORT_FAILED, "a pipe of the run cannot hold what it held", "", result);
}

static void put_bytes(int fd, bool is_pipe, const uint8_t *bytes, uint64_t length)
{
  while (length) {
    int64_t put = is_pipe ? raw_syscall3(SYS_write, (uint64_t)fd, (uint64_t)bytes, length)
                          : raw_syscall6(SYS_sendto, (uint64_t)fd, (uint64_t)bytes, length,
                                         MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    if (put == -EAGAIN) {
      make_room(fd, is_pipe);
      continue;
    }
    if (put <= 0)
      return; /* nobody reads any more */
    bytes += put;
    length -= (uint64_t)put;
  }
}

void channel_make_room(int fd)
{
  make_room(fd, true);
}

void channel_fill(int fd, const uint8_t *bytes, uint64_t length)
{
  put_bytes(fd, true, bytes, length);
}

static void put_pieces(int fd, bool is_pipe, const struct io_vector *pieces, uint64_t count, uint64_t skip,
                       uint64_t length)
{
  for (uint64_t i = 0; i < count && length; i++) {
    uint64_t from = skip < pieces[i].length ? skip : pieces[i].length;
    uint64_t part = pieces[i].length - from < length ? pieces[i].length - from : length;
    put_bytes(fd, is_pipe, pieces[i].base + from, part);
    skip -= from;
    length -= part;
  }
}

/* A write that was journaled after its reader had gone would be answered by a signal. */
static bool has_readers(int fd)
{
  struct pollfd poll = {fd, POLLOUT, 0};
  return raw_syscall3(SYS_poll, (uint64_t)&poll, 1, 0) != 1 || !(poll.revents & POLLERR);
}

static void put_in_pipe(const struct call *call, const struct io_vector *pieces, uint64_t count,
                        uint64_t length)
{
  int fd = (int)call->args[0];
  uint64_t flags = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL);
  uint64_t skip = channel_ahead(fd, length);
  if (skip == length)
    return;
  if (!has_readers(fd)) {
    if (descriptor_get(fd)->kind == DESCRIPTOR_NAMED_PIPE)
      named_pipe_owe(fd, pieces, count, skip, length - skip);
    return;
  }
  raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, flags | O_NONBLOCK);
  put_pieces(fd, true, pieces, count, skip, length - skip);
  raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, flags);
}

static void put_in_pair(const struct call *call, const struct io_vector *pieces, uint64_t count,
                        uint64_t length)
{
  int fd = (int)call->args[0], type = SOCK_STREAM;
  uint32_t size = sizeof type;
  raw_syscall5(SYS_getsockopt, (uint64_t)fd, SOL_SOCKET, SO_TYPE, (uint64_t)&type, (uint64_t)&size);
  if (type == SOCK_STREAM) {
    uint64_t skip = channel_ahead(fd, length);
    put_pieces(fd, false, pieces, count, skip, length - skip);
    return;
  }
  struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
  while (raw_syscall3(SYS_sendmsg, (uint64_t)fd, (uint64_t)&message, MSG_DONTWAIT | MSG_NOSIGNAL) == -EAGAIN)
    make_room(fd, false);
}

void channel_put(const struct call *call, const struct io_vector *pieces, uint64_t count, uint64_t length)
{
  int fd = (int)call->args[0];
  switch (descriptor_get(fd)->kind) {
  case DESCRIPTOR_PIPE:
  case DESCRIPTOR_NAMED_PIPE:
    put_in_pipe(call, pieces, count, length);
    break;
  case DESCRIPTOR_PAIR:
    put_in_pair(call, pieces, count, length);
    break;
  case DESCRIPTOR_EVENTFD:
    if (ready(fd, POLLOUT))
      call_run(call);
    break;
  default:
    call_run(call);
    break;
  }
}
