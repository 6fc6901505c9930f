/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: every system call of the program comes here, and is passed, recorded, replayed or
 * refused as shim/calls.def says.
 *
 * It runs on the caller's stack, inside the caller's call, in any thread and in signal handlers. So
 * it uses raw system calls only, no heap, no vector registers (the kernel keeps them over a call,
 * and libc's compiler counts on it), and frames of a few KiB at most.
 */
#ifndef PERDURE_SHIM_ENGINE_H
#define PERDURE_SHIM_ENGINE_H

#include "journal/boundary.h"
#include "journal/call_table.h"
#include "journal/feed.h"
#include "journal/tail.h"
#include "shim/raw.h"
#include "shim/x86_64/frame.h"

#include <linux/stat.h>
#include <stdbool.h>

struct statx;

/* One system call on its way through the engine. */
struct call {
  uint64_t args[6];
  const struct call_shape *shape;
  uint16_t id;
  uint16_t string_length[6]; /* of PATH and STR arguments */
  uint64_t signature;
  struct engine_frame *frame; /* where it came from; NULL for vDSO functions */
  uint32_t value_room;        /* OUT_VALUE: bytes that the program offered */
  bool remote;                /* a change outside this machine, whatever the row says */
  uint8_t delivered_arg;      /* replay: which output DATA entries have begun to fill */
  uint64_t delivered;         /* and how many bytes of it */
  uint32_t keep_settled;      /* region_keep()'s */
  void (*keep)(const struct call *call, void *context);
  void *keep_context;
};

typedef int64_t call_handler(struct call *call);

/* Of a table that few programs use much of: all of them lie behind what every process writes, which then takes few pages;
 * each page written is copied at every fork, and made at every exec. */
#define LARGE_TABLE __attribute__((section(".bss.large")))

/* A row of calls.def, as the engine needs it. No pointers: each page with one is the process's own from its start. */
struct call_shape {
  uint8_t handler; /* a HANDLER_; generic: its class's is taken */
  uint8_t class;
  uint8_t known; /* the table has a row; all other numbers answer ENOSYS */
  uint32_t args[6];
};
extern const struct call_shape call_shapes[];
extern const unsigned call_shape_count;
extern const uint8_t call_arg_counts[];
static inline unsigned call_arg_count(const struct call *call)
{
  return call->id < CALL_ID_SYSTEM_MAX ? call_arg_counts[call->id] : 0;
}
const char *call_shape_name(unsigned id);

#define HANDLER(name, looks_at) call_handler handle_##name;
#include "shim/handlers.def"
#undef HANDLER
enum {
#define HANDLER(name, looks_at) HANDLER_##name,
#include "shim/handlers.def"
#undef HANDLER
};

/* The classes' own, for rows without a handler. */
call_handler handle_change;
call_handler handle_remote;

/* Per thread. Zero in a new thread but for what the parent stored before it began. */
struct thread {
  uint32_t stream;
  uint32_t number;     /* its tid as the program knows it; 0: has not asked */
  uint32_t passing;    /* a hooked library works: its calls are not journaled (shim/passing.h) */
  uint32_t persistence; /* 0: all calls are journaled; else the level that holds (shim/unjournaled.h) */
  uint32_t unjournaled; /* a call is made that has no entries: as if live, also while the process replays */
  uint32_t never_journaled; /* made under a level that keeps all out of the journal: a part of that to its end */
  uint32_t tsc_lent;   /* and may read the processor's counter itself: once it has asked the kernel for the time often */
  uint32_t tsc_open;   /* it does */
  uint32_t tsc_asked;  /* how often, since it may */
  uint32_t segv_blocked; /* as the program knows it, while the counter is trapped: the kernel must not block SIGSEGV */
  uint32_t exchanges;  /* how many have begun in this thread's image */
  uint32_t keys;       /* how many the program has asked for in it */
  uint64_t keeps;      /* replay: it is its turn until its next call, and the cursor goes on here; 0: it is not */
  uint32_t wants_mutex; /* replay: it waits for a mutex that another thread has */
  uint32_t counted;    /* among other_threads, until it is joined */
  uint32_t locking;    /* within a function that takes a lock, and whose entry tells what came of it (shim/lock_order.h) */
};
extern __thread struct thread engine_thread;

/* Of a thread that is about to be made; thread_pointer: the `tls` argument of its clone. */
static inline struct thread *thread_of(uint64_t thread_pointer)
{
  uint64_t own;
  __asm__("movq %%fs:0, %0" : "=r"(own));
  return (struct thread *)(thread_pointer + ((uint64_t)&engine_thread - own));
}

/* Per process. */
struct engine {
  struct tail tail;
  struct tail_process *process;
  const struct feed_header *feed; /* NULL when the run began live */
  const struct retry_rules *retry_rules; /* NULL: there are none */
  bool threaded;                  /* there has been a second thread */
  _Atomic uint32_t other_threads; /* that are journaled, and have not been joined yet */
  _Atomic bool ending;            /* replay has come to the process's end: no thread of it goes on past the feed */
  bool handles_signals;           /* the program has handlers (shim/signals.h), or threads, which may make some */
  bool shares_memory;             /* has had a mapping that children write to, past all calls */
  bool relays_exit;               /* a child that was to share its parent's memory until an exec */
  bool tsc_trapped;
  bool detached;                  /* made where nothing is journaled, and all of it is not */
  int32_t pid_real;
  uint64_t image_position;        /* of the image's START: the same in every attempt */
  uint64_t (*clock_original)(int clock, void *timespec); /* the vDSO's own, or NULL */
  uint64_t original[BOUNDARY_SLOT_COUNT];
  const char *preload;      /* path of the shim; "": unknown */
  const char *run_variable; /* "PERDURE_RUN=..." */
  char texts[2 * 4096 + 16]; /* both, one after the other */
  char directory[4096]; /* the working directory as the program knows it */
};
extern struct engine engine;

/* ---- live or replay ---- */

static inline bool process_live(void)
{
  return atomic_load_explicit(&engine.process->live, memory_order_acquire);
}

/* Is the call that this thread is in made for real, and has no place in the feed? */
static inline bool engine_live(void)
{
  return process_live() || engine_thread.unjournaled;
}

/* Is the run over, and this process one that it has left? Its calls are made as live ones, and nothing of them is kept. */
static inline bool engine_left(void)
{
  return atomic_load_explicit(&engine.tail.header->left, memory_order_relaxed);
}

/* Replay: waits until it is this stream's turn and checks that the next entry is `kind` of this call
 * with this signature; anything else is a divergence, which ends the process. Gives DATA to the
 * call's output on the way. NULL: the feed is used up, the process is live now. */
const struct journal_entry *replay_take(struct call *call, unsigned kind);
/* The kind of the entry that replay_take() would look at, of whatever call; 0: the feed is used up. */
unsigned replay_next(void);
/* The next entry of this stream, which others may come before; NULL: there is none. */
const struct journal_entry *replay_own_next(void);
/* The next entry, of this stream, whatever it is; NULL as for replay_take(). */
const struct journal_entry *replay_any(const struct call *call);
/* Moves past `entry`; the next thread's turn. */
void replay_advance(const struct journal_entry *entry);
/* The same, but the others go on when this thread comes to its next call, or gives something up (replay_pass_on): until then
 * nothing happens beside it. A thread that takes longer than replay is patient for is not waited for. */
void replay_keep(const struct journal_entry *entry);
void replay_pass_on(void);
/* Are there no more entries, of any stream? */
bool replay_used_up(void);
/* Is the next entry of all this stream's? */
bool replay_own_turn(void);
/* Goes live where the feed is used up, in a call that has no entry: what the others are woken by may come only then. */
void replay_ends_asleep(void);
/* The entry after `entry` in its stream, or NULL at the feed's end. */
const struct journal_entry *replay_peek(const struct journal_entry *entry);
/* After a call of a process with several threads: waits until the thread may go on. */
void replay_yield(void);
/* This thread is about to sleep until another one wakes it by that word of memory; 0: it is awake again. */
void replay_sleeps(uint64_t word);
/* All that sleep for that word are about to be woken. */
void replay_wakes(uint64_t word);
/* Copies recorded outputs to the program's memory and gives the recorded result. */
int64_t replay_deliver(struct call *call, const struct journal_entry *entry);
/* Replay: an observation, already signed, is answered from the feed, and true. False: live now. */
bool replay_answers(struct call *call, int64_t *ret_result);
/* INTENT then RESULT: the recorded outcome in *ret_result and true; false: live now. *ret_intent (may be
 * NULL) points into the feed. Where ret_outcome is not NULL, it is still this stream's turn: the caller
 * does what follows from the change and then replay_advance(*ret_outcome). */
bool replay_change(struct call *call, int64_t *ret_result, const struct journal_entry **ret_intent,
                   const struct journal_entry **ret_outcome);
/* Waits until all streams have replayed, and goes live; more of this stream is a divergence. */
void replay_to_end(struct call *call);
/* Where in the feed an entry lies, and the other way round. */
uint64_t feed_offset(const void *place);
const void *feed_at(uint64_t offset);
/* The file of that identity, or NULL; under the identity that it had first. */
const struct feed_file *feed_find_primary(uint64_t device, uint64_t inode, uint64_t birth_ns);

/* Gives the thread a stack for the engine. */
void engine_stack_make(void);
/* This process is new, and its only thread runs on the stack that it had. */
void engine_stack_of_child(void);

/* Ends the process: replay came to another call than the journal has. entry: what was recorded, or
 * NULL at the end of the feed. */
void engine_diverged(const struct call *call, const struct journal_entry *entry)
    __attribute__((noreturn));
/* Ends the process: nobody can tell what came of that change. */
void engine_unknown(const struct journal_entry *entry) __attribute__((noreturn));
/* Ends the process: perdure cannot go on. words and detail make up the sentence. */
void engine_failed(unsigned code, const char *words, const char *detail, int64_t error)
    __attribute__((noreturn));

/* Replaces what replay put in place of files by the real ones. Called once, by the last replayer. */
void engine_go_live(void);

/* ---- recording ---- */

#define PART_MAX 16

/* An entry being put together. */
struct draft {
  struct tail_draft tail;
  struct tail_part parts[PART_MAX];
};

/* A draft of `kind` for this call: arguments, signature, time, paths. */
void draft_begin(struct draft *draft, const struct call *call, unsigned kind, int64_t result);
/* Adds a segment; the bytes are read at draft_append. */
void draft_add(struct draft *draft, unsigned type, unsigned arg, const void *data, size_t length);
/* Adds a segment of two pieces. */
void draft_add2(struct draft *draft, unsigned type, unsigned arg, const void *data, size_t length,
                const void *data2, size_t length2);
/* Adds the outputs that the row names; what is too long goes ahead in DATA entries. */
void draft_add_outputs(struct draft *draft, const struct call *call);
/* Adds an output of any length. */
void draft_add_output(struct draft *draft, const struct call *call, unsigned arg, const void *data,
                      size_t length);
/* Appends; returns the entry's position. */
uint64_t draft_append(struct draft *draft);

/* COMPLETE with the row's outputs. */
void record_complete(const struct call *call, int64_t result);
/* Appends the intent, makes it durable as the run's sync says, and passes a kill point. */
void record_intent(struct draft *draft, const struct call *call);
/* Waits until the entry at `position`, and all before it, are on disk. */
void record_make_durable(uint64_t position);
/* The same for all that has been appended. */
void record_make_all_durable(void);
/* The entry at `position`, which this thread has appended, is the intent of a remote change, which is about to be made: it is where
 * the run's sync and its other store have to have it, and this machine may act for the run. */
void record_before_remote(uint64_t position);
/* Appends RESULT, with the row's outputs. */
void record_result(const struct call *call, int64_t result);
/* Says something to people, once per run and bit. */
void record_note(uint32_t once, const char *text);

uint64_t engine_now_ns(void);
/* What a clock says now, in ns, by the kernel and past the journal; 0: there is no such clock. */
uint64_t engine_clock_ns(int clock);
/* Rests so long, less than a second, past the journal, or until a signal comes. */
void engine_nap(int64_t length_ns);
/* A place where `perdure check` kills. Counts only in live mode. */
void crash_point(void);

int64_t signals_run(const struct call *call);

/* Runs the call as the program made it. */
static inline int64_t call_run(const struct call *call)
{
  if (engine.handles_signals)
    return signals_run(call);
  return raw_syscall6(call->id, call->args[0], call->args[1], call->args[2], call->args[3],
                      call->args[4], call->args[5]);
}

/* Hashes any number of bytes; fast for many. The same value as journal_hash. */
uint64_t hash_bytes(const void *bytes, size_t size);
/* The hash of all pieces as one run of bytes. */
struct io_vector;
uint64_t hash_vector_whole(const struct io_vector *pieces, uint64_t count);
uint64_t hash_mix(uint64_t hash, uint64_t value);
void call_sign(struct call *call);

/* ---- classes ---- */

int64_t observe(struct call *call);
int64_t local(struct call *call);
/* LOCAL, with the result not compared: settings that are made again. */
int64_t local_again(struct call *call);
/* The same, and what it lets come comes in it: no signal is held meanwhile, as where numbers are given in order. */
int64_t local_mask(struct call *call);

/* A call that makes a descriptor: it is made again in replay, with the number that it had. */
int64_t local_descriptor(struct call *call);
/* Runs an observation between two kill points and begins its entry. Returns the result. */
int64_t observe_begin(struct call *call, struct draft *draft);
/* An observation, already signed, with `size` bytes of output in argument 2, if it succeeds. */
int64_t observe_third(struct call *call, size_t size);

/* A change of nothing that needs looking at, already signed. */
int64_t change_signed(struct call *call);
/* An ioctl that changes the file of its descriptor, already signed. */
int64_t change_by_ioctl(struct call *call);

/* ---- iovec ---- */

struct io_vector {
  uint8_t *base;
  uint64_t length;
};
/* Copies to or from the pieces at byte `offset` of them all. */
void vector_scatter(const struct io_vector *pieces, uint64_t count, uint64_t offset,
                    const void *from, uint64_t length);
uint64_t vector_length(const struct io_vector *pieces, uint64_t count);
/* What a read or a write gives: its vector, or where it has none `one`, which is made of its bytes. */
static inline const struct io_vector *call_pieces(const struct call *call, bool has_vector, struct io_vector *one,
                                                  uint64_t *ret_count)
{
  *one = (struct io_vector){(uint8_t *)call->args[1], call->args[2]};
  *ret_count = has_vector ? call->args[2] : 1;
  return has_vector ? (const struct io_vector *)call->args[1] : one;
}

#endif
