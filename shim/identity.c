/* SPDX-License-Identifier: Apache-2.0 */
/* getpid, gettid, getppid, getpgrp, getpgid, getsid and setpgid.
 *
 * Nothing here is journaled but what the first image was, and the numbers of threads: the kernel gives
 * the rest, and what it gives is translated. */
#include "shim/identity.h"

#include "shim/paths.h"

#include <errno.h>

#define THREAD_MAX 1024

/* What the kernel calls the process, its parent, its group and its session. */
static int32_t real[4];

struct thread_number {
  _Atomic int32_t seen; /* stored last; 0: free */
  int32_t real;
};

static struct thread_number threads[THREAD_MAX];
static _Atomic uint32_t thread_count;

/* The header has them in this order too. */
static int32_t *seen(void)
{
  return engine.tail.header->seen;
}

void identity_begin(const struct journal_entry *entry)
{
  real[0] = engine.pid_real;
  real[1] = (int32_t)raw_syscall0(SYS_getppid);
  real[2] = (int32_t)raw_syscall0(SYS_getpgrp);
  real[3] = (int32_t)raw_syscall1(SYS_getsid, 0);
  for (int i = 0; i < 4; i++)
    if (!seen()[i])
      seen()[i] = entry && (int)journal_arg_count(entry) > i ? (int32_t)entry->args[i] : real[i];
}

void identity_describe(uint64_t args[4])
{
  for (int i = 0; i < 4; i++)
    args[i] = (uint64_t)seen()[i];
}

int64_t identity_seen(int64_t number)
{
  for (int i = 0; i < 4; i++)
    if (real[i] == number)
      return seen()[i];
  return number;
}

int64_t identity_real(int64_t number)
{
  if (number < -1)
    return -identity_real(-number);
  for (int i = 0; i < 4; i++)
    if (seen()[i] == number)
      return real[i];
  uint32_t count = atomic_load(&thread_count);
  for (uint32_t i = 0; i < count && i < THREAD_MAX; i++)
    if (atomic_load(&threads[i].seen) == number)
      return threads[i].real;
  return number;
}

/* More than there are threads in the middle of such a call. */
#define PATH_SLOTS 64
#define PATH_SLOT_SIZE 128

const char *identity_path(const char *path)
{
  static char slots[PATH_SLOTS][PATH_SLOT_SIZE];
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
  if ((int64_t)number != seen()[0] || (path[at] && path[at] != '/') || rest >= PATH_SLOT_SIZE - 32)
    return path;
  char *slot = slots[atomic_fetch_add(&next, 1) % PATH_SLOTS];
  size_t used = path_put_number(slot, path_put_text(slot, 0, folder), (uint32_t)real[0], 10);
  path_put_text(slot, used, path + at);
  return slot;
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

int64_t handle_self(struct call *call)
{
  struct call translated = *call;
  if (call->id == SYS_getpgid || call->id == SYS_getsid || call->id == SYS_setpgid)
    translated.args[0] = (uint64_t)identity_real((int32_t)call->args[0]);
  if (call->id == SYS_setpgid)
    translated.args[1] = (uint64_t)identity_real((int32_t)call->args[1]);
  int64_t result = call_run(&translated);
  if (call->id == SYS_gettid && result != engine.pid_real)
    return thread_number(call, result);
  if (call->id == SYS_setpgid && result == 0)
    real[2] = (int32_t)raw_syscall0(SYS_getpgrp);
  return raw_is_error(result) ? result : identity_seen(result);
}
