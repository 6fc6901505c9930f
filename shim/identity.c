/* SPDX-License-Identifier: Apache-2.0 */
/* getpid, gettid, getppid, getpgrp, getpgid, getsid, setpgid and setsid.
 *
 * Nothing here is journaled but what each process was called when it began, who its parent is when it asks,
 * and the numbers of threads: the kernel gives the rest, and what it gives is translated. */
#include "shim/identity.h"

#include "shim/paths.h"
#include "shim/processes.h"

#include <errno.h>

#define THREAD_MAX 1024

/* What the kernel calls the process, its parent, its group and its session. */
static int32_t real[4];

struct thread_number {
  _Atomic int32_t seen; /* stored last; 0: free */
  int32_t real;
};

LARGE_TABLE static struct thread_number threads[THREAD_MAX];
static _Atomic uint32_t thread_count;

static int32_t seen(int i)
{
  return atomic_load(&engine.process->seen[i]);
}

static void ask_kernel(void)
{
  real[0] = engine.pid_real;
  real[1] = (int32_t)raw_syscall0(SYS_getppid);
  real[2] = (int32_t)raw_syscall0(SYS_getpgrp);
  real[3] = (int32_t)raw_syscall1(SYS_getsid, 0);
}

void identity_begin(const struct journal_entry *entry)
{
  ask_kernel();
  for (int i = 0; i < 4; i++)
    if (!seen(i))
      atomic_store(&engine.process->seen[i],
                   entry && (int)journal_arg_count(entry) > i ? (int32_t)entry->args[i] : real[i]);
}

void identity_of_child(void)
{
  ask_kernel();
  atomic_store(&thread_count, 0);
  engine_thread.number = 0;
}

void identity_describe(uint64_t args[4])
{
  for (int i = 0; i < 4; i++)
    args[i] = (uint64_t)seen(i);
}

int64_t identity_seen(int64_t number)
{
  const struct tail_header *header = engine.tail.header;
  if (number < -1)
    return -identity_seen(-number);
  const struct tail_process *process = process_really((int32_t)number);
  if (process)
    return atomic_load(&process->pid_seen);
  for (int i = 2; i < 4; i++)
    if (real[i] == number)
      return seen(i);
  /* What loses its parent becomes a child of the supervisor, as the first process is. */
  if (number == header->supervisor_pid)
    return atomic_load(&header->processes[0].seen[1]);
  return number;
}

int64_t identity_real(int64_t number)
{
  const struct tail_header *header = engine.tail.header;
  if (number < -1)
    return -identity_real(-number);
  const struct tail_process *process = process_called((int32_t)number);
  if (process && atomic_load(&process->real))
    return atomic_load(&process->real);
  for (int i = 2; i < 4; i++)
    if (seen(i) == number)
      return real[i];
  if (number && atomic_load(&header->processes[0].seen[1]) == number)
    return header->supervisor_pid;
  uint32_t count = atomic_load(&thread_count);
  for (uint32_t i = 0; i < count && i < THREAD_MAX; i++)
    if (atomic_load(&threads[i].seen) == number)
      return threads[i].real;
  return number;
}

/* More than there are threads in the middle of such a call. */
#define PATH_SLOTS 64
#define PATH_SLOT_SIZE 128

static const char *translated(const char *path, int64_t (*translate)(int64_t number))
{
  LARGE_TABLE static char slots[PATH_SLOTS][PATH_SLOT_SIZE];
  static _Atomic uint32_t next;
  const char folder[] = "/proc/";
  uint64_t number = 0;
  size_t at = 0;
  while (at < sizeof folder - 1 && path[at] == folder[at])
    at++;
  if (at < sizeof folder - 1)
    return path;
  while (path[at] >= '0' && path[at] <= '9' && number <= INT32_MAX)
    number = number * 10 + (uint64_t)(path[at++] - '0');
  size_t rest = raw_length(path + at);
  int64_t now = translate((int64_t)number);
  if (now == (int64_t)number || (path[at] && path[at] != '/') || rest >= PATH_SLOT_SIZE - 32)
    return path;
  char *slot = slots[atomic_fetch_add(&next, 1) % PATH_SLOTS];
  size_t used = path_put_number(slot, path_put_text(slot, 0, folder), (uint32_t)now, 10);
  path_put_text(slot, used, path + at);
  return slot;
}

const char *identity_path(const char *path)
{
  return translated(path, identity_real);
}

const char *identity_path_seen(const char *path)
{
  return translated(path, identity_seen);
}

/* A thread's number is another one in each attempt, and the first is in the journal. */
static int64_t thread_number(struct call *call, int64_t own)
{
  if (engine_thread.number)
    return engine_thread.number;
  int64_t number = observe(call);
  engine_thread.number = (uint32_t)number;
  uint32_t place = atomic_fetch_add(&thread_count, 1);
  if (place < THREAD_MAX) {
    threads[place].real = (int32_t)own;
    atomic_store(&threads[place].seen, (int32_t)number);
  }
  return number;
}

/* A parent may end at any time, and another takes its place. */
static int64_t parent(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry) {
    int64_t result = entry->result;
    replay_advance(entry);
    return result;
  }
  crash_point();
  int64_t result = identity_seen(call_run(call));
  record_complete(call, result);
  return result;
}

/* Whether it may depends on who started perdure: the program has what it had first. */
static int64_t begin_session(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    crash_point();
  int64_t result = call_run(call);
  if (entry)
    result = entry->result;
  else if (!raw_is_error(result))
    result = identity_seen(result);
  if (!raw_is_error(result)) {
    ask_kernel();
    for (int i = 2; i < 4; i++)
      atomic_store(&engine.process->seen[i], (int32_t)result);
  }
  if (entry) {
    replay_advance(entry);
    return result;
  }
  crash_point();
  record_complete(call, result);
  return result;
}

int64_t handle_self(struct call *call)
{
  struct call translated = *call;
  if (call->id == SYS_setsid)
    return begin_session(call);
  if (call->id == SYS_getppid)
    return parent(call);
  if (call->id == SYS_getpgid || call->id == SYS_getsid || call->id == SYS_setpgid)
    translated.args[0] = (uint64_t)identity_real((int32_t)call->args[0]);
  if (call->id == SYS_setpgid)
    translated.args[1] = (uint64_t)identity_real((int32_t)call->args[1]);
  int64_t result = call_run(&translated);
  if (call->id == SYS_gettid && result != engine.pid_real)
    return thread_number(call, result);
  if (call->id == SYS_setpgid && result == 0) {
    ask_kernel();
    for (int i = 2; i < 4; i++)
      atomic_store(&engine.process->seen[i], (int32_t)identity_seen(real[i]));
  }
  return raw_is_error(result) ? result : identity_seen(result);
}
