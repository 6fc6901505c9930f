/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pipe_flow.h"

#include "shim/channels.h"
#include "shim/descriptors.h"
#include "shim/paths.h"
#include "shim/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#define PROBES 4
#define YIELDS 100 /* of one who waits for another's write, before it takes naps */
#define LOOK_NS 1000000l
#define LOOK_MS 20

/* ---- which pipes ---- */

static struct tail_flow *slot(uint64_t inode, unsigned probe)
{
  return &engine.tail.header->flows[(inode + probe) % TAIL_FLOW_MAX];
}

static struct tail_flow *flow_of(int fd)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  if (descriptor->kind != DESCRIPTOR_PIPE || engine_thread.unjournaled)
    return NULL;
  for (unsigned i = 0; i < PROBES; i++)
    if (atomic_load_explicit(&slot(descriptor->inode, i)->inode, memory_order_acquire) == descriptor->inode)
      return slot(descriptor->inode, i);
  return NULL;
}

/* The oldest that does not flow makes room. */
void pipe_flow_made(int fd)
{
  struct tail_header *header = engine.tail.header;
  const struct descriptor *descriptor = descriptor_get(fd);
  struct tail_flow *flow = flow_of(fd);
  if (descriptor->kind != DESCRIPTOR_PIPE || engine_thread.unjournaled)
    return;
  for (unsigned i = 0; !flow && i < PROBES; i++)
    if (!atomic_load(&slot(descriptor->inode, i)->inode))
      flow = slot(descriptor->inode, i);
  for (unsigned i = 0; !flow && i < PROBES; i++) {
    struct tail_flow *other = slot(descriptor->inode, i);
    if (!atomic_load(&other->flows) && (!flow || other->made < flow->made))
      flow = other;
  }
  if (!flow)
    return;
  atomic_store(&flow->inode, 0);
  atomic_store(&flow->written, 0);
  atomic_store(&flow->taken, 0);
  atomic_store(&flow->from, UINT64_MAX);
  atomic_store(&flow->flows, 0);
  atomic_store(&flow->readers, 0);
  atomic_store(&flow->reads, 0);
  atomic_store(&flow->reader, 0);
  atomic_store(&flow->writer, 0);
  atomic_store(&flow->never, 0);
  flow->made = atomic_fetch_add(&header->flow_made, 1);
  atomic_store_explicit(&flow->inode, descriptor->inode, memory_order_release);
}

static void never(int fd, void *context)
{
  (void)context;
  struct tail_flow *flow = flow_of(fd);
  if (flow)
    atomic_store(&flow->never, 1);
}

void pipe_flow_never(void)
{
  each_descriptor(never, NULL);
}

/* ---- one at a time ---- */

static int32_t own_number(void)
{
  return engine.threaded ? (int32_t)raw_syscall0(SYS_gettid) : engine.pid_real;
}

/* Also where nobody has waited for it. */
static bool is_dead(int32_t thread)
{
  if (raw_syscall2(SYS_tkill, (uint64_t)thread, 0) == -ESRCH)
    return true;
  char state = process_state(thread);
  return state == 'Z' || state == 'X';
}

static bool would_wait(int fd)
{
  struct pollfd poll = {fd, POLLOUT, 0};
  return raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL) & O_NONBLOCK && raw_syscall3(SYS_poll, (uint64_t)&poll, 1, 0) == 0;
}

/* False: another one waits for room in the pipe, and who comes does not wait. */
static bool take_writing(struct tail_flow *flow, int fd, bool *ret_nested)
{
  int32_t self = own_number(), owner = 0;
  *ret_nested = atomic_load(&flow->writer) == self;
  for (unsigned tries = 0; !*ret_nested && !atomic_compare_exchange_strong(&flow->writer, &owner, self); tries++) {
    if (tries < YIELDS) {
      raw_syscall0(SYS_sched_yield);
    } else if (is_dead(owner)) {
      if (atomic_compare_exchange_strong(&flow->writer, &owner, self))
        break;
    } else if (would_wait(fd)) {
      return false;
    } else {
      engine_nap(LOOK_NS);
    }
    owner = 0;
  }
  return true;
}

static void give_writing(struct tail_flow *flow, bool nested)
{
  int32_t self = own_number();
  if (!nested)
    atomic_compare_exchange_strong(&flow->writer, &self, 0);
}

/* ---- live: writing ---- */

bool pipe_flow_follows(int fd)
{
  return flow_of(fd) != NULL;
}

/* Whoever asks is the only one that writes into it. */
static bool flows_now(struct tail_flow *flow)
{
  if (!atomic_load(&flow->flows) && atomic_load(&flow->written) >= TAIL_FLOW_RECORDED_SIZE && !atomic_load(&flow->never)) {
    atomic_store(&flow->from, atomic_load(&flow->written));
    atomic_store(&flow->flows, 1);
  }
  return atomic_load(&flow->flows);
}

static void describe(struct draft *draft, int fd, bool flows, struct journal_source *room)
{
  const struct descriptor *descriptor = descriptor_get(fd);
  *room = (struct journal_source){descriptor->device, descriptor->inode};
  draft_add(draft, SEGMENT_CHANNEL, flows ? JOURNAL_CHANNEL_FLOWS : 0, room, sizeof *room);
}

static int64_t refuse_now(struct call *call, int fd)
{
  struct journal_source channel;
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, -EAGAIN);
  channel_describe(&draft, fd, &channel);
  draft_append(&draft);
  return -EAGAIN;
}

int64_t pipe_flow_write(struct call *call, const struct io_vector *pieces, uint64_t count,
                        const struct journal_entry *intent, uint64_t done)
{
  int fd = (int)call->args[0];
  struct tail_flow *flow = flow_of(fd);
  struct journal_source channel;
  struct draft draft;
  bool nested = false;
  if (flow && !intent && !take_writing(flow, fd, &nested))
    return refuse_now(call, fd);
  bool flows = intent ? journal_flows(intent) : flow && flows_now(flow);
  if (!intent) {
    draft_begin(&draft, call, JOURNAL_INTENT, 0);
    describe(&draft, fd, flows, &channel);
    record_intent(&draft, call);
  }
  if (!intent || !flows)
    done = channel_ahead(fd, vector_length(pieces, count));
  int64_t result = channel_write_rest(call, pieces, count, done);
  crash_point();
  draft_begin(&draft, call, JOURNAL_RESULT, result);
  draft.tail.arg_count = 0;
  describe(&draft, fd, flows, &channel);
  draft_append(&draft);
  if (!flow)
    return result;
  if (result > 0)
    atomic_fetch_add(&flow->written, (uint64_t)result);
  give_writing(flow, nested);
  return result;
}

/* ---- live: reading ---- */

void pipe_flow_read_begin(int fd, struct pipe_flow_read *ret_read)
{
  struct tail_flow *flow = flow_of(fd);
  *ret_read = (struct pipe_flow_read){.flow = flow};
  if (!flow)
    return;
  ret_read->number = atomic_fetch_add(&flow->reads, 1) + 1;
  ret_read->alone = atomic_fetch_add(&flow->readers, 1) == 0;
  /* Whoever is about to journal a read as the only one does that before this one begins. */
  int32_t reader;
  while ((reader = atomic_load(&flow->reader)) && !is_dead(reader))
    engine_nap(LOOK_NS);
  ret_read->before = atomic_load(&flow->taken);
}

bool pipe_flow_read_ended(struct pipe_flow_read *read, int64_t result)
{
  struct tail_flow *flow = read->flow;
  if (!flow || result <= 0)
    return false;
  atomic_fetch_add(&flow->taken, (uint64_t)result);
  if (!read->alone || read->before < atomic_load(&flow->from) || atomic_load(&flow->never))
    return false;
  atomic_store(&flow->reader, own_number());
  if (atomic_load(&flow->reads) == read->number)
    return true;
  atomic_store(&flow->reader, 0);
  return false;
}

void pipe_flow_read_journaled(const struct pipe_flow_read *read)
{
  if (!read->flow)
    return;
  atomic_fetch_sub(&read->flow->readers, 1);
  if (atomic_load(&read->flow->from) != UINT64_MAX && atomic_load(&read->flow->reader) == own_number())
    atomic_store(&read->flow->reader, 0);
}

/* ---- replay ---- */

/* What came of it; NULL: nothing is known. Handlers may have written meanwhile. */
static const struct journal_entry *outcome_of(const struct journal_entry *intent)
{
  unsigned inner = 0;
  for (const struct journal_entry *next = replay_peek(intent); next; next = replay_peek(next)) {
    if (next->call != intent->call)
      continue;
    if (next->kind == JOURNAL_INTENT)
      inner++;
    else if (next->kind == JOURNAL_RESULT && !inner--)
      return next;
  }
  return NULL;
}

static bool feed_is_used_up(void)
{
  return atomic_load(&engine.tail.header->cursor) >= engine.feed->entries_end;
}

/* As much as goes in until nobody reads any more; or, where the attempt has to go on with the rest, until the feed is used up. */
static uint64_t put(int fd, const struct io_vector *pieces, uint64_t count, uint64_t length, bool unfinished)
{
  uint64_t done = 0;
  for (uint64_t i = 0, at = 0; i < count && done < length;) {
    uint64_t part = pieces[i].length - at < length - done ? pieces[i].length - at : length - done;
    int64_t put = part ? raw_syscall3(SYS_write, (uint64_t)fd, (uint64_t)(pieces[i].base + at), part) : 0;
    struct pollfd poll = {fd, POLLOUT, 0};
    if (put == -EAGAIN) {
      if (unfinished && feed_is_used_up())
        break;
      /* What made room for it, a read, is journaled behind its RESULT. */
      if (replay_own_turn())
        channel_make_room(fd);
      else
        raw_syscall3(SYS_poll, (uint64_t)&poll, 1, LOOK_MS);
      continue;
    }
    if (put == -EINTR)
      continue;
    if (put < 0)
      break;
    done += (uint64_t)put;
    at += (uint64_t)put;
    if (at == pieces[i].length) {
      at = 0;
      i++;
    }
  }
  return done;
}

/* A description of its own, which does not wait: others have the program's too. */
static uint64_t put_aside(int fd, const struct io_vector *pieces, uint64_t count, uint64_t length, bool unfinished)
{
  uint64_t broken = 1ull << (SIGPIPE - 1), before = 0, pending = 0;
  const struct timespec now = {0, 0};
  char path[32];
  path_proc_fd(fd, path);
  int64_t aside = open_aside(AT_FDCWD, path, O_WRONLY | O_NONBLOCK, 0);
  if (aside < 0)
    return 0; /* nobody reads any more */
  raw_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, (uint64_t)&broken, (uint64_t)&before, 8);
  raw_syscall2(SYS_rt_sigpending, (uint64_t)&pending, 8);
  uint64_t done = put((int)aside, pieces, count, length, unfinished);
  if (!(pending & broken))
    raw_syscall4(SYS_rt_sigtimedwait, (uint64_t)&broken, 0, (uint64_t)&now, 8);
  raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&before, 0, 8);
  raw_syscall1(SYS_close, (uint64_t)aside);
  return done;
}

/* Its INTENT, which it is the turn of. Returns how many bytes have gone in until it is the RESULT's turn. */
static uint64_t begin_again(struct tail_flow *flow, int fd, const struct journal_entry *intent, bool nested,
                            const struct io_vector *pieces, uint64_t count)
{
  const struct journal_entry *outcome = outcome_of(intent);
  uint64_t length = !outcome ? vector_length(pieces, count) : outcome->result > 0 ? (uint64_t)outcome->result : 0;
  bool flows = journal_flows(intent);
  if (flow && flows && !atomic_exchange(&flow->flows, 1))
    atomic_store(&flow->from, atomic_load(&flow->written));
  /* What has been read ahead of who writes is from one that was ended in its write: this one came behind that. */
  if (!nested)
    channel_forget_ahead(descriptor_get(fd)->inode);
  /* And nobody else writes before this one has gone on, also where that is live. */
  if (flow)
    atomic_store(&flow->writer, own_number());
  replay_advance(intent);
  return flows ? put_aside(fd, pieces, count, length, !outcome) : 0;
}

int64_t pipe_flow_write_again(struct call *call, const struct io_vector *pieces, uint64_t count)
{
  int fd = (int)call->args[0];
  struct tail_flow *flow = flow_of(fd);
  const struct journal_entry *intent = replay_take(call, JOURNAL_INTENT), *outcome;
  bool skipped = intent->arg_count & JOURNAL_FLAG_SKIPPED;
  bool nested = flow && atomic_load(&flow->writer) == own_number();
  uint64_t done = skipped ? vector_length(pieces, count) : 0;
  if (skipped)
    replay_advance(intent);
  else
    done = begin_again(flow, fd, intent, nested, pieces, count);
  outcome = replay_take(call, JOURNAL_RESULT);
  if (!outcome)
    return pipe_flow_write(call, pieces, count, intent, done);
  int64_t result = outcome->result;
  if (!skipped && result > 0 && !journal_flows(intent))
    channel_put(call, pieces, count, (uint64_t)result);
  if (flow && !skipped && result > 0)
    atomic_fetch_add(&flow->written, (uint64_t)result);
  if (flow && !skipped)
    give_writing(flow, nested);
  replay_advance(outcome);
  return result;
}

void pipe_flow_read_again(int fd, const struct io_vector *pieces, uint64_t count, uint64_t length)
{
  uint8_t bytes[4096] = {0};
  uint64_t left = length;
  struct pollfd poll = {fd, POLLIN, 0};
  struct tail_flow *flow = flow_of(fd);
  for (uint64_t i = 0, at = 0; left;) {
    while (i < count && at == pieces[i].length) {
      at = 0;
      i++;
    }
    uint8_t *to = i < count ? pieces[i].base + at : bytes;
    uint64_t room = i < count ? pieces[i].length - at : sizeof bytes;
    int64_t got = raw_syscall3(SYS_read, (uint64_t)fd, (uint64_t)to, room < left ? room : left);
    if (got == -EAGAIN)
      raw_syscall3(SYS_poll, (uint64_t)&poll, 1, LOOK_MS);
    if (got == -EAGAIN || got == -EINTR)
      continue;
    if (got <= 0)
      engine_failed(TAIL_REPORT_FAILED, "what a process read from a pipe does not come again from who had written it", "", got);
    at += i < count ? (uint64_t)got : 0;
    left -= (uint64_t)got;
  }
  if (flow)
    atomic_fetch_add(&flow->taken, length);
}

bool pipe_flow_took(int fd, uint64_t length)
{
  struct tail_flow *flow = flow_of(fd);
  if (!flow)
    return false;
  bool flows = atomic_load(&flow->flows) && !atomic_load(&flow->never);
  if (!flows)
    atomic_fetch_add(&flow->taken, length);
  return flows;
}

void pipe_flow_put(int fd, uint64_t length)
{
  struct tail_flow *flow = flow_of(fd);
  if (flow)
    atomic_fetch_add(&flow->written, length);
}
