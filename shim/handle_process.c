/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, exec, exit, signals to oneself and to others. */
#include "shim/credentials.h"
#include "shim/descriptors.h"
#include "shim/environment.h"
#include "shim/epoll_sets.h"
#include "shim/identity.h"
#include "shim/children.h"
#include "shim/paths.h"
#include "shim/pipe_flow.h"
#include "shim/timers.h"
#include "shim/processes.h"
#include "shim/signals.h"
#include "shim/stops.h"
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
  info->si_pid = atomic_load(&engine.process->pid_seen);
  info->si_uid = (uid_t)raw_syscall0(SYS_getuid);
}

static int64_t send_to_self(const struct call *call, const struct call *translated)
{
  siginfo_t info;
  describe_signal(call, &info);
  if (engine.pid_real == atomic_load(&engine.process->pid_seen) || info.si_signo == 0)
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
  siginfo_t info;
  describe_signal(call, &info);
  if (entry) {
    bool left = stop_was_left(info.si_signo, entry);
    replay_advance(entry);
    if (left)
      return 0;
  } else {
    crash_point();
    record_complete(call, 0);
    crash_point();
  }
  signals_expect(info.si_signo);
  int64_t result = send_to_self(call, translated);
  signals_expect_none();
  stop_is_over();
  return result;
}

/* ---- signals to others, in replay ---- */

/* What became of it is in the journal, if its target has handled it, or gone on. Else the target may have died of it,
 * or not have had it yet: it looks here when it comes past its replay, also where the sender is gone by then. */
static void forget_sent_to_the_dead(struct tail_header *header)
{
  uint32_t kept = 0;
  for (uint32_t i = 0; i < header->sent_count; i++) {
    const struct tail_process *process = process_called(header->sent[i].target);
    if (header->sent[i].target <= 0 || (process && !atomic_load(&process->ended)))
      header->sent[kept++] = header->sent[i];
  }
  header->sent_count = kept;
}

static void note_sent(const struct call *call, const struct journal_entry *intent, const struct journal_entry *outcome,
                      int64_t result)
{
  struct tail_header *header = engine.tail.header;
  unsigned signal_arg = call->id == SYS_tgkill || call->id == SYS_rt_tgsigqueueinfo ? 2 : 1;
  if (result != 0 || call->id == SYS_pidfd_send_signal || !call->args[signal_arg])
    return;
  stops_sent_again((int32_t)call->args[0], (int)call->args[signal_arg]);
  if (header->sent_count == TAIL_SENT_MAX)
    forget_sent_to_the_dead(header);
  if (header->sent_count == TAIL_SENT_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more signals were sent between processes than can be replayed", "", TAIL_SENT_MAX);
  header->sent[header->sent_count++] =
      (struct tail_sent){(int32_t)call->args[0], (int32_t)call->args[signal_arg],
                         atomic_load(&engine.process->seen[2]), 0, feed_offset(intent), feed_offset(outcome)};
}

/* To this process, where it has several threads: any of them may have had it. */
static bool some_thread_has_had(const struct tail_sent *sent)
{
  for (uint64_t offset = sent->intent; offset < engine.feed->entries_end;) {
    const struct journal_entry *entry = feed_at(offset);
    if (signals_told(entry, sent->number))
      return true;
    offset += entry->size;
  }
  return !signals_handled(sent->number);
}

static bool is_meant(const struct tail_sent *sent)
{
  int32_t group = atomic_load(&engine.process->seen[2]);
  if (sent->target > 0)
    return sent->target == atomic_load(&engine.process->pid_seen);
  return sent->target < -1 ? group == -sent->target : sent->target == 0 && group == sent->group;
}

/* A process on another processor may append one more entry before the interrupt that ends it comes there. */
#define ENTRIES_MAX_BEFORE_DEATH 1

/* Has this stream had such a signal, or, where nothing keeps it from having it, gone on without harm? */
static bool has_passed(const struct tail_sent *sent)
{
  bool kept_off = signals_kept_off(sent->number);
  uint32_t behind = 0;
  for (uint64_t offset = sent->intent; offset < engine.feed->entries_end;) {
    const struct journal_entry *entry = feed_at(offset);
    if (entry->stream == engine_thread.stream) {
      if (signals_told(entry, sent->number))
        return true;
      behind += offset > sent->result;
    }
    offset += entry->size;
  }
  return !kept_off && behind > ENTRIES_MAX_BEFORE_DEATH;
}

/* One that stops a process is over with the next that continues it. */
static bool is_continued(const struct tail_header *header, unsigned i)
{
  bool stops = stop_is_one(header->sent[i].number);
  while (stops && ++i < header->sent_count)
    if (header->sent[i].number == SIGCONT && is_meant(&header->sent[i]))
      return true;
  return false;
}

void kills_go_live(void)
{
  const struct tail_header *header = engine.tail.header;
  for (unsigned i = 0; i < header->sent_count; i++)
    if (is_meant(&header->sent[i]) && !is_continued(header, i) &&
        !(engine.threaded ? some_thread_has_had(&header->sent[i]) : has_passed(&header->sent[i])))
      raw_syscall2(SYS_kill, (uint64_t)engine.pid_real, (uint64_t)header->sent[i].number);
  stop_is_over();
}

/* May another thread of this process get it? Then its handler has an entry there, or makes one. Those that libc sends to its own
 * threads have none. */
static bool may_come_to_another(const struct call *translated, bool by_thread, unsigned thread_arg)
{
  return engine.threaded && signals_journaled(translated->args[thread_arg + (by_thread ? 1 : 0)]) && (!by_thread || (int64_t)translated->args[thread_arg] != raw_syscall0(SYS_gettid));
}

int64_t handle_kill(struct call *call)
{
  struct call translated = *call, signed_call = *call;
  int32_t seen = atomic_load(&engine.process->pid_seen);
  bool by_thread = call->id == SYS_tgkill || call->id == SYS_rt_tgsigqueueinfo || call->id == SYS_tkill;
  unsigned thread_arg = call->id == SYS_tkill ? 0 : 1;
  if (call->id != SYS_pidfd_send_signal)
    translated.args[0] = (uint64_t)identity_real((int32_t)call->args[0]);
  if (by_thread) {
    translated.args[thread_arg] = (uint64_t)identity_real((int32_t)call->args[thread_arg]);
    /* libc knows its threads by the kernel's numbers. */
    signed_call.args[thread_arg] = 0;
  }
  /* pthread_cancel has an entry of its own. */
  if (engine_thread.locking)
    return call_run(&translated);
  call_sign(&signed_call);
  call->signature = signed_call.signature;
  bool self = call->id == SYS_tkill || ((int32_t)call->args[0] == seen && call->id != SYS_pidfd_send_signal);
  if (self && !may_come_to_another(&translated, by_thread, thread_arg))
    return signal_self(call, &translated);
  int64_t result;
  const struct journal_entry *intent;
  const struct journal_entry *outcome;
  if (!engine_live() && replay_change(call, &result, &intent, &outcome)) {
    note_sent(call, intent, outcome, result);
    replay_advance(outcome);
    return result;
  }
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  record_intent(&draft, call);
  if (call->id == SYS_kill && call->args[1] == SIGCONT)
    stops_await((int32_t)call->args[0]);
  result = call_run(&translated);
  record_result(call, result);
  return result;
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

/* ---- threads ---- */

/* A new thread's stream is named before it exists, so that its first entry has it. */
static int64_t make_thread(struct call *call)
{
  int64_t stream;
  engine.threaded = true;
  /* Another thread may set up the first handler while this one waits in a call. */
  engine.handles_signals = true;
  atomic_fetch_add(&engine.other_threads, 1);
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
  struct thread *thread = thread_of(call->args[4]);
  thread->stream = (uint32_t)stream;
  thread->segv_blocked = engine_thread.segv_blocked;
  thread->counted = 1;
  call->frame->raw = FRAME_PLAIN;
  return 0;
}

/* The first call of a new thread: in replay it goes on from here when it is its turn. */
int64_t handle_thread(struct call *call)
{
  return call_run(call);
}

int64_t handle_fork(struct call *call)
{
  return call->id == SYS_clone && call->args[0] & CLONE_THREAD ? make_thread(call) : child_make(call);
}

/* ---- exec ---- */

/* With the environment as the program gave it: the new program is not told that there is a journal. */
static int64_t exec_plain(const struct call *call)
{
  tsc_trap_suspend();
  int64_t result =
      raw_syscall5(call->id, call->args[0], call->args[1], call->args[2], call->args[3], call->args[4]);
  tsc_trap_resume();
  return result;
}

/* The supervisor takes the run's files away only when nobody is on the way to a program that opens them. */
static bool exec_begins(void)
{
  atomic_fetch_add(&engine.tail.header->executing, 1);
  if (!atomic_load(&engine.tail.header->left))
    return true;
  atomic_fetch_sub(&engine.tail.header->executing, 1);
  return false;
}

static int64_t exec_real(struct call *call, unsigned environment_arg)
{
  if (!exec_begins())
    return exec_plain(call);
  char **before = (char **)call->args[environment_arg];
  char **with_ours;
  int64_t result = environment_with_ours(before, &with_ours);
  if (result < 0) {
    atomic_fetch_sub(&engine.tail.header->executing, 1);
    return result;
  }
  call->args[environment_arg] = (uint64_t)with_ours;
  engine.process->stream = engine_thread.stream;
  tsc_trap_suspend();
  process_hides_life();
  signals_exec();
  result = raw_syscall5(call->id, call->args[0], call->args[1], call->args[2], call->args[3], call->args[4]);
  atomic_fetch_sub(&engine.tail.header->executing, 1);
  signals_exec_over();
  process_shows_life();
  tsc_trap_resume();
  call->args[environment_arg] = (uint64_t)before;
  environment_release(with_ours);
  return result;
}

/* A child's program that nothing can be preloaded into: what it does is one step, with effects that nobody sees. What it
 * starts in its turn belongs to the step. */
static int64_t exec_opaque(const struct call *call)
{
  atomic_store(&engine.process->opaque, 1);
  pipe_flow_never();
  int64_t result = exec_plain(call);
  atomic_store(&engine.process->opaque, 0);
  return result;
}

static void close_pipe(int fd, void *context)
{
  (void)context;
  if (descriptor_get(fd)->kind == DESCRIPTOR_PIPE)
    raw_syscall1(SYS_close, (uint64_t)fd);
}

/* Replay: the step was done, and its process has ended. Its end comes by the wait that tells of it. */
__attribute__((noreturn)) static void stay_opaque(const struct journal_entry *intent)
{
  atomic_store(&engine.process->opaque, 1);
  atomic_fetch_add(&engine.process->images, 1);
  pipe_flow_never();
  /* Who writes into its pipes is not to wait for what it has read. */
  each_descriptor(close_pipe, NULL);
  replay_advance(intent);
  for (;;)
    raw_syscall0(SYS_pause);
}

#define WORDS_ROOM 1024

static void add_words(struct draft *draft, const char *const *words, char *room)
{
  size_t used = 0;
  for (; words && *words && used < WORDS_ROOM; words++) {
    size_t length = raw_length(*words) + 1;
    if (length > WORDS_ROOM - used)
      length = WORDS_ROOM - used;
    raw_copy(room + used, *words, length);
    used += length;
  }
  draft_add(draft, SEGMENT_COMMAND, 0, room, used);
}

static int64_t exec_live(struct call *call, unsigned path_arg, unsigned environment_arg)
{
  int dirfd = path_arg ? (int)call->args[0] : AT_FDCWD;
  const char *path = (const char *)call->args[path_arg];
  char full[PATH_ROOM], words[WORDS_ROOM];
  const struct obstacle *obstacle = program_obstacle(dirfd, path);
  if (obstacle && engine.process == &engine.tail.header->processes[0])
    engine_failed(TAIL_REPORT_FAILED, obstacle->refusal, path, 0);
  call->remote = obstacle != NULL;
  signals_deliver();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_FULL_PATH, path_arg, full, path_full(dirfd, path, full));
  add_words(&draft, (const char *const *)call->args[path_arg + 1], words);
  if (obstacle)
    draft_add(&draft, SEGMENT_OPAQUE, path_arg, obstacle->reason, raw_length(obstacle->reason));
  record_intent(&draft, call);
  int64_t result = obstacle ? exec_opaque(call) : exec_real(call, environment_arg);
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
      bool failed = next && next->kind == JOURNAL_RESULT;
      if (!failed && journal_find_segment(intent, SEGMENT_OPAQUE, -1))
        stay_opaque(intent);
      replay_advance(intent);
      if (failed) {
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

/* Of one thread, which may be the first. */
int64_t handle_leave(struct call *call)
{
  process_hides_life();
  signals_thread_ends();
  call->frame->raw = FRAME_PLAIN;
  return 0;
}

static int64_t exit_now(const struct call *call)
{
  if (call->id == SYS_exit_group)
    process_leaves_regions(engine.process);
  /* Any thread may end the process. */
  if (engine.process == &engine.tail.header->processes[0])
    atomic_store(&engine.tail.header->first.word, 0);
  return call_run(call);
}

int64_t handle_exit(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_EXIT);
  if (engine.relays_exit)
    relay_from_child();
  if (entry) {
    atomic_store(&engine.ending, true);
    replay_advance(entry);
    return exit_now(call);
  }
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_EXIT, (int64_t)(call->args[0] & 0xff));
  draft_append(&draft);
  crash_point();
  return exit_now(call);
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
