/* SPDX-License-Identifier: Apache-2.0 */
/* alarm, setitimer, timer_create, timer_settime, timer_delete.
 *
 * A timer that is set in replay would go off in the middle of it, where it did not. So setting one is only
 * noted there; when replay ends, those that had not gone off are set for what is left. One that did go off
 * before the crash is over. Killed at any line, the kernel has forgotten them, and the next attempt notes
 * them again. */
#include "shim/timers.h"

#include "shim/engine.h"
#include "shim/identity.h"
#include "shim/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define SECOND 1000000000ull
/* The call at which replay ended may be the one that waits for the signal: it has to have begun. */
#define LEFT_MIN_NS 10000000ull
#define NOTED_MAX 256
#define INTERVAL_TIMERS 3 /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */

/* A timer that the program has set: one of setitimer's, by its number, or one of timer_create's behind them. */
struct noted {
  const struct journal_entry *set; /* in the feed; NULL: not set */
  uint64_t value_ns, interval_ns;
  int32_t clock, signal;
  bool absolute;
};

LARGE_TABLE static struct noted noted[NOTED_MAX];

/* What timer_create was told. */
static struct made {
  int32_t clock, signal;
} made_timers[NOTED_MAX] LARGE_TABLE;
static bool in_use; /* either of them */

static uint64_t nanoseconds(const struct timespec *time)
{
  return (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
  return (struct timespec){(time_t)(ns / SECOND), (long)(ns % SECOND)};
}

static uint64_t microseconds(const struct timeval *time)
{
  return (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_usec * 1000;
}

/* A timer that goes off at once would not go off at all with 0. */
static struct timeval timeval_of(uint64_t ns)
{
  uint64_t us = (ns + 999) / 1000;
  return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

/* ---- replay ---- */

static struct noted *noted_of(unsigned place)
{
  if (place >= NOTED_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more timers are set than can be set again", "", NOTED_MAX);
  return &noted[place];
}

static void note(unsigned place, const struct noted *timer)
{
  in_use = true;
  *noted_of(place) = timer->value_ns ? *timer : (struct noted){0};
}

static void note_alarm(const struct call *call, const struct journal_entry *entry)
{
  note(ITIMER_REAL, &(struct noted){
                        .set = entry, .value_ns = (uint32_t)call->args[0] * SECOND, .signal = SIGALRM});
}

static const int32_t interval_signals[INTERVAL_TIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};

static void note_interval_timer(const struct call *call, const struct journal_entry *entry)
{
  const struct itimerval *value = (const struct itimerval *)call->args[1];
  if (call->args[0] >= INTERVAL_TIMERS)
    return;
  note((unsigned)call->args[0], &(struct noted){
                                    .set = value ? entry : NULL,
                                    .value_ns = value ? microseconds(&value->it_value) : 0,
                                    .interval_ns = value ? microseconds(&value->it_interval) : 0,
                                    .signal = interval_signals[call->args[0]],
                                });
}

static void note_posix_timer(const struct call *call, const struct journal_entry *entry)
{
  const struct itimerspec *value = (const struct itimerspec *)call->args[2];
  unsigned place = (unsigned)call->args[0];
  noted_of(INTERVAL_TIMERS + place);
  note(INTERVAL_TIMERS + place, &(struct noted){
                                    .set = entry,
                                    .value_ns = nanoseconds(&value->it_value),
                                    .interval_ns = nanoseconds(&value->it_interval),
                                    .clock = made_timers[place].clock,
                                    .signal = made_timers[place].signal,
                                    .absolute = call->args[1] & TIMER_ABSTIME,
                                });
}

int64_t handle_timer_set(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return observe(call);
  int64_t result = replay_deliver(call, entry);
  if (call->id == SYS_alarm)
    note_alarm(call, entry);
  else if (result == 0 && call->id == SYS_setitimer)
    note_interval_timer(call, entry);
  else if (result == 0)
    note_posix_timer(call, entry);
  replay_advance(entry);
  return result;
}

/* It is made in replay too, where the kernel gives it the same number. */
int64_t handle_timer_make(struct call *call)
{
  struct sigevent event;
  call_sign(call);
  struct call translated = *call;
  if (call->args[1]) {
    raw_copy(&event, (const void *)call->args[1], sizeof event);
    if (event.sigev_notify == SIGEV_THREAD_ID)
      event._sigev_un._tid = (int32_t)identity_real(event._sigev_un._tid);
    translated.args[1] = (uint64_t)&event;
  }
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    crash_point();
  int64_t result = call_run(&translated);
  const int32_t *number = (const int32_t *)call->args[2];
  if (!entry) {
    crash_point();
    record_complete(call, result);
    return result;
  }
  int32_t made = result == 0 ? *number : -1;
  replay_deliver(call, entry);
  if (result != entry->result || (result == 0 && made != *number))
    engine_failed(TAIL_REPORT_FAILED, "a timer cannot be made again as it was", "", result);
  if (result == 0 && made >= 0 && made < NOTED_MAX) {
    in_use = true;
    made_timers[made] = (struct made){(int32_t)call->args[0], call->args[1] ? event.sigev_signo : SIGALRM};
  }
  replay_advance(entry);
  return result;
}

int64_t handle_timer_delete(struct call *call)
{
  if (!engine_live() && call->args[0] < NOTED_MAX - INTERVAL_TIMERS)
    noted[INTERVAL_TIMERS + call->args[0]].set = NULL;
  return local(call);
}

/* ---- going live ---- */

/* Entries' times are coarse, and a moment passes between a signal and the call that tells of it. */
#define SLACK_NS 10000000ull

/* Does the entry say that the signal came, or did its call come back because of it? */
static bool tells(const struct journal_entry *entry, int32_t signal)
{
  return signals_told(entry, signal) || (entry->kind != JOURNAL_SIGNAL && entry->result == -EINTR);
}

/* When it goes off next by the wall clock; 0: it has gone off for the last time. A signal that the journal
 * does not tell of has come when it was long due, if it could: one that is blocked was still pending. */
static uint64_t next_ns(const struct noted *timer)
{
  uint64_t end = timer->absolute ? engine_clock_ns(CLOCK_REALTIME) + timer->value_ns - engine_clock_ns(timer->clock)
                                 : timer->set->time_ns + timer->value_ns;
  bool waits = signals_blocked(timer->signal);
  for (uint64_t offset = feed_offset(timer->set); offset < engine.feed->entries_end;) {
    const struct journal_entry *entry = feed_at(offset);
    offset += entry->size;
    bool others = !engine.threaded && entry->stream != engine_thread.stream;
    if (others || (entry->call == CALL_ID_JOURNAL && entry->kind != JOURNAL_SIGNAL))
      continue;
    bool told = entry != timer->set && entry->time_ns + SLACK_NS >= end && tells(entry, timer->signal);
    if (!told && (waits || entry->time_ns < end + SLACK_NS))
      continue;
    if (!timer->interval_ns)
      return 0;
    end += told ? timer->interval_ns : 0;
    if (!waits && entry->time_ns >= end + SLACK_NS)
      end += ((entry->time_ns - end) / timer->interval_ns + 1) * timer->interval_ns;
  }
  return end;
}

static void set_again(unsigned place, const struct noted *timer)
{
  bool of_processor = place == ITIMER_VIRTUAL || place == ITIMER_PROF;
  uint64_t now = engine_clock_ns(CLOCK_REALTIME), left = timer->value_ns;
  if (!of_processor) {
    uint64_t next = next_ns(timer);
    if (!next)
      return;
    left = next > now + LEFT_MIN_NS ? next - now : LEFT_MIN_NS;
  }
  if (place < INTERVAL_TIMERS) {
    const struct itimerval value = {timeval_of(timer->interval_ns), timeval_of(left)};
    raw_syscall3(SYS_setitimer, place, (uint64_t)&value, 0);
  } else {
    const struct itimerspec value = {timespec_of(timer->interval_ns), timespec_of(left)};
    raw_syscall4(SYS_timer_settime, place - INTERVAL_TIMERS, 0, (uint64_t)&value, 0);
  }
}

void timers_go_live(void)
{
  for (unsigned i = 0; i < NOTED_MAX; i++) {
    if (!noted[i].set)
      continue;
    const struct noted timer = noted[i];
    noted[i].set = NULL;
    set_again(i, &timer);
  }
}

void timers_of_child(void)
{
  if (!in_use)
    return;
  in_use = false;
  raw_fill(noted, 0, sizeof noted);
  raw_fill(made_timers, 0, sizeof made_timers);
}
