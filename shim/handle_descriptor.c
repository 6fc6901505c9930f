/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that make, copy, close and ask about descriptors. In replay they run for real, on the
 * placeholders: the kernel keeps numbers, sharing, flags and locks, and the result must agree. */
#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/epoll_sets.h"
#include "shim/identity.h"
#include "shim/locks.h"
#include "shim/number_lock.h"
#include "shim/pipe_flow.h"
#include "shim/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

int64_t handle_close(struct call *call)
{
  if (is_run_lock(call->args[0]))
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
  result = first <= ours && ours <= last ? close_range_around_lock(first, last, call->args[2]) : call_run(call);
  if (!(call->args[2] & CLOSE_RANGE_CLOEXEC))
    descriptor_forget_range(first, last);
  if (replayed)
    replay_advance(entry);
  else
    record_complete(call, result);
  return result;
}

int64_t local_descriptor(struct call *call)
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
  if (is_run_lock(call->args[0]) || (call->id != SYS_dup && is_run_lock(call->args[1])))
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

static void record_pipe(const struct call *call, const int *ends, int64_t result)
{
  struct draft draft;
  struct journal_source channel;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft_add_outputs(&draft, call);
  if (result == 0) {
    descriptor_forget(ends[0]);
    channel_describe(&draft, ends[0], &channel);
  }
  draft_append(&draft);
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
    record_pipe(call, ends, result);
    number_lock_release(&lock);
  }
  for (int i = 0; result == 0 && i < 2; i++)
    descriptor_forget(ends[i]);
  if (result == 0)
    pipe_flow_made(ends[0]);
  if (result == 0 && call->id == SYS_socketpair)
    channel_paired(ends);
  return result;
}

static int64_t set_status(struct call *call)
{
  int64_t result = local(call);
  descriptor_status_changed((int)call->args[0]);
  return result;
}

/* Who gets SIGIO: a number that the kernel has another one for in each attempt. */
static int64_t set_owner(struct call *call)
{
  struct f_owner_ex owner;
  struct call translated = *call;
  if (call->args[1] == F_SETOWN) {
    translated.args[2] = (uint64_t)identity_real((int32_t)call->args[2]);
  } else if (call->args[2]) {
    owner = *(const struct f_owner_ex *)call->args[2];
    owner.pid = (pid_t)identity_real(owner.pid);
    translated.args[2] = (uint64_t)&owner;
  }
  return local_again(&translated);
}

static int64_t get_owner(struct call *call)
{
  int64_t result;
  call_sign(call);
  if (replay_answers(call, &result))
    return result;
  struct draft draft;
  result = observe_begin(call, &draft);
  struct f_owner_ex *owner = (struct f_owner_ex *)call->args[2];
  bool structured = call->args[1] == F_GETOWN_EX && result == 0;
  if (structured)
    owner->pid = (pid_t)identity_seen(owner->pid);
  else if (call->args[1] == F_GETOWN && result > 0)
    result = identity_seen(result);
  else if (call->args[1] == F_GETOWN && result < 0 && !raw_is_error(result))
    result = -identity_seen(-result);
  draft.tail.result = result;
  if (structured)
    draft_add(&draft, SEGMENT_OUTPUT, 2, owner, sizeof *owner);
  draft_append(&draft);
  return result;
}

int64_t handle_fcntl(struct call *call)
{
  switch (call->args[1]) {
  case F_DUPFD:
  case F_DUPFD_CLOEXEC: {
    if (is_run_lock(call->args[0]))
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
    return is_run_lock(call->args[0]) ? -EBADF : local(call);
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
    return local_again(call);
  case F_SETOWN:
  case F_SETOWN_EX:
    return set_owner(call);
  case F_GETOWN:
  case F_GETOWN_EX:
    return get_owner(call);
  case F_GET_RW_HINT:
  case F_GET_FILE_RW_HINT:
    call_sign(call);
    return observe_third(call, 8);
  case F_SET_RW_HINT:
  case F_SET_FILE_RW_HINT:
    return local_again(call);
  default:
    return observe(call);
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
  struct draft draft;
  int64_t result = observe_begin(call, &draft);
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
