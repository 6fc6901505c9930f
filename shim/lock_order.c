/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/lock_order.h"

#include "shim/symbols.h"

struct lock_real lock_real_functions;

/* Two threads that come here together store the same. The first of the list tells that all are known. */
void lock_real_find(void)
{
  lock_function *first = NULL;
  struct symbol_wanted wanted[] = {
#define LOCK_FUNCTION(type, name) {#name, (void **)&lock_real_functions.name},
#include "shim/lock_functions.def"
#undef LOCK_FUNCTION
  };
  wanted[0].place = (void **)&first;
  symbols_behind_shim(wanted, sizeof wanted / sizeof *wanted);
  __atomic_store_n(&lock_real_functions.pthread_mutex_lock, first, __ATOMIC_RELEASE);
}

static const struct call_shape lock_shape = {.class = CALL_CLASS_OBSERVE};

/* On the engine's stack, like what a system call does: else it would show through on the program's. */
static void begin(void *argument)
{
  struct lock_turn *turn = argument;
  if (!engine_live()) {
    turn->entry = replay_take(&turn->call, JOURNAL_COMPLETE);
    if (turn->entry) {
      turn->replays = true;
      turn->result = turn->entry->result;
      return;
    }
  }
  crash_point();
}

bool lock_begin(struct lock_turn *turn, unsigned id, const void *lock, enum lock_way way)
{
  turn->call = (struct call){.id = (uint16_t)id, .shape = &lock_shape};
  /* Where the lock lies is told to people, and not compared: threads that share memory with malloc() may have got it in
   * another order. */
  turn->call.signature = hash_mix(id, way) | 1;
  turn->args[0] = (uint64_t)lock;
  turn->args[1] = way;
  turn->entry = NULL;
  turn->replays = false;
  engine_stack_run(begin, turn);
  return turn->replays;
}

static void record(void *argument)
{
  const struct lock_turn *turn = argument;
  struct draft draft;
  crash_point();
  draft_begin(&draft, &turn->call, JOURNAL_COMPLETE, turn->result);
  draft.tail.args = turn->args;
  draft.tail.arg_count = 2;
  draft_append(&draft);
}

void lock_end_keeping(struct lock_turn *turn, int64_t result, bool keeps)
{
  if (turn->replays) {
    if (keeps)
      replay_keep(turn->entry);
    else
      replay_advance(turn->entry);
    return;
  }
  turn->result = result;
  engine_stack_run(record, turn);
}

static void yield(void *argument)
{
  (void)argument;
  replay_yield();
}

void lock_given_up(void)
{
  engine_stack_run(yield, NULL);
}

/* ---- cancellation ---- */

static void cancelled(void *argument)
{
  lock_rests();
  lock_end(argument, LOCK_CANCELLED);
}

void lock_works_cancellable(struct lock_turn *turn, struct _pthread_cleanup_buffer *buffer)
{
  lock_real()->_pthread_cleanup_push(buffer, cancelled, turn);
  lock_works();
}

void lock_rests_uncancelled(struct _pthread_cleanup_buffer *buffer)
{
  lock_rests();
  lock_real()->_pthread_cleanup_pop(buffer, 0);
}

static void rest(void *unused)
{
  (void)unused;
  lock_rests();
}

void lock_cancelled_again(void)
{
  struct _pthread_cleanup_buffer buffer;
  lock_real()->_pthread_cleanup_push(&buffer, rest, NULL);
  lock_works();
  lock_real()->pthread_testcancel();
  lock_rests_uncancelled(&buffer);
}

/* ---- a whole call ---- */

static void begin_taking(const struct lock_taking *taking, struct lock_turn *turn, struct _pthread_cleanup_buffer *buffer)
{
  if (taking->cancellable)
    lock_works_cancellable(turn, buffer);
  else
    lock_works();
}

static void end_taking(const struct lock_taking *taking, struct lock_turn *turn, struct _pthread_cleanup_buffer *buffer, int result)
{
  if (taking->cancellable)
    lock_rests_uncancelled(buffer);
  else
    lock_rests();
  lock_end(turn, result);
}

static bool took(const struct lock_taking *taking, int64_t result)
{
  return result == 0 || result == taking->also;
}

/* Replay: takes what was taken then, as soon as the one that had it has given it up. */
static int again(const struct lock_taking *taking, void *lock, struct lock_turn *turn)
{
  int result = (int)turn->result;
  if (took(taking, result)) {
    lock_works();
    int now = taking->wait(lock);
    lock_rests();
    if (!took(taking, now))
      engine_failed(TAIL_REPORT_FAILED, "a lock that a thread had taken cannot be taken again: ",
                    call_shape_name(taking->id), now);
  }
  /* One that has it will rest when it gives it up. */
  lock_end_keeping(turn, result, took(taking, result));
  if (!took(taking, result))
    lock_given_up();
  if (taking->cancellable && result == LOCK_CANCELLED)
    lock_cancelled_again();
  return result;
}

int lock_take_ordered(const struct lock_taking *taking, void *lock, lock_function *take)
{
  struct lock_turn turn;
  struct _pthread_cleanup_buffer buffer;
  if (lock_begin(&turn, taking->id, lock, taking->way))
    return again(taking, lock, &turn);
  begin_taking(taking, &turn, &buffer);
  int result = take(lock);
  end_taking(taking, &turn, &buffer, result);
  return result;
}

int lock_take_until_ordered(const struct lock_taking *taking, void *lock, lock_function_until *take, const struct timespec *until)
{
  struct lock_turn turn;
  struct _pthread_cleanup_buffer buffer;
  if (lock_begin(&turn, taking->id, lock, taking->way))
    return again(taking, lock, &turn);
  begin_taking(taking, &turn, &buffer);
  int result = take(lock, until);
  end_taking(taking, &turn, &buffer, result);
  return result;
}

int lock_take_clock_ordered(const struct lock_taking *taking, void *lock, lock_function_clock *take, clockid_t clock,
                            const struct timespec *until)
{
  struct lock_turn turn;
  struct _pthread_cleanup_buffer buffer;
  if (lock_begin(&turn, taking->id, lock, taking->way))
    return again(taking, lock, &turn);
  begin_taking(taking, &turn, &buffer);
  int result = take(lock, clock, until);
  end_taking(taking, &turn, &buffer, result);
  return result;
}
