/* SPDX-License-Identifier: Apache-2.0 */
/* fork, vfork, clone without CLONE_THREAD; wait4, waitid.
 *
 * The INTENT says which stream the child will have; CHILD, the first entry of that stream, says that it was
 * made. Killed between the two, the child had done nothing, and is made anew. Killed before the RESULT:
 * recovery takes it from the child's own entry. In replay the child is made again, and replays its own
 * stream: entries come in the order of the run, whoever's they are.
 *
 * A child that was to share its parent's memory until its exec (vfork, posix_spawn) gets a copy. What libc's
 * posix_spawn tells its parent through that memory, the error of an exec, comes back by a page that both
 * share. */
#include "shim/children.h"

#include "shim/descriptors.h"
#include "shim/identity.h"
#include "shim/locks.h"
#include "shim/mappings.h"
#include "shim/number_lock.h"
#include "shim/processes.h"
#include "shim/signals.h"
#include "shim/stops.h"
#include "shim/timers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

/* ---- what a child on its parent's memory tells it ---- */

#define RELAY_ADDRESS (TAIL_ADDRESS - (5ull << 32))
#define RELAY_SIZE 4096u
/* libc's struct posix_spawn_args, which the child's argument points to, is shorter than that. */
#define RELAYED_MAX 256u
/* How often a parent looks whether the child is still there. */
#define RELAY_LOOK_NS 1000000

struct relay {
  _Atomic uint32_t told;
  uint32_t length;
  uint64_t address;
  uint8_t bytes[RELAYED_MAX];
};

/* In both: the page, or NULL. */
static struct relay *relay;

static void relay_begin(const struct call *call)
{
  int64_t place = raw_syscall6(SYS_mmap, RELAY_ADDRESS, RELAY_SIZE, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, ~0ull, 0);
  if (raw_is_error(place))
    engine_failed(TAIL_REPORT_FAILED, "there is no memory to follow a new process", "", place);
  relay = (struct relay *)place;
  /* clone() has put the function and its argument on the new stack. */
  relay->address = call->args[1] ? ((const uint64_t *)call->args[1])[1] : 0;
}

static int64_t copy_own(int64_t call, const void *own, uint64_t address, uint64_t length)
{
  const struct io_vector local = {(uint8_t *)own, length}, remote = {(uint8_t *)address, length};
  return raw_syscall6(call, (uint64_t)engine.pid_real, (uint64_t)&local, 1, (uint64_t)&remote, 1, 0);
}

void relay_from_child(void)
{
  int64_t length = relay->address ? copy_own(SYS_process_vm_readv, relay->bytes, relay->address, RELAYED_MAX) : 0;
  relay->length = length > 0 ? (uint32_t)length : 0;
  atomic_store(&relay->told, 1);
  raw_syscall6(SYS_futex, (uint64_t)&relay->told, FUTEX_WAKE, 1, 0, 0, 0);
}

static bool has_ended(int32_t real)
{
  siginfo_t info;
  raw_fill(&info, 0, sizeof info);
  return raw_syscall5(SYS_waitid, P_PID, (uint64_t)real, (uint64_t)&info, WEXITED | WNOHANG | WNOWAIT, 0) != 0 ||
         info.si_pid;
}

/* In the parent: as the kernel would have held it until the child's exec or exit. Live it has; where it made
 * other entries, it had been let go. */
static void relay_end(const struct tail_process *process, int32_t real)
{
  const struct timespec look = {.tv_nsec = RELAY_LOOK_NS};
  while (!engine_live() && !replay_own_turn() && !atomic_load(&relay->told) && !atomic_load(&process->images) && !has_ended(real))
    raw_syscall6(SYS_futex, (uint64_t)&relay->told, FUTEX_WAIT, 0, (uint64_t)&look, 0, 0);
  if (atomic_load(&relay->told) && relay->length)
    copy_own(SYS_process_vm_writev, relay->bytes, relay->address, relay->length);
  raw_syscall2(SYS_munmap, (uint64_t)relay, RELAY_SIZE);
  relay = NULL;
}

/* ---- making a child ---- */

static uint64_t flags_of(const struct call *call)
{
  return call->id == SYS_clone ? call->args[0] : SIGCHLD;
}

static bool shares_memory(const struct call *call)
{
  return flags_of(call) & CLONE_VM;
}

/* What the kernel would tell the child of its number, the program is to know as its own. */
static void tell_number(const struct call *call, uint64_t flag, unsigned arg, int32_t seen)
{
  if (flags_of(call) & flag && call->args[arg])
    *(int32_t *)call->args[arg] = seen;
}

/* Nothing of the parent's other threads, timers and signals is here. */
static void become_process(struct tail_process *process)
{
  engine.process = process;
  engine.pid_real = (int32_t)raw_syscall0(SYS_getpid);
  engine.threaded = false;
  engine.other_threads = 0;
  engine_thread.stream = process->stream;
  engine_thread.exchanges = 0;
  number_lock_of_child();
  engine_stack_of_child();
  timers_of_child();
  identity_of_child();
}

/* The child's side. */
static int64_t begin_child(struct call *call, struct tail_process *process)
{
  static const struct call_shape no_shape;
  struct call born = {.id = CALL_ID_START, .shape = &no_shape, .signature = CALL_ID_START};
  become_process(process);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(&born, JOURNAL_CHILD);
  int32_t seen = process_is(process, engine.pid_real, entry ? (int32_t)entry->args[0] : 0);
  if (entry) {
    for (int i = 1; i < 4; i++)
      atomic_store(&process->seen[i], (int32_t)entry->args[i]);
    replay_advance(entry);
  } else {
    struct draft draft;
    identity_describe(born.args);
    crash_point();
    draft_begin(&draft, &born, JOURNAL_CHILD, 0);
    draft.tail.arg_count = 4;
    draft_append(&draft);
    crash_point();
  }
  tell_number(call, CLONE_CHILD_SETTID, 3, seen);
  engine.relays_exit = shares_memory(call);
  if (call->id == SYS_clone && call->args[1])
    call->frame->rsp = call->args[1];
  return 0;
}

static int64_t run_clone(const struct call *call, bool waits)
{
  uint64_t flags = flags_of(call) & ~(uint64_t)CLONE_VM;
  if (!waits)
    flags &= ~(uint64_t)CLONE_VFORK;
  bool clones = call->id == SYS_clone;
  /* A signal that comes to the child must find it as one. */
  uint64_t mask = engine.handles_signals ? signals_hold() : 0;
  int64_t result = raw_syscall5(SYS_clone, flags, 0, clones ? call->args[2] : 0, clones ? call->args[3] : 0,
                                clones ? call->args[4] : 0);
  if (result == 0)
    signals_of_child();
  if (engine.handles_signals)
    signals_let_come(mask);
  return result;
}

static int64_t make_live(struct call *call)
{
  struct journal_child child = {.stream = atomic_fetch_add(&engine.tail.header->stream_next, 1)};
  struct tail_process *process = process_reserve(child.stream);
  struct draft draft;
  if (shares_memory(call))
    relay_begin(call);
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_CHILD, 0, &child, sizeof child);
  record_intent(&draft, call);
  int64_t result = run_clone(call, true);
  if (result == 0)
    return begin_child(call, process);
  int32_t real = (int32_t)result;
  if (result > 0)
    result = process_is(process, real, 0);
  else
    process_release(process);
  tell_number(call, CLONE_PARENT_SETTID, 2, (int32_t)result);
  record_result(call, result);
  if (shares_memory(call))
    relay_end(process, real);
  return result;
}

static int64_t make_again(struct call *call, const struct journal_entry *intent)
{
  const struct journal_entry *next = replay_peek(intent);
  const struct journal_segment *segment = journal_find_segment(intent, SEGMENT_CHILD, -1);
  /* Nothing to make: it could not be made, or it is over, and what it has done is done. */
  bool failed = (next && next->kind == JOURNAL_RESULT && next->result < 0) ||
                intent->arg_count & JOURNAL_FLAG_SKIPPED;
  struct tail_process *process = NULL;
  int64_t real = 0;
  if (!failed) {
    placeholders_share();
    process = process_reserve(((const struct journal_child *)segment->data)->stream);
    if (shares_memory(call))
      relay_begin(call);
  }
  replay_advance(intent);
  if (!failed) {
    real = run_clone(call, false);
    if (real == 0)
      return begin_child(call, process);
    if (real < 0)
      engine_failed(TAIL_REPORT_FAILED, "a process that the run had cannot be made again", "", real);
  }
  const struct journal_entry *outcome = replay_take(call, JOURNAL_RESULT);
  if (!outcome)
    engine_failed(TAIL_REPORT_FAILED, "the feed ends between a change and its outcome: ",
                  call_shape_name(call->id), 0);
  int64_t result = outcome->result;
  if (!failed)
    process_is(process, (int32_t)real, (int32_t)result);
  tell_number(call, CLONE_PARENT_SETTID, 2, (int32_t)result);
  replay_advance(outcome);
  if (!failed && shares_memory(call))
    relay_end(process, (int32_t)real);
  return result;
}

int64_t child_make(struct call *call)
{
  uint64_t flags = flags_of(call);
  /* A process that goes on beside its parent on the same memory or descriptors has no order to replay. */
  if ((flags & CLONE_VM && !(flags & CLONE_VFORK)) || flags & (CLONE_FILES | CLONE_FS | CLONE_SIGHAND))
    return -ENOSYS;
  call_sign(call);
  const struct journal_entry *intent = engine_live() ? NULL : replay_take(call, JOURNAL_INTENT);
  return intent ? make_again(call, intent) : make_live(call);
}

/* ---- waiting ---- */

/* The child that the call says has ended, or 0. told: the status or siginfo. *ret_killed: by a signal. */
static int32_t ended_child(const struct call *call, const void *told, int64_t result, bool *ret_killed)
{
  if (call->id == SYS_wait4) {
    int status = *(const int *)told;
    *ret_killed = WIFSIGNALED(status);
    return result > 0 && (WIFEXITED(status) || WIFSIGNALED(status)) ? (int32_t)result : 0;
  }
  const siginfo_t *info = told;
  if (result != 0 || call->args[3] & WNOWAIT)
    return 0;
  *ret_killed = info->si_code != CLD_EXITED;
  bool ended = info->si_code == CLD_EXITED || info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;
  return ended ? info->si_pid : 0;
}

/* All entries of the child have been replayed. It has exited by itself, or is where the signal ended it, or where its
 * program was that is one step. */
static void take_end(int32_t seen, bool killed)
{
  const struct tail_process *process = process_called(seen);
  int32_t real = process ? atomic_load(&process->real) : 0;
  if (!real || atomic_load(&process->ended))
    return;
  if (killed || atomic_load(&process->opaque))
    raw_syscall2(SYS_kill, (uint64_t)real, SIGKILL);
  while (raw_syscall4(SYS_wait4, (uint64_t)real, 0, __WALL, 0) == -EINTR)
    ;
}

/* Who is waited for, as the kernel knows it. */
static struct call translate(const struct call *call)
{
  struct call translated = *call;
  if (call->id == SYS_wait4)
    translated.args[0] = (uint64_t)identity_real((int32_t)call->args[0]);
  else if (call->args[0] == P_PID || (call->args[0] == P_PGID && call->args[1]))
    translated.args[1] = (uint64_t)identity_real((int32_t)call->args[1]);
  return translated;
}

/* Which argument the call tells by, and how much. */
static unsigned told_arg(const struct call *call)
{
  return call->id == SYS_wait4 ? 1 : 2;
}

#define OFFSETS_MAX 64

/* Where each regular file stands. Without the segment a child that is over is made again all the same. */
static void add_offsets(struct draft *draft, struct journal_offset *room)
{
  unsigned used = 0;
  for (int fd = descriptor_next_known(0); fd >= 0; fd = descriptor_next_known((unsigned)fd + 1)) {
    if (descriptor_get(fd)->kind != DESCRIPTOR_REGULAR)
      continue;
    if (used == OFFSETS_MAX)
      return;
    int64_t offset = raw_syscall3(SYS_lseek, (uint64_t)fd, 0, SEEK_CUR);
    room[used++] = (struct journal_offset){.fd = fd, .offset = offset > 0 ? (uint64_t)offset : 0};
  }
  draft_add(draft, SEGMENT_OFFSETS, 0, room, used * sizeof *room);
}

static void record_wait(const struct call *call, const struct call *made, bool ended, int64_t result)
{
  struct journal_offset offsets[OFFSETS_MAX];
  struct draft draft;
  unsigned told = told_arg(call);
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft_add_outputs(&draft, call);
  /* Where the program does not ask how it ended, the journal does. */
  if (!call->args[told] && !raw_is_error(result))
    draft_add(&draft, SEGMENT_OUTPUT, told, (const void *)made->args[told],
              told == 1 ? sizeof(int) : sizeof(siginfo_t));
  if (ended && !engine.threaded && !engine.shares_memory)
    add_offsets(&draft, offsets);
  draft_append(&draft);
}

/* What the child has read and written has moved these, where it had them from its parent. Output that the run
 * was started with stands where the supervisor put it. */
static void offsets_again(const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OFFSETS, -1);
  const struct journal_offset *offsets = (const struct journal_offset *)segment->data;
  for (uint64_t i = 0; i < segment->length / sizeof *offsets; i++) {
    uint64_t fd = (uint64_t)offsets[i].fd;
    const struct descriptor *descriptor = descriptor_get((int)fd);
    bool output = descriptor->flags & DESCRIPTOR_OUTER_FILE &&
                  (raw_syscall2(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (!output && (descriptor->kind == DESCRIPTOR_PLACEHOLDER || descriptor->kind == DESCRIPTOR_REGULAR))
      raw_syscall3(SYS_lseek, fd, offsets[i].offset, SEEK_SET);
  }
}

/* The child that the call says has stopped, or 0. */
static int32_t stopped_child(const struct call *call, const void *told, int64_t result)
{
  const siginfo_t *info = told;
  if (call->id == SYS_wait4)
    return result > 0 && WIFSTOPPED(*(const int *)told) ? (int32_t)result : 0;
  return result == 0 && info->si_code == CLD_STOPPED ? info->si_pid : 0;
}

static int64_t wait_again(struct call *call, const struct journal_entry *entry)
{
  bool killed = false;
  int64_t result = replay_deliver(call, entry);
  const struct journal_segment *told = journal_find_segment(entry, SEGMENT_OUTPUT, (int)told_arg(call));
  int32_t ended = told ? ended_child(call, told->data, result, &killed) : 0;
  if (told)
    stop_was_told(stopped_child(call, told->data, result));
  if (ended && entry->arg_count & JOURNAL_FLAG_SKIPPED) {
    offsets_again(entry);
  } else if (ended) {
    const struct tail_process *process = process_called(ended);
    if (process && atomic_load(&process->opaque) && journal_find_segment(entry, SEGMENT_OFFSETS, -1))
      offsets_again(entry);
    take_end(ended, killed);
    process_ended(ended);
  }
  replay_advance(entry);
  return result;
}

int64_t handle_wait(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry)
    return wait_again(call, entry);
  struct call made = translate(call);
  bool killed;
  union {
    int status;
    siginfo_t info;
  } own;
  unsigned told = told_arg(call);
  raw_fill(&own, 0, sizeof own);
  if (!call->args[told])
    made.args[told] = (uint64_t)&own;
  crash_point();
  int64_t result = call_run(&made);
  crash_point();
  siginfo_t *info = (siginfo_t *)made.args[2];
  if (call->id == SYS_wait4 && result > 0)
    result = identity_seen(result);
  else if (call->id == SYS_waitid && result == 0 && info->si_pid)
    info->si_pid = (int32_t)identity_seen(info->si_pid);
  int32_t ended = raw_is_error(result) ? 0 : ended_child(call, (const void *)made.args[told], result, &killed);
  record_wait(call, &made, ended, result);
  if (ended)
    process_ended(ended);
  return result;
}
