/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that make, copy, close and ask about descriptors. In replay they run for real, on the
 * placeholders: the kernel keeps numbers, sharing, flags and locks, and the result must agree. */
#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/epoll_sets.h"
#include "shim/locks.h"
#include "shim/number_lock.h"
#include "shim/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>

/* The run's lock lies on a descriptor that the program does not know of. */
static bool is_ours(uint64_t fd)
{
  return (int)fd == engine.tail.header->lock_fd;
}

int64_t handle_close(struct call *call)
{
  if (is_ours(call->args[0]))
    return -EBADF;
  if (!engine_live() && replay_next()) {
    locks_before_close((int)call->args[0]);
    epoll_sets_forget((int)call->args[0]);
  }
  int64_t result = local(call);
  descriptor_forget((int)call->args[0]);
  return result;
}

int64_t handle_close_range(struct call *call)
{
  unsigned first = (unsigned)call->args[0], last = (unsigned)call->args[1];
  unsigned ours = (unsigned)engine.tail.header->lock_fd;
  call_sign(call);
  bool replayed = false;
  const struct journal_entry *entry = NULL;
  if (!engine_live())
    replayed = (entry = replay_take(call, JOURNAL_COMPLETE)) != NULL;
  int64_t result;
  for (unsigned fd = first; replayed && fd <= last && !(call->args[2] & CLOSE_RANGE_CLOEXEC); fd++) {
    int next = descriptor_next_known(fd);
    if (next < 0 || (unsigned)next > last)
      break;
    locks_before_close(next);
    epoll_sets_forget(next);
    fd = (unsigned)next;
  }
  if (first <= ours && ours <= last && first <= last) {
    result = 0;
    if (first < ours)
      result = raw_syscall3(SYS_close_range, first, ours - 1, call->args[2]);
    if (result == 0 && ours < last)
      result = raw_syscall3(SYS_close_range, ours + 1, last, call->args[2]);
  } else {
    result = call_run(call);
  }
  if (!(call->args[2] & CLOSE_RANGE_CLOEXEC))
    descriptor_forget_range(first, last);
  if (replayed)
    replay_advance(entry);
  else
    record_complete(call, result);
  return result;
}

/* A call that makes a descriptor: it is made again in replay, with the number that it had. */
static int64_t local_descriptor(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry) {
    int64_t result = call_run(call);
    if (!raw_is_error(entry->result) || !raw_is_error(result))
      descriptor_place(result, entry->result, call_shape_name(call->id));
    result = replay_deliver(call, entry);
    replay_advance(entry);
    return result;
  }
  struct number_lock lock;
  crash_point();
  number_lock_take(&lock);
  int64_t result = call_run(call);
  crash_point();
  record_complete(call, result);
  number_lock_release(&lock);
  return result;
}

int64_t handle_dup(struct call *call)
{
  if (is_ours(call->args[0]) || (call->id != SYS_dup && is_ours(call->args[1])))
    return -EBADF;
  if (!engine_live() && replay_next()) {
    epoll_sets_before_copy((int)call->args[0]);
    if (call->id != SYS_dup && call->args[0] != call->args[1]) {
      locks_before_close((int)call->args[1]);
      epoll_sets_forget((int)call->args[1]);
      readiness_used((int)call->args[1]);
    }
  }
  int64_t result = local_descriptor(call);
  if (result >= 0)
    descriptor_copy((int)call->args[0], (int)result);
  return result;
}

int64_t handle_makefd(struct call *call)
{
  int64_t result = local_descriptor(call);
  if (result < 0)
    return result;
  descriptor_forget((int)result);
  if (!engine_live())
    readiness_used((int)result);
  return result;
}

int64_t handle_memfd(struct call *call)
{
  return handle_makefd(call);
}

/* Two at once. Where either has another number, both go out of the way first. */
static void place_ends(int made[2], const int wanted[2], const char *what)
{
  if (made[0] == wanted[0] && made[1] == wanted[1])
    return;
  int above = wanted[0] > wanted[1] ? wanted[0] + 1 : wanted[1] + 1;
  for (int i = 0; i < 2; i++) {
    uint64_t flags = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)made[i], F_GETFD);
    int64_t away = raw_syscall3(SYS_fcntl, (uint64_t)made[i],
                                flags & FD_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, (uint64_t)above);
    raw_syscall1(SYS_close, (uint64_t)made[i]);
    made[i] = (int)away;
  }
  for (int i = 0; i < 2; i++)
    descriptor_place(made[i], wanted[i], what);
}

int64_t handle_pipe(struct call *call)
{
  int *ends = (int *)(call->id == SYS_socketpair ? call->args[3] : call->args[0]);
  int64_t result;
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry) {
    int made[2] = {-1, -1};
    result = call_run(call);
    if (result != entry->result)
      engine_failed(TAIL_REPORT_FAILED, "two descriptors cannot be made again: ", call_shape_name(call->id),
                    result);
    if (result == 0)
      raw_copy(made, ends, sizeof made);
    replay_deliver(call, entry);
    if (result == 0)
      place_ends(made, ends, call_shape_name(call->id));
    replay_advance(entry);
  } else {
    struct number_lock lock;
    crash_point();
    number_lock_take(&lock);
    result = call_run(call);
    crash_point();
    record_complete(call, result);
    number_lock_release(&lock);
  }
  for (int i = 0; result == 0 && i < 2; i++)
    descriptor_forget(ends[i]);
  return result;
}

/* COMPLETE with `size` bytes of output in argument 2, if it succeeds. */
static int64_t observe_third(struct call *call, size_t size)
{
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
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  if (!raw_is_error(result) && size && call->args[2])
    draft_add(&draft, SEGMENT_OUTPUT, 2, (const void *)call->args[2], size);
  draft_append(&draft);
  return result;
}

static int64_t set_status(struct call *call)
{
  int64_t result = local(call);
  descriptor_status_changed((int)call->args[0]);
  return result;
}

int64_t handle_fcntl(struct call *call)
{
  switch (call->args[1]) {
  case F_DUPFD:
  case F_DUPFD_CLOEXEC: {
    if (is_ours(call->args[0]))
      return -EBADF;
    if (!engine_live() && replay_next())
      epoll_sets_before_copy((int)call->args[0]);
    int64_t result = local_descriptor(call);
    if (result >= 0)
      descriptor_copy((int)call->args[0], (int)result);
    return result;
  }
  case F_SETFL:
    return set_status(call);
  case F_SETFD:
    return is_ours(call->args[0]) ? -EBADF : local(call);
  case F_SETPIPE_SZ:
  case F_GETPIPE_SZ:
  case F_ADD_SEALS:
  case F_GET_SEALS:
    return local(call);
  case F_SETLK:
  case F_SETLKW:
  case F_OFD_SETLK:
  case F_OFD_SETLKW:
  case F_GETLK:
  case F_OFD_GETLK:
    return lock_by_fcntl(call);
  case F_SETLEASE:
  case F_NOTIFY:
  case F_SETSIG:
  case F_SETOWN:
    return local_again(call);
  case F_GETOWN_EX:
    call_sign(call);
    return observe_third(call, 8);
  default:
    return observe(call);
  }
}

/* ---- ioctl ---- */

enum request_way {
  REQUEST_OBSERVE,
  REQUEST_LOCAL, /* a property of the descriptor */
  REQUEST_AGAIN, /* a property of a device, set again in replay without asking for the same result */
  REQUEST_CHANGE,
};

struct request {
  uint32_t number;
  uint8_t way;
  uint8_t output; /* bytes */
  uint8_t input;  /* bytes of the signature */
};

static const struct request requests[] = {
    {TCGETS, REQUEST_OBSERVE, 36, 0},
    {TIOCGWINSZ, REQUEST_OBSERVE, 8, 0},
    {TIOCGPGRP, REQUEST_OBSERVE, 4, 0},
    {TIOCGSID, REQUEST_OBSERVE, 4, 0},
    {TIOCOUTQ, REQUEST_OBSERVE, 4, 0},
    {FIONREAD, REQUEST_OBSERVE, 4, 0},
    {FIOQSIZE, REQUEST_OBSERVE, 8, 0},
    {SIOCGIFNAME, REQUEST_OBSERVE, 40, 4},
    {SIOCGIFFLAGS, REQUEST_OBSERVE, 40, 0},
    {SIOCGIFADDR, REQUEST_OBSERVE, 40, 0},
    {SIOCGIFBRDADDR, REQUEST_OBSERVE, 40, 0},
    {SIOCGIFNETMASK, REQUEST_OBSERVE, 40, 0},
    {SIOCGIFMTU, REQUEST_OBSERVE, 40, 0},
    {SIOCGIFHWADDR, REQUEST_OBSERVE, 40, 0},
    {SIOCGIFINDEX, REQUEST_OBSERVE, 40, 0},
    {FIOCLEX, REQUEST_LOCAL, 0, 0},
    {FIONCLEX, REQUEST_LOCAL, 0, 0},
    {FIONBIO, REQUEST_LOCAL, 0, 4},
    {FIOASYNC, REQUEST_LOCAL, 0, 4},
    {TCSETS, REQUEST_AGAIN, 0, 36},
    {TCSETSW, REQUEST_AGAIN, 0, 36},
    {TCSETSF, REQUEST_AGAIN, 0, 36},
    {TIOCSWINSZ, REQUEST_AGAIN, 0, 8},
    {TIOCSPGRP, REQUEST_AGAIN, 0, 4},
    {TIOCSCTTY, REQUEST_AGAIN, 0, 0},
    {TIOCNOTTY, REQUEST_AGAIN, 0, 0},
    {TCFLSH, REQUEST_AGAIN, 0, 0},
    {TCSBRK, REQUEST_AGAIN, 0, 0},
    {TIOCEXCL, REQUEST_AGAIN, 0, 0},
    {FICLONE, REQUEST_CHANGE, 0, 0},
    {FICLONERANGE, REQUEST_CHANGE, 0, 32},
    {FS_IOC_SETFLAGS, REQUEST_CHANGE, 0, 4},
};

/* What is not listed says itself how much it gives back; what takes something is taken as a change. */
static struct request request_of(uint32_t number)
{
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
    if (requests[i].number == number)
      return requests[i];
  uint32_t size = _IOC_SIZE(number), direction = _IOC_DIR(number);
  if (direction == _IOC_WRITE)
    return (struct request){number, REQUEST_CHANGE, 0, (uint8_t)(size < 255 ? size : 0)};
  return (struct request){number, REQUEST_OBSERVE, (uint8_t)(direction & _IOC_READ && size < 255 ? size : 0), 0};
}

int64_t handle_ioctl(struct call *call)
{
  struct request request = request_of((uint32_t)call->args[1]);
  call_sign(call);
  if (request.input && call->args[2])
    call->signature =
        hash_mix(call->signature, hash_bytes((const void *)call->args[2], request.input)) | 1;
  switch (request.way) {
  case REQUEST_LOCAL:
  case REQUEST_AGAIN: {
    const struct journal_entry *entry =
        engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
    crash_point();
    int64_t result = call_run(call);
    crash_point();
    if (!entry) {
      record_complete(call, result);
      return result;
    }
    replay_advance(entry);
    return entry->result;
  }
  case REQUEST_CHANGE:
    return change_by_ioctl(call);
  default:
    return observe_third(call, request.output);
  }
}

/* ---- poll and select ---- */

struct polled {
  int fd;
  uint16_t events, happened;
};

int64_t handle_poll(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return observe(call);
  int64_t result = replay_deliver(call, entry);
  const struct polled *polled = (const struct polled *)call->args[0];
  for (uint64_t i = 0; result > 0 && i < call->args[1]; i++)
    if (polled[i].happened & POLLIN)
      readiness_told(polled[i].fd);
  replay_advance(entry);
  return result;
}

/* The set of what can be read. */
static void follow_select(const struct call *call, int64_t result)
{
  const uint64_t *readable = (const uint64_t *)call->args[1];
  for (int fd = 0; result > 0 && readable && fd < (int)call->args[0]; fd++)
    if (readable[fd / 64] >> (fd % 64) & 1)
      readiness_told(fd);
}

/* Three sets of nfds bits in whole longs, and for select the time that is left. */
int64_t handle_select(struct call *call)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry);
      follow_select(call, result);
      replay_advance(entry);
      return result;
    }
  }
  crash_point();
  int64_t result = call_run(call);
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  size_t size = ((uint32_t)call->args[0] + 63) / 64 * 8;
  if (!raw_is_error(result))
    for (unsigned arg = 1; arg <= 3; arg++)
      if (call->args[arg])
        draft_add(&draft, SEGMENT_OUTPUT, arg, (const void *)call->args[arg], size);
  if (call->args[4])
    draft_add(&draft, SEGMENT_OUTPUT, 4, (const void *)call->args[4], 16);
  draft_append(&draft);
  return result;
}
