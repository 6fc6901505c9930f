/* SPDX-License-Identifier: Apache-2.0 */
/* pthread_once: which thread runs the routine. Its entry lies before what the routine does, that of a thread which waits until it is
 * done, behind. A thread that finds it done has none: in replay it waits until it is, if it comes too early. */
#include "shim/lock_order.h"
#include "shim/symbols.h"

#include <pthread.h>

enum { WAITED = 0, RAN_IT = 1 };

#define DONE 2              /* in libc's control */
#define REST_NS 50000       /* between two looks whether it is */
#define PATIENCE_NS 1000000000ull

/* The call that this thread is in. */
struct once_call {
  struct lock_turn *turn;
  void (*routine)(void);
  bool ran;
};
static __thread struct once_call *current __attribute__((tls_model("initial-exec")));

/* In the routine's stead: this thread is the one. */
static void run_recorded(void)
{
  struct once_call *call = current;
  call->ran = true;
  lock_rests();
  lock_end(call->turn, RAN_IT);
  call->routine();
  lock_works();
}

static bool is_done(pthread_once_t *control)
{
  return __atomic_load_n(control, __ATOMIC_ACQUIRE) & DONE;
}

/* Replay: is it found done, as it was, without an entry? */
static bool found_done(pthread_once_t *control)
{
  replay_pass_on();
  const struct journal_entry *next = replay_own_next();
  if (next && next->call == CALL_ID_ONCE && next->args[0] == (uint64_t)control)
    return false;
  uint64_t end_ns = engine_clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
  replay_sleeps(UINT64_MAX);
  /* Without an entry to come it may be the next call that the journal does not have. */
  while (!is_done(control) && (next ? engine_clock_ns(CLOCK_MONOTONIC) < end_ns : !replay_used_up()))
    engine_nap(REST_NS);
  replay_sleeps(0);
  return next || is_done(control);
}

/* What the unwinder makes ready for itself, when the first thread is cancelled or the first exception thrown: in the middle of a
 * call that has no end, or before its entry. It makes no calls. */
static bool is_unwinders(pthread_once_t *control, void (*routine)(void))
{
  return !is_done(control) && symbols_lie_in("libgcc_s", (const void *)routine);
}

static int once_again(struct lock_turn *turn, pthread_once_t *control, void (*routine)(void))
{
  bool runs = turn->result == RAN_IT;
  if (runs)
    lock_end(turn, RAN_IT);
  else
    lock_works();
  int result = lock_real()->pthread_once(control, routine);
  if (!runs) {
    lock_rests();
    lock_end(turn, WAITED);
  }
  lock_given_up();
  return result;
}

LOCK_HOOK int pthread_once(pthread_once_t *control, void (*routine)(void))
{
  struct lock_turn turn;
  if (!lock_ordered() || is_unwinders(control, routine) || (engine_live() ? is_done(control) : found_done(control)))
    return lock_real()->pthread_once(control, routine);
  if (lock_begin(&turn, CALL_ID_ONCE, control, LOCK_WAITS))
    return once_again(&turn, control, routine);
  struct once_call call = {.turn = &turn, .routine = routine}, *outer = current;
  current = &call;
  lock_works();
  int result = lock_real()->pthread_once(control, run_recorded);
  lock_rests();
  current = outer;
  if (!call.ran)
    lock_end(&turn, WAITED);
  return result;
}
