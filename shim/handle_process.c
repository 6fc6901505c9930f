/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, children, exec, exit, signals to oneself, and who one is. */
#include "shim/credentials.h"
#include "shim/descriptors.h"
#include "shim/environment.h"
#include "shim/epoll_sets.h"
#include "shim/identity.h"
#include "shim/paths.h"
#include "shim/timers.h"
#include "shim/x86_64/tsc_trap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <time.h>

/* ---- signals ---- */

/* What the kernel would tell about a signal of kill's kind, but from the process as the program knows it. */
static void describe_signal(const struct call *call, siginfo_t *info)
{
  bool queued = call->id == SYS_rt_sigqueueinfo || call->id == SYS_rt_tgsigqueueinfo;
  if (queued) {
    raw_copy(info, (const void *)call->args[call->id == SYS_rt_sigqueueinfo ? 2 : 3], sizeof *info);
    return;
  }
  raw_fill(info, 0, sizeof *info);
  info->si_signo = (int)call->args[call->id == SYS_tgkill ? 2 : 1];
  info->si_code = call->id == SYS_kill ? SI_USER : SI_TKILL;
  info->si_pid = engine.tail.header->pid_seen;
  info->si_uid = (uid_t)raw_syscall0(SYS_getuid);
}

static int64_t send_to_self(const struct call *call, const struct call *translated)
{
  siginfo_t info;
  describe_signal(call, &info);
  if (engine.pid_real == engine.tail.header->pid_seen || info.si_signo == 0)
    return call_run(translated);
  bool to_process = call->id == SYS_kill || call->id == SYS_rt_sigqueueinfo;
  uint64_t thread = call->id == SYS_tkill ? translated->args[0] : translated->args[1];
  return to_process ? raw_syscall3(SYS_rt_sigqueueinfo, (uint64_t)engine.pid_real, (uint64_t)info.si_signo, (uint64_t)&info)
                    : raw_syscall4(SYS_rt_tgsigqueueinfo, (uint64_t)engine.pid_real, thread,
                                   (uint64_t)info.si_signo, (uint64_t)&info);
}

/* A signal to oneself comes at the same place in replay, and its handler runs again there. So the call is
 * journaled before it is made: what the handler does comes after it. */
static int64_t signal_self(struct call *call, struct call *translated)
{
  const struct journal_entry *entry =
      engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry) {
    replay_advance(entry);
  } else {
    crash_point();
    record_complete(call, 0);
    crash_point();
  }
  return send_to_self(call, translated);
}

int64_t handle_kill(struct call *call)
{
  struct call translated = *call, signed_call = *call;
  int32_t seen = engine.tail.header->pid_seen;
  bool by_thread = call->id == SYS_tgkill || call->id == SYS_rt_tgsigqueueinfo || call->id == SYS_tkill;
  unsigned thread_arg = call->id == SYS_tkill ? 0 : 1;
  if (call->id != SYS_pidfd_send_signal)
    translated.args[0] = (uint64_t)identity_real((int32_t)call->args[0]);
  if (by_thread) {
    translated.args[thread_arg] = (uint64_t)identity_real((int32_t)call->args[thread_arg]);
    /* libc knows its threads by the kernel's numbers. */
    signed_call.args[thread_arg] = 0;
  }
  call_sign(&signed_call);
  call->signature = signed_call.signature;
  bool self = call->id == SYS_tkill || ((int32_t)call->args[0] == seen && call->id != SYS_pidfd_send_signal);
  if (self)
    return signal_self(call, &translated);
  int64_t result;
  if (!engine_live() && replay_change(call, &result, NULL, NULL))
    return result;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  record_intent(&draft, call);
  result = call_run(&translated);
  record_result(call, result);
  return result;
}

/* Did the call say that a child has ended (and not stopped, or gone on)? */
static bool told_an_end(const struct call *call, int64_t result)
{
  if (call->id == SYS_wait4) {
    const int *status = (const int *)call->args[1];
    return result > 0 && (!status || (*status & 0xff) != 0x7f);
  }
  const siginfo_t *info = (const siginfo_t *)call->args[2];
  return result == 0 && info && info->si_pid &&
         (info->si_code == CLD_EXITED || info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED);
}

/* A signal that was taken is not pending any more. */
int64_t handle_sigwait(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return observe(call);
  int64_t result = replay_deliver(call, entry);
  if (result > 0) {
    const struct timespec now = {0, 0};
    uint64_t one = 1ull << (result - 1);
    raw_syscall4(SYS_rt_sigtimedwait, (uint64_t)&one, 0, (uint64_t)&now, sizeof one);
  }
  replay_advance(entry);
  return result;
}

int64_t handle_wait(struct call *call)
{
  bool replaying = !engine_live();
  int64_t result = observe(call);
  if (replaying && !engine_live() && told_an_end(call, result))
    atomic_fetch_sub(&engine.tail.header->replayed_children, 1);
  return result;
}

int64_t handle_sigaction(struct call *call)
{
  if (engine.tsc_trapped && call->args[0] == SIGSEGV)
    return tsc_trap_sigaction(call);
  return call_run(call);
}

/* ---- threads and children ---- */

/* A new thread's stream is named before it exists, so that its first entry has it. */
static int64_t make_thread(struct call *call)
{
  int64_t stream;
  engine.threaded = true;
  call->shape = &call_shapes[SYS_clone];
  call->signature = hash_mix(SYS_clone, CLONE_THREAD) | 1;
  const struct journal_entry *entry =
      engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry) {
    stream = entry->result;
    replay_advance(entry);
  } else {
    crash_point();
    stream = atomic_fetch_add(&engine.tail.header->stream_next, 1);
    record_complete(call, stream);
    crash_point();
  }
  uint64_t own;
  __asm__("movq %%fs:0, %0" : "=r"(own));
  struct thread *thread = (struct thread *)(call->args[4] + ((uint64_t)&engine_thread - own));
  thread->stream = (uint32_t)stream;
  call->frame->raw = FRAME_PLAIN;
  return 0;
}

/* The first call of a new thread: in replay it goes on from here when it is its turn. */
int64_t handle_thread(struct call *call)
{
  return call_run(call);
}

static void become_unjournaled(void)
{
  tsc_trap_suspend();
  engine.tsc_trapped = false;
  engine.unjournaled = true;
}

static int64_t make_child(struct call *call)
{
  record_note(TAIL_NOTED_CHILD, "child processes run unjournaled: a child that was under way at a crash is not continued");
  bool shares = call->id == SYS_clone && call->args[0] & CLONE_VM;
  if (shares) {
    engine_thread.vfork_owner = (int32_t)raw_syscall0(SYS_gettid);
    engine_thread.in_vfork = 1;
    call->frame->raw = FRAME_CLONE;
    return 0;
  }
  crash_point();
  uint64_t flags = call->id == SYS_clone ? call->args[0] : SIGCHLD;
  int64_t result = raw_syscall5(SYS_clone, flags, call->id == SYS_clone ? call->args[1] : 0,
                                call->args[2], call->args[3], call->args[4]);
  if (result == 0) {
    become_unjournaled();
    return 0;
  }
  crash_point();
  record_complete(call, result);
  return result;
}

void engine_after_clone(struct engine_frame *frame)
{
  engine_thread.in_vfork = 0;
  struct call call = {.id = SYS_clone, .shape = &call_shapes[SYS_clone], .frame = frame};
  for (int i = 0; i < 6; i++)
    call.args[i] = frame->args[i];
  call_sign(&call);
  record_complete(&call, (int64_t)frame->rax);
}

int64_t handle_fork(struct call *call)
{
  if (call->id == SYS_clone && call->args[0] & CLONE_THREAD)
    return make_thread(call);
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      if (entry->result > 0)
        atomic_fetch_add(&engine.tail.header->replayed_children, 1);
      replay_advance(entry);
      return entry->result;
    }
  }
  return make_child(call);
}

/* ---- exec ---- */

static int64_t exec_real(struct call *call, unsigned environment_arg)
{
  char **before = (char **)call->args[environment_arg];
  char **with_ours;
  int64_t result = environment_with_ours(before, &with_ours);
  if (result < 0)
    return result;
  call->args[environment_arg] = (uint64_t)with_ours;
  engine.tail.header->exec_stream = engine_thread.stream;
  tsc_trap_suspend();
  result = call_run(call);
  tsc_trap_resume();
  call->args[environment_arg] = (uint64_t)before;
  environment_release(with_ours);
  return result;
}

static int64_t exec_live(struct call *call, unsigned path_arg, unsigned environment_arg)
{
  int dirfd = path_arg ? (int)call->args[0] : AT_FDCWD;
  const char *path = (const char *)call->args[path_arg];
  char full[PATH_ROOM];
  const char *obstacle = program_obstacle(dirfd, path);
  if (obstacle)
    engine_failed(TAIL_REPORT_FAILED, obstacle, path, 0);
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_FULL_PATH, path_arg, full, path_full(dirfd, path, full));
  record_intent(&draft, call);
  int64_t result = exec_real(call, environment_arg);
  record_result(call, result);
  return result;
}

int64_t handle_exec(struct call *call)
{
  unsigned path_arg = call->id == SYS_execveat ? 1 : 0;
  unsigned environment_arg = path_arg + 2;
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *intent = replay_take(call, JOURNAL_INTENT);
    if (intent) {
      const struct journal_entry *next = replay_peek(intent);
      replay_advance(intent);
      if (next && next->kind == JOURNAL_RESULT) {
        int64_t result = replay_take(call, JOURNAL_RESULT)->result;
        replay_advance(next);
        return result;
      }
      epoll_sets_complete();
      if (path_arg)
        placeholder_replace((int)call->args[0]);
      timers_go_live();
      credentials_go_live();
      int64_t result = exec_real(call, environment_arg);
      engine_failed(TAIL_REPORT_FAILED, "a program that the run had started cannot be started again: ",
                    (const char *)call->args[path_arg], result);
    }
  }
  return exec_live(call, path_arg, environment_arg);
}

/* ---- the end ---- */

int64_t handle_exit(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_EXIT);
  if (entry) {
    replay_advance(entry);
    return call_run(call);
  }
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_EXIT, (int64_t)(call->args[0] & 0xff));
  draft_append(&draft);
  crash_point();
  return call_run(call);
}

/* ---- the working directory ---- */

int64_t handle_chdir(struct call *call)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_DIRECTORY, -1);
      if (segment && segment->length < sizeof engine.directory) {
        raw_copy(engine.directory, segment->data, segment->length);
        engine.directory[segment->length] = 0;
        /* Where it still is; going live insists. */
        raw_syscall1(SYS_chdir, (uint64_t)engine.directory);
      }
      int64_t result = entry->result;
      replay_advance(entry);
      return result;
    }
  }
  struct draft draft;
  int64_t result = observe_begin(call, &draft);
  if (result == 0) {
    int64_t length = raw_syscall2(SYS_getcwd, (uint64_t)engine.directory, sizeof engine.directory);
    if (length > 0)
      draft_add(&draft, SEGMENT_DIRECTORY, 0, engine.directory, (size_t)length - 1);
  }
  draft_append(&draft);
  return result;
}
