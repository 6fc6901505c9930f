/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/passing.h"

#include "shim/number_lock.h"
#include "shim/x86_64/tsc_trap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <time.h>

/* Descriptors lie from here on: above what programs use, below what select() can take. */
#define NUMBER_FIRST 600
/* In replay, out of the way of those that the program was told of. */
#define NUMBER_FIRST_REPLAY 960
#define SHOWN_MAX 65536u

LARGE_TABLE static _Atomic uint64_t shown[SHOWN_MAX / 64];

bool passing_show(int fd)
{
  if (fd < 0 || (unsigned)fd >= SHOWN_MAX)
    return true;
  uint64_t bit = 1ull << (fd % 64);
  return !(atomic_fetch_or(&shown[fd / 64], bit) & bit);
}

bool passing_is_shown(int fd)
{
  return fd < 0 || (unsigned)fd >= SHOWN_MAX || atomic_load(&shown[fd / 64]) >> (fd % 64) & 1;
}

static void closed(uint64_t fd)
{
  if (fd < SHOWN_MAX)
    atomic_fetch_and(&shown[fd / 64], ~(1ull << (fd % 64)));
}

/* Memory lies here when it can: far from the program's, which must find the same places free in replay. */
#define MEMORY_ADDRESS 0x6b0000000000ull

/* To a high number; where the limit on numbers is too low, it stays. */
static int64_t move_up(int64_t fd)
{
  if (fd < 0 || fd >= NUMBER_FIRST)
    return fd;
  int64_t flags = raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFD);
  uint64_t command = flags > 0 && flags & FD_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD;
  int64_t moved = -EINVAL;
  if (!engine_live())
    moved = raw_syscall3(SYS_fcntl, (uint64_t)fd, command, NUMBER_FIRST_REPLAY);
  if (moved < 0)
    moved = raw_syscall3(SYS_fcntl, (uint64_t)fd, command, NUMBER_FIRST);
  if (moved < 0)
    return fd;
  raw_syscall1(SYS_close, (uint64_t)fd);
  return moved;
}

/* Another thread of the program must not see the low number taken meanwhile. */
static int64_t make_descriptor(struct engine_frame *frame)
{
  struct number_lock lock;
  number_lock_take(&lock);
  int64_t result = raw_syscall6((int64_t)frame->rax, frame->args[0], frame->args[1], frame->args[2],
                                frame->args[3], frame->args[4], frame->args[5]);
  if (result >= 0)
    result = move_up(result);
  number_lock_release(&lock);
  return result;
}

static int64_t make_two_descriptors(struct engine_frame *frame, int *pair)
{
  struct number_lock lock;
  number_lock_take(&lock);
  int64_t result = raw_syscall4((int64_t)frame->rax, frame->args[0], frame->args[1], frame->args[2],
                                frame->args[3]);
  if (result == 0) {
    pair[0] = (int)move_up(pair[0]);
    pair[1] = (int)move_up(pair[1]);
  }
  number_lock_release(&lock);
  return result;
}

/* Accepting waits; the lock may not be held meanwhile. */
static int64_t accept_moved(struct engine_frame *frame)
{
  return move_up(raw_syscall4((int64_t)frame->rax, frame->args[0], frame->args[1], frame->args[2],
                              frame->args[3]));
}

static int64_t map(struct engine_frame *frame)
{
  static _Atomic uint64_t next = MEMORY_ADDRESS;
  uint64_t address = frame->args[0];
  if (!address)
    address = atomic_fetch_add(&next, (frame->args[1] + 0x1fffff) & ~0xfffffull);
  return raw_syscall6(SYS_mmap, address, frame->args[1], frame->args[2], frame->args[3],
                      frame->args[4], frame->args[5]);
}

/* The library's threads pass too. */
static void pass_thread(const struct engine_frame *frame)
{
  engine.threaded = true;
  struct thread *thread = thread_of(frame->args[4]);
  thread->stream = engine_thread.stream;
  thread->passing = 1;
}

int64_t passing_enter(struct engine_frame *frame)
{
  switch (frame->rax) {
  case SYS_socket:
  case SYS_eventfd:
  case SYS_eventfd2:
  case SYS_open:
  case SYS_openat:
  case SYS_creat:
  case SYS_epoll_create:
  case SYS_epoll_create1:
  case SYS_dup:
  case SYS_memfd_create:
  case SYS_timerfd_create:
  case SYS_inotify_init:
  case SYS_inotify_init1:
    return make_descriptor(frame);
  case SYS_fcntl:
    if (frame->args[1] == F_DUPFD || frame->args[1] == F_DUPFD_CLOEXEC)
      return make_descriptor(frame);
    break;
  case SYS_close:
    closed(frame->args[0]);
    break;
  case SYS_accept:
  case SYS_accept4:
    return accept_moved(frame);
  case SYS_pipe:
  case SYS_pipe2:
    return make_two_descriptors(frame, (int *)frame->args[0]);
  case SYS_socketpair:
    return make_two_descriptors(frame, (int *)frame->args[3]);
  case SYS_mmap:
    return map(frame);
  case SYS_clone:
    if (frame->args[0] & CLONE_THREAD)
      pass_thread(frame);
    break;
  case SYS_clock_gettime:
    /* With rdtsc trapped, the vDSO's code would fault at each reading. */
    if (engine.clock_original && (!engine.tsc_trapped || tsc_trap_is_open()))
      return engine.clock_original((int)frame->args[0], (void *)frame->args[1]);
    break;
  }
  frame->raw = FRAME_PLAIN;
  return 0;
}
