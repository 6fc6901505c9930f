/* SPDX-License-Identifier: Apache-2.0 */
/* Where all calls arrive: the table's row decides, a handler does what the row cannot say.
 *
 * The three classes that need no code of their own are here. Killed at any line: what has run and is
 * not in the journal yet is an observation (made again), or a change whose intent is there. */
#include "shim/engine.h"

#include "shim/identity.h"
#include "shim/number_lock.h"
#include "shim/passing.h"
#include "shim/processes.h"
#include "shim/unjournaled.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define INPUT_LENGTH_MAX 0x7ffff000u /* of one read or write, in Linux */

struct engine engine;
__thread struct thread engine_thread __attribute__((tls_model("initial-exec")));

static int64_t refuse(struct call *call)
{
  return -ENOSYS;
}

static int64_t pass(struct call *call)
{
  return call_run(call);
}

#define NONE CALL_ARG_NONE
#define VAL CALL_ARG_VAL
#define FD CALL_ARG_FD
#define DIRFD CALL_ARG_DIRFD
#define PATH CALL_ARG_PATH
#define STR CALL_ARG_STR
#define PID CALL_ARG_PID
#define CLOCK CALL_ARG_CLOCK
#define ADDR CALL_ARG_ADDR
#define IN(n) CALL_ARG_IN(n)
#define IN_ARG(k, n) CALL_ARG_IN_ARG(k, n)
#define IN_IOV(k) CALL_ARG_IN_IOV(k)
#define OUT(n) CALL_ARG_OUT(n)
#define OUT_RESULT(n) CALL_ARG_OUT_RESULT(n)
#define OUT_ARG(k, n) CALL_ARG_OUT_ARG(k, n)
#define OUT_IOV(k) CALL_ARG_OUT_IOV(k)
#define OUT_VALUE(k) CALL_ARG_OUT_VALUE(k)
#define INOUT_ARG(k, n) CALL_ARG_INOUT_ARG(k, n)

#define handle_generic NULL
static call_handler *const handlers[] = {
#define HANDLER(name, looks_at) [HANDLER_##name] = handle_##name,
#include "shim/handlers.def"
#undef HANDLER
};
#undef handle_generic

static call_handler *const class_handlers[] = {
    [CALL_CLASS_PASS] = pass,
    [CALL_CLASS_LOCAL] = local,
    [CALL_CLASS_OBSERVE] = observe,
    [CALL_CLASS_CHANGE_LOCAL] = handle_change,
    [CALL_CLASS_CHANGE_REMOTE] = handle_remote,
    [CALL_CLASS_PROCESS] = observe,
    [CALL_CLASS_REFUSE] = refuse,
};

/* What is no system call (ids above the last) folds into one cell past the end that is never looked up. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
const struct call_shape call_shapes[CALL_ID_SYSTEM_MAX + 1] = {
#define CALL(id, name, CLASS, handler_name, arguments, why, tested) \
  [(id) <= CALL_ID_SYSTEM_MAX ? (id) : CALL_ID_SYSTEM_MAX] = {      \
      .handler = HANDLER_##handler_name,                           \
      .class = CALL_CLASS_##CLASS,                                 \
      .known = 1,                                                  \
      .args = arguments,                                           \
  },
#define ARGS(a, b, c, d, e, f) {a, b, c, d, e, f}
#include "shim/calls.def"
#undef ARGS
#undef CALL
};

/* How many arguments a row has: an entry holds that many. */
const uint8_t call_arg_counts[CALL_ID_SYSTEM_MAX + 1] = {
#define CALL(id, name, CLASS, handler_name, arguments, why, tested) \
  [(id) <= CALL_ID_SYSTEM_MAX ? (id) : CALL_ID_SYSTEM_MAX] = arguments,
#define ARGS(a, b, c, d, e, f) \
  (f) != NONE ? 6 : (e) != NONE ? 5 : (d) != NONE ? 4 : (c) != NONE ? 3 : (b) != NONE ? 2 : (a) != NONE
#include "shim/calls.def"
#undef ARGS
#undef CALL
};

#define NAME_ROOM 24
static const char call_names[CALL_ID_SYSTEM_MAX + 1][NAME_ROOM] = {
#define CALL(id, name, CLASS, handler_name, arguments, why, tested) \
  [(id) <= CALL_ID_SYSTEM_MAX ? (id) : CALL_ID_SYSTEM_MAX] = #name,
#include "shim/calls.def"
#undef CALL
};

/* Named functions; the first cell is where all other rows fold. */
static const char function_names[CALL_ID_NAMED_LAST - CALL_ID_NAMED_FIRST + 2][NAME_ROOM] = {
#define CALL(id, name, CLASS, handler_name, arguments, why, tested) \
  [(id) >= CALL_ID_NAMED_FIRST ? (id) - CALL_ID_NAMED_FIRST + 1 : 0] = #name,
#include "shim/calls.def"
#undef CALL
};

#pragma GCC diagnostic pop

const unsigned call_shape_count = CALL_ID_SYSTEM_MAX;

const char *call_shape_name(unsigned id)
{
  if (id >= CALL_ID_NAMED_FIRST && id <= CALL_ID_NAMED_LAST)
    return function_names[id - CALL_ID_NAMED_FIRST + 1];
  return id < CALL_ID_SYSTEM_MAX && call_names[id][0] ? call_names[id] : "rdtsc";
}

int64_t engine_enter(struct engine_frame *frame)
{
  if (__builtin_expect(!engine_stack_top, 0))
    engine_stack_make();
  if (__builtin_expect(engine_thread.keeps != 0, 0))
    replay_pass_on();
  uint64_t number = frame->rax;
  if (number >= call_shape_count)
    return -ENOSYS;
  const struct call_shape *shape = &call_shapes[number];
  if (!shape->known)
    return -ENOSYS;
  call_handler *handler = handlers[shape->handler];
  if (!handler) {
    if (shape->class == CALL_CLASS_PASS) {
      frame->raw = FRAME_PLAIN;
      return 0;
    }
    handler = class_handlers[shape->class];
  }
  if (engine_thread.passing)
    return shape->class == CALL_CLASS_REFUSE ? -ENOSYS : passing_enter(frame);
  int64_t result;
  if (__builtin_expect(engine_thread.persistence, 0) && unjournaled_enter(frame, shape, handler, &result))
    return result;
  struct call call = {.shape = shape, .id = (uint16_t)number, .frame = frame};
  for (int i = 0; i < 6; i++)
    call.args[i] = frame->args[i];
  result = handler(&call);
  if (__builtin_expect(engine.threaded, 0) && frame->raw == FRAME_DONE && !engine_live())
    replay_yield();
  return result;
}

void crash_point(void)
{
  struct tail_header *header = engine.tail.header;
  if (!process_live())
    return;
  /* Two atomic additions for each call would cost every run a quarter of what a clock reading does. */
  if (__builtin_expect(!header->crash_at, 1)) {
    _Atomic uint64_t *own = &engine.process->crash_points;
    atomic_store_explicit(own, atomic_load_explicit(own, memory_order_relaxed) + 1, memory_order_relaxed);
    return;
  }
  uint64_t passed = atomic_fetch_add_explicit(&header->crash_points, 1, memory_order_relaxed) + 1;
  if (engine_left())
    return;
  if (passed != header->crash_at)
    return;
  /* The supervisor first: nothing may still be drained or tidied by it. Before the mark too: another thread that
   * finds it kills this process, and who has not killed the supervisor by then never does. */
  raw_syscall2(SYS_kill, (uint64_t)header->supervisor_pid, SIGKILL);
  atomic_store(&header->stopped, 1);
  processes_kill();
  for (;;)
    raw_syscall0(SYS_pause);
}

uint64_t engine_now_ns(void)
{
  struct timespec now;
  if (!engine.clock_original || engine.clock_original(CLOCK_REALTIME_COARSE, &now) != 0)
    raw_syscall2(SYS_clock_gettime, CLOCK_REALTIME_COARSE, (uint64_t)&now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t engine_clock_ns(int clock)
{
  struct timespec now = {0};
  raw_syscall2(SYS_clock_gettime, (uint64_t)(int64_t)clock, (uint64_t)&now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void engine_nap(int64_t length_ns)
{
  const struct timespec length = {.tv_nsec = length_ns};
  raw_syscall2(SYS_nanosleep, (uint64_t)&length, 0);
}

int64_t observe(struct call *call)
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
  int64_t result = call_run(call);
  crash_point();
  record_complete(call, result);
  return result;
}

int64_t observe_begin(struct call *call, struct draft *draft)
{
  crash_point();
  int64_t result = call_run(call);
  crash_point();
  draft_begin(draft, call, JOURNAL_COMPLETE, result);
  return result;
}

/* numbers: it makes descriptors, or takes them away, and the journal has its entry in their order. */
static int64_t run_in_both(struct call *call, bool compared, bool numbers)
{
  call_sign(call);
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(call, JOURNAL_COMPLETE);
    if (entry) {
      int64_t result = call_run(call);
      if (compared && result != entry->result)
        engine_failed(TAIL_REPORT_FAILED, "a call that only concerns the process gave another result than before: ",
                      call_shape_name(call->id), result);
      result = replay_deliver(call, entry);
      replay_advance(entry);
      return result;
    }
  }
  struct number_lock lock = {0};
  crash_point();
  if (numbers)
    number_lock_take(&lock);
  int64_t result = call_run(call);
  crash_point();
  record_complete(call, result);
  number_lock_release(&lock);
  return result;
}

int64_t local(struct call *call)
{
  return run_in_both(call, true, true);
}

int64_t local_again(struct call *call)
{
  return run_in_both(call, false, true);
}

int64_t local_mask(struct call *call)
{
  return run_in_both(call, false, false);
}

/* ---- signatures ---- */

uint64_t hash_mix(uint64_t hash, uint64_t value)
{
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
  return hash ^ hash >> 29;
}

static uint64_t vector_hash(uint64_t hash, const struct io_vector *pieces, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++)
    hash = hash_mix(hash, hash_bytes(pieces[i].base, pieces[i].length));
  return hash;
}

/* A clock of a process or thread: its number, turned round, above three bits that say which of its clocks. */
#define CLOCK_KIND 7
#define CLOCK_OF_DESCRIPTOR 3

static uint64_t real_clock(uint64_t clock)
{
  int64_t owner = identity_real(~((int32_t)clock >> 3));
  return (uint64_t)(int64_t)(int32_t)((uint32_t)~owner << 3 | ((uint32_t)clock & CLOCK_KIND));
}

static bool has_owner(uint64_t clock)
{
  return (int32_t)clock < 0 && (clock & CLOCK_KIND) != CLOCK_OF_DESCRIPTOR;
}

static void use_real_path(struct call *call, unsigned arg)
{
  const char *path = identity_path((const char *)call->args[arg]);
  if (path == (const char *)call->args[arg])
    return;
  call->args[arg] = (uint64_t)path;
  call->string_length[arg] = (uint16_t)raw_length(path);
}

/* Numbers of the program's own processes and threads become those of this attempt on the way. */
void call_sign(struct call *call)
{
  uint64_t hash = hash_mix(0x70657264757265ull, call->id);
  const struct call_shape *shape = call->shape;
  unsigned count = call_arg_count(call);
  for (unsigned i = 0; i < count; i++) {
    uint32_t arg = shape->args[i];
    uint64_t value = call->args[i];
    switch (CALL_ARG_KIND(arg)) {
    case ARG_VAL:
      hash = hash_mix(hash, value);
      break;
    case ARG_FD:
    case ARG_DIRFD:
      hash = hash_mix(hash, (uint32_t)value);
      break;
    case ARG_PATH:
    case ARG_STR:
      if (value) {
        call->string_length[i] = (uint16_t)raw_length((const char *)value);
        hash = hash_mix(hash, hash_bytes((const void *)value, call->string_length[i]));
        if (CALL_ARG_KIND(arg) == ARG_PATH && __builtin_expect(engine.tail.header->attempt > 1, 0))
          use_real_path(call, i);
      }
      break;
    case ARG_PID:
      call->args[i] = (uint64_t)identity_real((int32_t)value);
      break;
    case ARG_CLOCK:
      if (__builtin_expect(has_owner(value), 0))
        call->args[i] = real_clock(value);
      hash = hash_mix(hash, has_owner(value) ? value & CLOCK_KIND : value);
      break;
    case ARG_IN:
      if (value)
        hash = hash_mix(hash, hash_bytes((const void *)value, CALL_ARG_SIZE(arg)));
      break;
    case ARG_IN_ARG: {
      /* A length that no call takes makes the kernel refuse; it is not read here either. */
      uint64_t length = call->args[CALL_ARG_OTHER(arg)] * CALL_ARG_SIZE(arg);
      if (value && length <= INPUT_LENGTH_MAX)
        hash = hash_mix(hash, hash_bytes((const void *)value, length));
      break;
    }
    case ARG_OUT_VALUE:
      if (value && call->args[CALL_ARG_OTHER(arg)])
        call->value_room = *(const uint32_t *)call->args[CALL_ARG_OTHER(arg)];
      break;
    case ARG_IN_IOV:
      if (value)
        hash = vector_hash(hash, (const struct io_vector *)value, call->args[CALL_ARG_OTHER(arg)]);
      break;
    }
  }
  call->signature = hash | 1;
}

/* ---- iovec ---- */

uint64_t vector_length(const struct io_vector *pieces, uint64_t count)
{
  uint64_t length = 0;
  for (uint64_t i = 0; i < count; i++)
    length += pieces[i].length;
  return length;
}

void vector_scatter(const struct io_vector *pieces, uint64_t count, uint64_t offset,
                    const void *from, uint64_t length)
{
  const uint8_t *bytes = from;
  for (uint64_t i = 0; i < count && length; i++) {
    if (offset >= pieces[i].length) {
      offset -= pieces[i].length;
      continue;
    }
    uint64_t part = pieces[i].length - offset;
    if (part > length)
      part = length;
    raw_copy(pieces[i].base + offset, bytes, part);
    bytes += part;
    length -= part;
    offset = 0;
  }
}
