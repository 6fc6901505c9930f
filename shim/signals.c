/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel calls `arrive` for every signal that the program has a handler for. Where the program is
 * between calls, the signal waits for the next one (but no longer than PATIENCE_NS, shim/signals_waiting.h: a program that spins makes
 * none; that is noted, since no replay can tell how long it had spun). Within a call its SIGNAL entry is
 * appended and the handler runs, before the call's own entry; so replay, which finds SIGNAL before the entry
 * that it looks for, runs the handler there.
 *
 * In a process with several threads each has its own signals: what waits waits for the next call of the thread that the
 * kernel has chosen, and the SIGNAL is of that thread's stream.
 *
 * Killed at any line: a SIGNAL without what its handler does is replayed, and the handler goes on live; then the
 * call that it had come in is over, where a signal ends it. A signal that waited is lost, as one that was pending
 * is. SIGCHLD is told again for children that have ended. */
#include "shim/signals.h"

#include "shim/descriptors.h"
#include "shim/identity.h"
#include "shim/signals_waiting.h"
#include "shim/unjournaled.h"
#include "shim/x86_64/breakable.h"
#include "shim/x86_64/tsc_trap.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define MASK_SIZE 8

/* As rt_sigaction has it. */
struct action {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

LARGE_TABLE static struct action actions[SIGNAL_MAX]; /* the program's, where `arrive` stands for it */
static uint64_t handled;                  /* a bit for each of these */

/* The rest is each thread's own. */
static __thread uint64_t kept_off;         /* in replay, behind the thread's last entry: what was handled or blocked since */
static __thread volatile uint64_t waiting; /* a bit for each signal that has come between calls */
static __thread volatile int expected;     /* the next of this number is journaled already */
static __thread uint64_t expected_mask;    /* in replay: what is blocked while its handler runs; 0: what the kernel says */
static __thread volatile bool within;      /* in a call, live */
static __thread const struct call *volatile current; /* that call */
static __thread volatile int over;         /* a handler has run in it, and ends it */
static __thread bool sending;              /* what has come between calls, within one */
static __thread int owed;                  /* such a one whose handler has run in a call that does not wait */
static __thread unsigned owed_calls;       /* of the next so many calls, one that waits is ended by it */
static __thread int last_again;            /* in replay: the signal whose handler has run last */
static __thread bool last_again_waited;    /* it had waited for its call */
static __thread uint64_t last_again_end;   /* where the feed goes on behind it */
static __thread unsigned broken_call;      /* the call that is over without having run again, and one more; 0: none */

static uint64_t bit(int number)
{
  return 1ull << (number - 1);
}

static bool is_pointer(uint64_t handler)
{
  return handler > 1; /* SIG_DFL, SIG_IGN */
}

/* Faults of the program's own instructions come where they come; 32 and 33 are libc's. */
bool signals_journaled(uint64_t number)
{
  switch (number) {
  case SIGSEGV:
  case SIGBUS:
  case SIGFPE:
  case SIGILL:
  case SIGTRAP:
  case SIGSYS:
  case 32:
  case 33:
    return false;
  }
  return number > 0 && number < SIGNAL_MAX;
}

/* ---- one signal ---- */

/* Calls the program's handler as the kernel would have. */
static void run(int number, siginfo_t *info, void *context)
{
  struct action action = actions[number];
  bool was_within = within;
  uint32_t was_unjournaled = engine_thread.unjournaled, was_locking = engine_thread.locking;
  if (action.flags & SA_RESETHAND) {
    const struct action none = {.flags = action.flags, .restorer = action.restorer};
    handled &= ~bit(number);
    raw_syscall4(SYS_rt_sigaction, (uint64_t)number, (uint64_t)&none, 0, MASK_SIZE);
  }
  within = false;
  engine_thread.unjournaled = 0;
  engine_thread.locking = 0;
  if (is_pointer(action.handler))
    ((void (*)(int, siginfo_t *, void *))action.handler)(number, info, context);
  engine_thread.unjournaled = was_unjournaled;
  engine_thread.locking = was_locking;
  within = was_within;
}

static void translate(siginfo_t *info)
{
  if (info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL ||
      info->si_signo == SIGCHLD)
    info->si_pid = (int32_t)identity_seen(info->si_pid);
}

/* In a SIGNAL's first argument, above the number: it had waited for the call. */
#define HAD_WAITED (1ull << 32)

static void record_signal(int number, bool has_waited, const siginfo_t *info)
{
  static const struct call none = {.id = CALL_ID_JOURNAL};
  uint64_t args[3] = {(uint64_t)number | (has_waited ? HAD_WAITED : 0), 0, current ? current->id : 0};
  /* Within a call that changes the mask, or lets one be for a time. */
  raw_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, 0, (uint64_t)&args[1], MASK_SIZE);
  struct draft draft;
  crash_point();
  draft_begin(&draft, &none, JOURNAL_SIGNAL, 0);
  draft.tail.args = args;
  draft.tail.arg_count = 3;
  draft_add(&draft, SEGMENT_OUTPUT, 1, info, sizeof *info);
  draft_append(&draft);
  crash_point();
}

/* A program looks whether a signal has come, makes a call that does not wait, and then one that does. Alone, it would have
 * seen one that comes shortly before the first. Here its handler runs in that call, and the second must not wait. */
static void owe(int number, unsigned calls)
{
  owed = number;
  owed_calls = calls;
}

/* Where nothing is journaled, what happens happens in every attempt anew: children end, and replay sees it. */
static bool is_of_this_attempt(int number)
{
  return engine.detached || (unjournaled_all() && (number == SIGCHLD || !process_live()));
}

static void arrive(int number, siginfo_t *info, void *context)
{
  bool in_call = within, has_waited = sending;
  sending = false;
  if (engine_thread.passing || expected == number || is_of_this_attempt(number)) {
    expected = 0;
    if (expected_mask)
      raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&expected_mask, 0, MASK_SIZE);
    expected_mask = 0;
    run(number, info, context);
    return;
  }
  bool late = patience_has_ended(info);
  if (late && (!process_live() || !(waiting & bit(number))))
    return;
  if (!late && !within) {
    if (!(waiting & bit(number)))
      raw_copy(waiting_info(number), info, sizeof *info);
    waiting |= bit(number);
    if (process_live())
      patience_begin(number);
    return;
  }
  siginfo_t first;
  if (late) {
    patience_end();
    waiting &= ~bit(number);
    raw_copy(&first, waiting_info(number), sizeof first);
    info = &first;
    record_note(TAIL_NOTED_SPINNING, "a signal came while the program made no calls: a resumed run handles it at the next one");
  }
  translate(info);
  record_signal(number, has_waited, info);
  run(number, info, context);
  if (in_call && signals_break(current, actions[number].flags)) {
    over = 1;
    breakable_break(context);
  } else if (has_waited) {
    owe(number, 1);
  }
}

/* ---- in a call ---- */

static void send_to_self(int number, siginfo_t *info)
{
  raw_syscall4(SYS_rt_tgsigqueueinfo, (uint64_t)engine.pid_real, (uint64_t)raw_syscall0(SYS_gettid),
               (uint64_t)number, (uint64_t)info);
}

/* One that the program has blocked since stays with the kernel until it is not. */
static void send_waiting(void)
{
  patience_end();
  for (int number = 1; number < SIGNAL_MAX; number++)
    if (waiting & bit(number)) {
      siginfo_t info;
      raw_copy(&info, waiting_info(number), sizeof info);
      waiting &= ~bit(number);
      sending = true;
      send_to_self(number, &info);
      sending = false;
    }
}

void signals_replayed(const struct call *call)
{
  /* Relative sleeps are all made by one call. */
  unsigned id = call->id == SYS_nanosleep ? SYS_clock_nanosleep : call->id;
  if (last_again && signals_break(call, actions[last_again].flags))
    broken_call = id + 1u;
}

int64_t signals_run(const struct call *call)
{
  bool was_within = within;
  const struct call *was_current = current;
  int was_over = over;
  unsigned broken = broken_call;
  broken_call = 0;
  if (__builtin_expect(broken == call->id + 1u, 0))
    return -EINTR;
  current = call;
  over = 0;
  if (__builtin_expect(owed_calls != 0, 0)) {
    owed_calls--;
    over = signals_break(call, actions[owed].flags);
  }
  within = process_live();
  /* What had come before the call comes in it: a program that has looked whether it had, and waits now, would wait
   * in vain. */
  if (__builtin_expect(waiting != 0, 0) && within)
    send_waiting();
  int64_t result = breakable_syscall(call->id, call->args, &over);
  within = was_within;
  over = was_over;
  current = was_current;
  return result;
}

bool signals_any_handled(void)
{
  return handled != 0;
}

bool signals_handled(int number)
{
  return number > 0 && number < SIGNAL_MAX && handled & bit(number);
}

static uint64_t blocked(void)
{
  uint64_t mask = 0;
  raw_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, 0, (uint64_t)&mask, MASK_SIZE);
  return mask;
}

bool signals_blocked(int number)
{
  return number > 0 && number < SIGNAL_MAX && blocked() & bit(number);
}

bool signals_kept_off(int number)
{
  return number > 0 && number < SIGNAL_MAX && (kept_off | handled | blocked()) & bit(number);
}

/* Before the program says something else about signals, in a call that may have no entry. */
static void note_kept_off(void)
{
  if (!process_live() && !replay_own_next())
    kept_off |= handled | blocked();
}

void signals_expect(int number)
{
  if (signals_handled(number))
    expected = number;
}

void signals_expect_none(void)
{
  expected = 0;
  expected_mask = 0;
}

void signals_again(const struct journal_entry *entry)
{
  static const struct call none = {.id = CALL_ID_JOURNAL};
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_OUTPUT, 1);
  int number = (int)entry->args[0];
  siginfo_t info;
  if (journal_arg_count(entry) != 3 || !signals_handled(number) || !segment || segment->length != sizeof info)
    engine_diverged(&none, entry);
  raw_copy(&info, segment->data, sizeof info);
  uint64_t one = bit(number), mask;
  raw_syscall4(SYS_rt_sigprocmask, SIG_UNBLOCK, (uint64_t)&one, (uint64_t)&mask, MASK_SIZE);
  waiting &= ~bit(number);
  replay_advance(entry);
  last_again = number;
  last_again_waited = entry->args[0] & HAD_WAITED;
  last_again_end = feed_offset(entry) + entry->size;
  expected = number;
  expected_mask = entry->args[1];
  send_to_self(number, &info);
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&mask, 0, MASK_SIZE);
}

bool signals_due(void)
{
  const struct journal_entry *entry = replay_own_turn() ? replay_own_next() : NULL;
  if (!entry || entry->kind != JOURNAL_SIGNAL)
    return false;
  signals_again(entry);
  return true;
}

/* The last handler has run in the last call, or in the one before this. */
static void owe_again(void)
{
  unsigned behind = 0;
  if (!last_again_waited)
    return;
  for (uint64_t offset = last_again_end; offset < engine.feed->entries_end && behind < 2;) {
    const struct journal_entry *entry = feed_at(offset);
    offset += entry->size;
    behind += entry->stream == engine_thread.stream;
  }
  if (behind < 2)
    owe(last_again, 2 - behind);
}

void signals_go_live(void)
{
  siginfo_t info;
  owe_again();
  if (!(handled & bit(SIGCHLD)))
    return;
  raw_fill(&info, 0, sizeof info);
  waiting &= ~bit(SIGCHLD);
  raw_syscall5(SYS_waitid, P_ALL, 0, (uint64_t)&info, WEXITED | WNOHANG | WNOWAIT, 0);
  if (!info.si_pid)
    return;
  raw_copy(waiting_info(SIGCHLD), &info, sizeof info);
  waiting |= bit(SIGCHLD);
}

/* ---- new processes, new programs ---- */

uint64_t signals_hold(void)
{
  const uint64_t all = UINT64_MAX;
  uint64_t mask = 0;
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&all, (uint64_t)&mask, MASK_SIZE);
  return mask;
}

void signals_let_come(uint64_t mask)
{
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&mask, 0, MASK_SIZE);
}

void signals_of_child(void)
{
  waiting = 0;
  kept_off = 0;
  owed_calls = 0;
  patience_of_child();
  expected = 0;
  within = false;
}

void signals_deliver(void)
{
  if (!waiting || !process_live())
    return;
  within = true;
  send_waiting();
  within = false;
}

/* Another thread may take it. */
void signals_thread_ends(void)
{
  patience_end();
  for (int number = 1; waiting && number < SIGNAL_MAX; number++)
    if (waiting & bit(number)) {
      waiting &= ~bit(number);
      raw_syscall2(SYS_kill, (uint64_t)engine.pid_real, (uint64_t)number);
    }
}

void signals_exec(void)
{
  if (!handled)
    return;
  atomic_store(&engine.process->mask, signals_hold());
  atomic_store(&engine.process->held, 1);
  send_waiting();
}

void signals_exec_over(void)
{
  if (!atomic_load(&engine.process->held))
    return;
  atomic_store(&engine.process->held, 0);
  signals_let_come(atomic_load(&engine.process->mask));
}

/* ---- what the program says about signals ---- */

/* One that waits is ignored from now on, or does what it does by default. */
static void handler_gone(int number, bool by_default)
{
  siginfo_t info;
  bool waited = waiting & bit(number);
  if (waited)
    patience_end();
  handled &= ~bit(number);
  waiting &= ~bit(number);
  raw_copy(&info, waiting_info(number), sizeof info);
  if (waited && by_default && process_live())
    send_to_self(number, &info);
}

int64_t handle_sigaction(struct call *call)
{
  uint64_t number = call->args[0];
  if (number == 32 || number == 33)
    return signals_action_of_libc(call);
  if (engine.tsc_trapped && number == SIGSEGV)
    return tsc_trap_sigaction(call);
  if (!signals_journaled(number) || call->args[3] != MASK_SIZE)
    return call_run(call);
  note_kept_off();
  const struct action *given = (const struct action *)call->args[1];
  struct action before = actions[number], installed, old;
  bool was_handled = handled & bit((int)number), is_handled = given && is_pointer(given->handler);
  struct call translated = *call;
  if (is_handled) {
    installed = *given;
    installed.handler = (uint64_t)arrive;
    installed.flags |= SA_SIGINFO;
    installed.flags &= ~(uint64_t)SA_RESETHAND;
    installed.mask = tsc_trap_mask(installed.mask);
    translated.args[1] = (uint64_t)&installed;
    actions[number] = *given;
    handled |= bit((int)number);
  }
  translated.args[2] = (uint64_t)&old;
  int64_t result = raw_syscall4(SYS_rt_sigaction, number, translated.args[1], (uint64_t)&old, MASK_SIZE);
  if (result == 0 && given && !is_handled)
    handler_gone((int)number, given->handler == 0);
  engine.handles_signals = handled != 0 || engine.threaded;
  if (result == 0 && call->args[2])
    raw_copy((void *)call->args[2], was_handled ? &before : &old, sizeof old);
  return result;
}

/* No handler runs in it that replay would run in the next call: it has no entry. */
static int64_t set_mask(struct call *call)
{
  return raw_syscall4(SYS_rt_sigprocmask, call->args[0], call->args[1], call->args[2], call->args[3]);
}

/* Where there are handlers, a change of the mask has an entry. Of several threads another one may have set up the first handler
 * meanwhile: in replay the entries tell. */
static bool replays_among_threads(void)
{
  return engine.threaded && !engine_live();
}

/* Where it unblocks a signal that is pending, that one comes before it returns. */
int64_t handle_sigmask(struct call *call)
{
  note_kept_off();
  bool plain = !call->args[1] || call->args[0] == SIG_BLOCK || (replays_among_threads() ? !signals_tell_next(call->id, handled != 0) : !handled);
  if (engine.tsc_trapped && call->args[3] == MASK_SIZE)
    return tsc_trap_sigmask(call, plain ? set_mask : local_mask);
  if (!plain)
    return local_mask(call);
  call->frame->raw = FRAME_PLAIN;
  return 0;
}
