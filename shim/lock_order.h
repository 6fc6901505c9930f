/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes a lock first, and whom a condition wakes: the order of threads that no system call shows.
 *
 * The program's functions of POSIX threads come here (shim/lock_*.c). While the process has a second thread, each that
 * takes something has an entry: COMPLETE, appended when the thread has what it took and before it can give it up. So
 * the entries of one lock lie in the journal in the order in which it was taken. In replay a thread waits for its entry's turn
 * before it takes the lock; who fails to (EBUSY, ETIMEDOUT) is told so again without trying. What only gives up has no entry.
 *
 * No wait is without end: whoever has an entry to come can get there, since the one that held the lock before gave it
 * up without a place in the journal that lies behind. A thread whose entries are used up takes its lock when all
 * others have theirs, and then the process is live.
 *
 * Killed between taking and the entry: the thread had it alone until then, so nothing in the journal rests on it; the next
 * attempt takes the lock live, in any order.
 */
#ifndef PERDURE_SHIM_LOCK_ORDER_H
#define PERDURE_SHIM_LOCK_ORDER_H

#include "shim/engine.h"
#include "shim/unjournaled.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define LOCK_HOOK __attribute__((visibility("default")))

/* How a function goes about it; the second argument of its entry. */
enum lock_way {
  LOCK_WAITS = 0,
  LOCK_TRIES = 1,
  LOCK_WAITS_UNTIL = 2,
};

typedef int lock_function(void *lock);
typedef int lock_function_until(void *lock, const struct timespec *until);
typedef int lock_function_clock(void *lock, clockid_t clock, const struct timespec *until);
typedef int lock_function_pair(void *condition, void *mutex);
typedef int lock_function_pair_until(void *condition, void *mutex, const struct timespec *until);
typedef int lock_function_pair_clock(void *condition, void *mutex, clockid_t clock, const struct timespec *until);
typedef int lock_function_value(void *lock, int *ret_value);
typedef int lock_function_barrier(void *barrier, const void *attributes, unsigned count);
typedef int lock_function_once(void *control, void (*routine)(void));
typedef int lock_function_create(uint64_t *ret_thread, const void *attributes, void *(*run)(void *), void *argument);
typedef int lock_function_join(uint64_t thread, void **ret_result);
typedef int lock_function_join_until(uint64_t thread, void **ret_result, const struct timespec *until);
typedef int lock_function_join_clock(uint64_t thread, void **ret_result, clockid_t clock, const struct timespec *until);
typedef int lock_function_c11_create(uint64_t *ret_thread, void *run, void *argument);
typedef int lock_function_cancel(uint64_t thread);
typedef void lock_function_test(void);
typedef int lock_function_state(int state, int *ret_before);
typedef void lock_function_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *), void *argument);
typedef void lock_function_pop(struct _pthread_cleanup_buffer *buffer, int execute);
typedef int *lock_function_errno(void);

/* The functions behind the hooks. */
struct lock_real {
#define LOCK_FUNCTION(type, name) type *name;
#include "shim/lock_functions.def"
#undef LOCK_FUNCTION
};
extern struct lock_real lock_real_functions;
void lock_real_find(void);

static inline const struct lock_real *lock_real(void)
{
  if (__builtin_expect(!lock_real_functions.pthread_mutex_lock, 0))
    lock_real_find();
  return &lock_real_functions;
}

/* What one call takes. */
struct lock_turn {
  struct call call;
  uint64_t args[2]; /* the lock's address, the way */
  const struct journal_entry *entry; /* replay: what is recorded */
  int64_t result;   /* replay: as it was */
  bool replays;
};

/* Is what this thread takes journaled? Only while the process has other threads that are, and not what a function takes for itself
 * whose entry says what came of it. */
static inline bool lock_ordered(void)
{
  return __builtin_expect(atomic_load_explicit(&engine.other_threads, memory_order_relaxed) != 0, 0) &&
         !engine_thread.passing && !engine_thread.locking && !unjournaled_all();
}

/* Begins a call of that id. True: replay; it is this thread's turn, until lock_end(), and turn->result is what came of
 * it. False: live. */
bool lock_begin(struct lock_turn *turn, unsigned id, const void *lock, enum lock_way way);
/* In replay the others go on, or where the thread has taken something (`keeps`) when it comes to its next call; live, appends the
 * entry. */
void lock_end_keeping(struct lock_turn *turn, int64_t result, bool keeps);
static inline void lock_end(struct lock_turn *turn, int64_t result)
{
  lock_end_keeping(turn, result, false);
}
/* The thread has given something up: in replay it rests here until it may go on. */
void lock_given_up(void);

/* What the thread does in the kernel within real functions is a part of them. */
static inline void lock_works(void)
{
  engine_thread.locking++;
}
static inline void lock_rests(void)
{
  engine_thread.locking--;
}

/* The same in a function in which a thread may be cancelled: its entry is then that it was, and lies before what its cleanups do. */
void lock_works_cancellable(struct lock_turn *turn, struct _pthread_cleanup_buffer *buffer);
void lock_rests_uncancelled(struct _pthread_cleanup_buffer *buffer);
#define LOCK_CANCELLED ECANCELED
/* Replay: the thread was cancelled here, and is again. */
void lock_cancelled_again(void);

/* A whole call that takes `lock` by `take`, or fails. `wait` takes it in replay, where it may not be free yet. Results
 * that took: 0, and `also`. */
struct lock_taking {
  unsigned id;
  enum lock_way way;
  lock_function *wait;
  int also;
  bool cancellable;
};
/* Replay: waits until this thread has a mutex. */
int lock_mutex_again(void *mutex);
int lock_take_ordered(const struct lock_taking *taking, void *lock, lock_function *take);
int lock_take_until_ordered(const struct lock_taking *taking, void *lock, lock_function_until *take, const struct timespec *until);
int lock_take_clock_ordered(const struct lock_taking *taking, void *lock, lock_function_clock *take, clockid_t clock,
                            const struct timespec *until);

static inline int lock_take(const struct lock_taking *taking, void *lock, lock_function *take)
{
  return lock_ordered() ? lock_take_ordered(taking, lock, take) : take(lock);
}
static inline int lock_take_until(const struct lock_taking *taking, void *lock, lock_function_until *take,
                                  const struct timespec *until)
{
  return lock_ordered() ? lock_take_until_ordered(taking, lock, take, until) : take(lock, until);
}
static inline int lock_take_clock(const struct lock_taking *taking, void *lock, lock_function_clock *take, clockid_t clock,
                                  const struct timespec *until)
{
  return lock_ordered() ? lock_take_clock_ordered(taking, lock, take, clock, until) : take(lock, clock, until);
}

/* Gives it up by `give`. */
static inline int lock_give(void *lock, lock_function *give)
{
  if (!lock_ordered() || engine_live())
    return give(lock);
  int result = give(lock);
  lock_given_up();
  return result;
}

#endif
