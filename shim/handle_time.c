/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, sleeping, timers. A resumed sleep waits only for what is left of it: by the boot clock, or,
 * after a reboot, by the wall clock, and never longer than was asked for. */
#include "shim/descriptors.h"
#include "shim/signals.h"
#include "shim/vdso.h"

#include <errno.h>
#include <linux/futex.h>
#include <time.h>

#define SECOND 1000000000ull

static uint64_t nanoseconds(const struct timespec *time)
{
  return (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
  return (struct timespec){(time_t)(ns / SECOND), (long)(ns % SECOND)};
}

/* ---- clocks ---- */

/* The vDSO's own code where it was redirected, the call otherwise; both mean the same to the journal. */
static int64_t clock_live(const struct call *call)
{
  if (!engine.tsc_trapped && call->id == SYS_clock_gettime && engine.clock_original)
    return (int64_t)(int)engine.clock_original((int)call->args[0], (void *)call->args[1]);
  return call_run(call);
}

int64_t handle_clock(struct call *call)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = replay_deliver(call, entry);
      replay_advance(entry);
      return result;
    }
  }
  crash_point();
  int64_t result = clock_live(call);
  crash_point();
  record_complete(call, result);
  return result;
}

/* Without it, programs ask the kernel. */
int64_t vdso_getrandom(void *bytes, size_t size, unsigned flags, void *state, size_t state_size)
{
  return -ENOSYS;
}

/* ---- sleeping ---- */

#define TIMER_ABSTIME 1

struct sleeping {
  int clock;
  bool absolute;
  const struct timespec *wanted;
  struct timespec *rest;
};

static struct sleeping sleeping_of(const struct call *call)
{
  if (call->id == SYS_nanosleep)
    return (struct sleeping){CLOCK_MONOTONIC, false, (const struct timespec *)call->args[0],
                             (struct timespec *)call->args[1]};
  return (struct sleeping){(int)call->args[0], call->args[1] & TIMER_ABSTIME,
                           (const struct timespec *)call->args[2], (struct timespec *)call->args[3]};
}

static struct journal_deadline new_deadline(const struct sleeping *sleeping)
{
  uint64_t wanted = nanoseconds(sleeping->wanted);
  if (sleeping->absolute) {
    uint64_t now = engine_clock_ns(sleeping->clock);
    wanted = wanted > now ? wanted - now : 0;
  }
  struct journal_deadline deadline = {
      .boot_ns = engine_clock_ns(CLOCK_BOOTTIME) + wanted,
      .real_ns = engine_clock_ns(CLOCK_REALTIME) + wanted,
      .duration_ns = wanted,
  };
  raw_copy(deadline.boot_id, engine.tail.header->boot_id, sizeof deadline.boot_id);
  return deadline;
}

/* How long is left of an earlier attempt's sleep. */
static uint64_t left_of(const struct journal_deadline *deadline)
{
  bool same_boot = raw_equal(deadline->boot_id, engine.tail.header->boot_id, sizeof deadline->boot_id);
  uint64_t end = same_boot ? deadline->boot_ns : deadline->real_ns;
  uint64_t now = engine_clock_ns(same_boot ? CLOCK_BOOTTIME : CLOCK_REALTIME);
  uint64_t left = end > now ? end - now : 0;
  return left < deadline->duration_ns ? left : deadline->duration_ns;
}

static bool valid_sleep(const struct sleeping *sleeping)
{
  return sleeping->wanted && sleeping->wanted->tv_sec >= 0 && sleeping->wanted->tv_nsec >= 0 &&
         sleeping->wanted->tv_nsec < (long)SECOND;
}

/* Only a relative sleep says what is left of it. */
static void record_rest(struct call *call, const struct sleeping *sleeping, int64_t result)
{
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_RESULT, result);
  draft.tail.arg_count = 0;
  unsigned arg = call->id == SYS_nanosleep ? 1 : 3;
  if (result == -EINTR && !sleeping->absolute && sleeping->rest)
    draft_add(&draft, SEGMENT_OUTPUT, arg, sleeping->rest, sizeof *sleeping->rest);
  draft_append(&draft);
}

static int64_t sleep_live(struct call *call, const struct sleeping *sleeping,
                          const struct journal_deadline *deadline)
{
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_DEADLINE, 0, deadline, sizeof *deadline);
  record_intent(&draft, call);
  struct timespec left = timespec_of(left_of(deadline));
  struct call rest = *call;
  if (!sleeping->absolute) {
    rest.id = SYS_clock_nanosleep;
    rest.args[0] = (uint64_t)(call->id == SYS_nanosleep ? CLOCK_MONOTONIC : sleeping->clock);
    rest.args[1] = 0;
    rest.args[2] = (uint64_t)&left;
    rest.args[3] = (uint64_t)sleeping->rest;
  }
  int64_t result = call_run(&rest);
  /* Also where a handler had ended it before it began. */
  if (result == -EINTR && !sleeping->absolute && sleeping->rest)
    *sleeping->rest = timespec_of(left_of(deadline));
  record_rest(call, sleeping, result);
  return result;
}

int64_t handle_sleep(struct call *call)
{
  call_sign(call);
  struct sleeping sleeping = sleeping_of(call);
  if (!valid_sleep(&sleeping))
    return observe(call);
  if (!engine_live()) {
    const struct journal_entry *intent = replay_take(call, JOURNAL_INTENT);
    if (intent && intent->arg_count & JOURNAL_FLAG_UNFINISHED) {
      struct journal_deadline deadline = *(const struct journal_deadline *)journal_find_segment(
                                              intent, SEGMENT_DEADLINE, -1)->data;
      replay_advance(intent);
      replay_to_end(call);
      return sleep_live(call, &sleeping, &deadline);
    }
    if (intent) {
      replay_advance(intent);
      const struct journal_entry *outcome = replay_take(call, JOURNAL_RESULT);
      int64_t result = replay_deliver(call, outcome);
      replay_advance(outcome);
      return result;
    }
  }
  struct journal_deadline deadline = new_deadline(&sleeping);
  return sleep_live(call, &sleeping, &deadline);
}

/* ---- timers ---- */

/* A relative timer is set again for what is left since it was first set. */
int64_t handle_timerfd(struct call *call)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      struct itimerspec again = *(const struct itimerspec *)call->args[2];
      uint64_t wanted = nanoseconds(&again.it_value), now = engine_clock_ns(CLOCK_REALTIME);
      if (wanted && !(call->args[1] & TIMER_ABSTIME)) {
        uint64_t end = entry->time_ns + wanted;
        uint64_t left = end > now + 1 ? end - now : 1;
        again.it_value = timespec_of(left < wanted ? left : wanted);
      }
      raw_syscall4(SYS_timerfd_settime, call->args[0], call->args[1], (uint64_t)&again, 0);
      int64_t result = replay_deliver(call, entry);
      replay_advance(entry);
      return result;
    }
  }
  return observe(call);
}

/* ---- waiting for another thread ---- */

static bool waits(uint64_t operation)
{
  switch (operation & FUTEX_CMD_MASK) {
  case FUTEX_WAIT:
  case FUTEX_WAIT_BITSET:
  case FUTEX_LOCK_PI:
  case FUTEX_LOCK_PI2:
  case FUTEX_WAIT_REQUEUE_PI:
    return true;
  }
  return false;
}

/* Until somebody wakes it, however long that took then. */
static void wait_again(const struct call *call)
{
  struct call untimed = *call;
  untimed.args[3] = 0;
  replay_sleeps(call->args[0]);
  call_run(&untimed);
  replay_sleeps(0);
}

#define LOOK_NS 5000000

/* As the program waits, but for LOOK_NS at most, and by whichever clock it has named. */
static int64_t wait_shortly(const struct call *call)
{
  struct call shortly = *call;
  struct timespec until = {0};
  bool absolute = (call->args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
  if (absolute)
    raw_syscall2(SYS_clock_gettime, call->args[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, (uint64_t)&until);
  until.tv_nsec += LOOK_NS;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  shortly.args[3] = (uint64_t)&until;
  return call_run(&shortly);
}

/* In replay. A handler that ran while the thread slept here runs here again: it may be what ends the sleep; and the others wait
 * for its turn. Nobody can wake the thread for it, so it looks. And where all sleep at the feed's end, what wakes them comes live. */
static int64_t wait_and_handle(const struct call *call)
{
  unsigned operation = call->args[1] & FUTEX_CMD_MASK;
  if (!signals_any_handled() || (operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET))
    return call_run(call);
  for (;;) {
    if (signals_due())
      return -EINTR;
    int64_t result = process_live() ? call_run(call) : wait_shortly(call);
    if (result != -ETIMEDOUT)
      return result;
    replay_ends_asleep();
  }
}

/* Threads wake each other in replay as they did; but whether one had to wait too long, time tells. */
static int64_t wait_until(struct call *call)
{
  call->signature = hash_mix(SYS_futex, call->args[1]) | 1;
  if (!engine_live()) {
    const struct journal_entry *entry = replay_own_next();
    if (entry && entry->call == SYS_futex && entry->result == 0)
      wait_again(call);
    entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = entry->result;
      replay_advance(entry);
      return result;
    }
  }
  crash_point();
  int64_t result = call_run(call);
  crash_point();
  record_complete(call, result);
  return result;
}

/* In replay all are woken, and the turn tells who goes on. */
static int64_t wake(struct call *call)
{
  if (engine_live())
    return call_run(call);
  switch (call->args[1] & FUTEX_CMD_MASK) {
  case FUTEX_WAKE_OP:
    call->args[3] = INT32_MAX;
    replay_wakes(call->args[4]);
    /* fall through */
  case FUTEX_WAKE:
  case FUTEX_WAKE_BITSET:
    call->args[2] = INT32_MAX;
    replay_wakes(call->args[0]);
    break;
  case FUTEX_UNLOCK_PI:
    replay_wakes(call->args[0]);
    break;
  }
  return call_run(call);
}

int64_t handle_futex(struct call *call)
{
  if (!waits(call->args[1]))
    return wake(call);
  /* A lock's own entry says whether it was waited for too long. */
  if (call->args[3] && !engine_thread.locking)
    return wait_until(call);
  if (engine_live())
    return call_run(call);
  replay_sleeps(call->args[0]);
  int64_t result = wait_and_handle(call);
  replay_sleeps(0);
  return result;
}

int64_t handle_yield(struct call *call)
{
  if (engine_live() || !engine.threaded)
    return call_run(call);
  replay_sleeps(UINT64_MAX);
  int64_t result = call_run(call);
  replay_sleeps(0);
  return result;
}
