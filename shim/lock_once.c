/* SPDX-License-Identifier: Apache-2.0 */
/* pthread_once: which thread runs the routine. Its entry lies before what the routine does, that of a thread which finds it done,
 * or waits until it is, behind. */
#include "shim/lock_order.h"

#include <pthread.h>

enum { FOUND_DONE = 0, RAN_IT = 1 };

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

LOCK_HOOK int pthread_once(pthread_once_t *control, void (*routine)(void))
{
  struct lock_turn turn;
  if (!lock_ordered())
    return lock_real()->pthread_once(control, routine);
  if (lock_begin(&turn, CALL_ID_ONCE, control, LOCK_WAITS)) {
    bool runs = turn.result == RAN_IT;
    if (runs)
      lock_end(&turn, RAN_IT);
    else
      lock_works();
    int result = lock_real()->pthread_once(control, routine);
    if (!runs) {
      lock_rests();
      lock_end(&turn, FOUND_DONE);
    }
    lock_given_up();
    return result;
  }
  struct once_call call = {.turn = &turn, .routine = routine}, *outer = current;
  current = &call;
  lock_works();
  int result = lock_real()->pthread_once(control, run_recorded);
  lock_rests();
  current = outer;
  if (!call.ran)
    lock_end(&turn, FOUND_DONE);
  return result;
}
