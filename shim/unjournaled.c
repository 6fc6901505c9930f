/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/unjournaled.h"

#include "shim/children.h"
#include "shim/control.h"
#include "shim/descriptors.h"
#include "shim/keep.h"
#include "shim/number_lock.h"
#include "shim/paths.h"
#include "shim/signals.h"
#include "shim/sockets.h"
#include "shim/x86_64/tsc_trap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>

/* How often another thread has ended a scope of one's own, and up to where this thread knows. */
static _Atomic uint32_t ended_elsewhere;
static __thread uint32_t ended_known __attribute__((tls_model("initial-exec")));

void unjournaled_ended_elsewhere(void)
{
  atomic_fetch_add(&ended_elsewhere, 1);
}

/* ---- made here, and not the run's ---- */

/* A process of its own, by fork or its like. */
static bool is_detached(void)
{
  return engine.detached || raw_syscall0(SYS_getpid) != engine.pid_real;
}

/* The calls of a process that is no part of the journal: the kernel's, but that it keeps the run's lock, by which the
 * supervisor knows that something of the run still lives. */
static int64_t enter_detached(struct engine_frame *frame)
{
  switch (frame->rax) {
  case SYS_close:
  case SYS_dup:
    if (is_run_lock(frame->args[0]))
      return -EBADF;
    break;
  case SYS_dup2:
  case SYS_dup3:
    if (is_run_lock(frame->args[0]) || is_run_lock(frame->args[1]))
      return -EBADF;
    break;
  case SYS_close_range:
    return close_range_around_lock((unsigned)frame->args[0], (unsigned)frame->args[1], frame->args[2]);
  case SYS_vfork:
    frame->rax = SYS_fork;
    break;
  case SYS_execve:
  case SYS_execveat:
    tsc_trap_suspend();
    break;
  }
  frame->raw = FRAME_PLAIN;
  return 0;
}

/* A child with memory of its own. One that borrows its parent's to exec comes back on a stack of its own. */
static int64_t make_process(struct engine_frame *frame)
{
  bool clones = frame->rax == SYS_clone;
  uint64_t flags = clones ? frame->args[0] : SIGCHLD;
  if (clones && frame->args[1]) {
    frame->raw = FRAME_PLAIN;
    return 0;
  }
  flags &= ~(uint64_t)(CLONE_VM | CLONE_VFORK);
  uint64_t mask = signals_hold();
  int64_t result = raw_syscall5(SYS_clone, flags, 0, clones ? frame->args[2] : 0, clones ? frame->args[3] : 0,
                                clones ? frame->args[4] : 0);
  if (result == 0) {
    engine.detached = true;
    engine.threaded = false;
    engine.other_threads = 0;
    engine.pid_real = (int32_t)raw_syscall0(SYS_getpid);
    number_lock_of_child();
    engine_stack_of_child();
    signals_of_child();
  }
  signals_let_come(mask);
  return result;
}

static int64_t make_thread(struct engine_frame *frame)
{
  engine.threaded = true;
  struct thread *thread = thread_of(frame->args[4]);
  thread->stream = engine_thread.stream;
  thread->segv_blocked = engine_thread.segv_blocked;
  thread->persistence = JOURNAL_PERSIST_NOTHING;
  thread->never_journaled = 1;
  frame->raw = FRAME_PLAIN;
  return 0;
}

/* ---- which calls ---- */

static bool level_is_over(void)
{
  uint32_t ended = atomic_load_explicit(&ended_elsewhere, memory_order_acquire);
  if (__builtin_expect(ended == ended_known, 1))
    return false;
  ended_known = ended;
  if (!engine_thread.never_journaled)
    unjournaled_level(control_persistence());
  return engine_thread.persistence == 0;
}

static bool is_file(uint64_t fd)
{
  if ((int)fd == AT_FDCWD)
    return true;
  const struct descriptor *descriptor = descriptor_get((int)fd);
  switch (descriptor->kind) {
  case DESCRIPTOR_REGULAR:
    return !(descriptor->flags & DESCRIPTOR_OUTER_FILE);
  case DESCRIPTOR_DIRECTORY:
  case DESCRIPTOR_PLACEHOLDER:
  case DESCRIPTOR_NONE:
    return true;
  }
  return false;
}

/* Under REMOTE: does it concern files, clocks, random bytes or the process's memory alone? */
static bool is_local(const struct engine_frame *frame, const struct call_shape *shape)
{
  bool has_descriptor = false;
  if (shape->class == CALL_CLASS_PROCESS || shape->class == CALL_CLASS_CHANGE_REMOTE || shape->class == CALL_CLASS_REFUSE ||
      call_waits_for_readiness(frame->rax) || frame->rax == SYS_rt_sigtimedwait)
    return false;
  for (unsigned i = 0; i < call_arg_counts[frame->rax]; i++) {
    unsigned kind = CALL_ARG_KIND(shape->args[i]);
    if (kind != ARG_FD && kind != ARG_DIRFD)
      continue;
    has_descriptor = true;
    if (!is_file(frame->args[i]))
      return false;
  }
  return has_descriptor || shape->class == CALL_CLASS_OBSERVE || shape->class == CALL_CLASS_CHANGE_LOCAL ||
         frame->rax == SYS_mmap;
}

/* ---- how they are made ---- */

/* Does the file hold bytes that the journal refers to? */
static bool is_referenced(uint64_t fd)
{
  const struct descriptor *descriptor = descriptor_get((int)fd);
  return descriptor->kind == DESCRIPTOR_REGULAR && keep_referenced(descriptor->device, descriptor->inode);
}

/* Calls that need nothing of their handlers here. */
static bool is_plain(const struct engine_frame *frame)
{
  if (engine.handles_signals)
    return false;
  switch (frame->rax) {
  case SYS_write:
  case SYS_writev:
  case SYS_pwrite64:
  case SYS_pwritev:
    return !is_referenced(frame->args[0]);
  case SYS_pread64:
  case SYS_preadv:
  case SYS_lseek:
  case SYS_fsync:
  case SYS_fdatasync:
    return true;
  case SYS_read:
  case SYS_readv:
    return descriptor_get((int)frame->args[0])->kind == DESCRIPTOR_REGULAR;
  }
  return false;
}

/* What opens something: the program may go on with it when all is journaled again. */
static void mark_opened(uint64_t number, int64_t result)
{
  switch (number) {
  case SYS_open:
  case SYS_openat:
  case SYS_openat2:
  case SYS_creat:
  case SYS_socket:
  case SYS_accept:
  case SYS_accept4:
    if (result >= 0)
      descriptor_get((int)result)->flags |= DESCRIPTOR_UNJOURNALED;
  }
}

static int64_t run_handler(struct engine_frame *frame, const struct call_shape *shape, call_handler *handler)
{
  struct call call = {.shape = shape, .id = (uint16_t)frame->rax, .frame = frame};
  for (int i = 0; i < 6; i++)
    call.args[i] = frame->args[i];
  engine_thread.unjournaled++;
  int64_t result = handler(&call);
  engine_thread.unjournaled--;
  mark_opened(frame->rax, result);
  return result;
}

static bool enter_nothing(struct engine_frame *frame, const struct call_shape *shape, call_handler *handler,
                          int64_t *ret_result)
{
  if (is_plain(frame)) {
    frame->raw = FRAME_PLAIN;
    *ret_result = 0;
    return true;
  }
  if (is_detached()) {
    *ret_result = enter_detached(frame);
    return true;
  }
  switch (frame->rax) {
  case SYS_exit:
  case SYS_exit_group:
  case SYS_execve:
  case SYS_execveat:
    return false;
  case SYS_fork:
  case SYS_vfork:
    *ret_result = make_process(frame);
    return true;
  case SYS_clone:
    *ret_result = frame->args[0] & CLONE_THREAD ? make_thread(frame) : make_process(frame);
    return true;
  }
  if (shape->class == CALL_CLASS_REFUSE)
    return false;
  *ret_result = run_handler(frame, shape, handler);
  return true;
}

bool unjournaled_enter(struct engine_frame *frame, const struct call_shape *shape, call_handler *handler,
                       int64_t *ret_result)
{
  if (level_is_over())
    return false;
  if (engine_thread.persistence == JOURNAL_PERSIST_NOTHING)
    return enter_nothing(frame, shape, handler, ret_result);
  if (!is_local(frame, shape))
    return false;
  *ret_result = run_handler(frame, shape, handler);
  return true;
}

/* ---- where a level begins and ends ---- */

void unjournaled_level(uint32_t level)
{
  bool begins = level && !engine_thread.persistence;
  engine_thread.persistence = level;
  if (!begins || process_live())
    return;
  if (engine.tail.header->mode == TAIL_MODE_VERIFY)
    engine_failed(TAIL_REPORT_FAILED, "persistence is off for a part of this run, which a replay would do again: it cannot "
                  "be verified by one", "", 0);
  placeholders_put_back();
}

/* A stream that is connected while all of it is journaled again: what is said on it from then on is said once. */
static void note_socket(int fd)
{
  struct socket_state state = socket_state_get(fd);
  uint8_t peer[128];
  uint32_t length = sizeof peer;
  if (process_live() || !socket_is_stream(fd) ||
      raw_syscall3(SYS_getpeername, (uint64_t)fd, (uint64_t)peer, (uint64_t)&length) != 0)
    return;
  state.flags |= SOCKET_UNJOURNALED;
  socket_state_put(fd, &state);
}

static void note_file(int fd)
{
  static const struct call opened = {.id = CALL_ID_JOURNAL};
  struct journal_file file;
  char path[PATH_ROOM];
  if (file_look(fd, "", AT_EMPTY_PATH, &file) != 0 || !S_ISREG(file.mode) || !file.link_count)
    return;
  size_t length = path_of_descriptor(fd, path);
  if (!length || path[0] != '/')
    return;
  struct draft draft;
  draft_begin(&draft, &opened, JOURNAL_KEEP, 0);
  draft.tail.signature = 0;
  draft_add(&draft, SEGMENT_FILE, 0, &file, sizeof file);
  draft_add(&draft, SEGMENT_FULL_PATH, 0, path, length);
  draft_append(&draft);
}

void unjournaled_note_opened(void)
{
  for (int fd = descriptor_next_known(0); fd >= 0; fd = descriptor_next_known((unsigned)fd + 1)) {
    struct descriptor *descriptor = descriptor_get(fd);
    if (!(descriptor->flags & DESCRIPTOR_UNJOURNALED) || descriptor->flags & DESCRIPTOR_NOTED)
      continue;
    descriptor->flags |= DESCRIPTOR_NOTED;
    if (descriptor->kind == DESCRIPTOR_SOCKET)
      note_socket(fd);
    else if (descriptor->kind == DESCRIPTOR_REGULAR)
      note_file(fd);
  }
}

void unjournaled_write_again(int fd, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
  char path[32];
  path_proc_fd(fd, path);
  /* By the program's own, with O_APPEND, it would go to the end. */
  int64_t writer = open_aside(AT_FDCWD, path, O_WRONLY, 0);
  if (writer < 0)
    engine_failed(TAIL_REPORT_FAILED, "a file that was opened without persistence cannot be written again: ", path, writer);
  while (length) {
    int64_t part = raw_syscall4(SYS_pwrite64, (uint64_t)writer, (uint64_t)bytes, length, offset);
    if (part <= 0)
      engine_failed(TAIL_REPORT_FAILED, "a file that was opened without persistence cannot be written again: ", path, part);
    bytes += part;
    offset += (uint64_t)part;
    length -= (uint64_t)part;
  }
  raw_syscall1(SYS_close, (uint64_t)writer);
}
