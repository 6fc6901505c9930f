/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stops.h"

#include "shim/processes.h"

#include <signal.h>
#include <sys/wait.h>

#define LOOK_NS 1000000l
#define LOOKS_MAX 5000u /* a process that comes past its replay takes less */

/* tail_process.stopping */
enum { STOPS_NOT, STOPS_NOW, STOPS_LIVE };

bool stop_is_one(int number)
{
  return number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

/* Does it stop this process, now? */
static bool stops_here(int number)
{
  uint64_t action[4] = {0}, blocked = 0;
  if (number == SIGSTOP)
    return true;
  raw_syscall4(SYS_rt_sigaction, (uint64_t)number, 0, (uint64_t)action, sizeof blocked);
  raw_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, 0, (uint64_t)&blocked, sizeof blocked);
  return stop_is_one(number) && action[0] == (uint64_t)SIG_DFL && !(blocked & 1ull << (number - 1));
}

bool stop_was_left(int number, const struct journal_entry *entry)
{
  if (!stops_here(number))
    return false;
  if (replay_peek(entry))
    return true;
  atomic_store(&engine.process->stopping, STOPS_NOW);
  return false;
}

void stop_is_over(void)
{
  atomic_store(&engine.process->stopping, STOPS_NOT);
}

/* ---- the others ---- */

struct target {
  int32_t number; /* as kill() has it */
  int32_t group;  /* the sender's */
  int signal;
};

static bool is_meant(const struct tail_process *process, const struct target *target)
{
  int32_t group = atomic_load(&process->seen[2]);
  if (target->number > 0)
    return atomic_load(&process->pid_seen) == target->number;
  return target->number == 0 ? group == target->group : target->number < -1 && group == -target->number;
}

/* Until it is stopped, has gone on or is no more. */
static void await(const struct tail_process *process)
{
  for (unsigned looks = 0; looks < LOOKS_MAX && atomic_load(&process->stopping); looks++) {
    char state = process_state(atomic_load(&process->real));
    if (state == 'T' || state == 'Z' || !state)
      return;
    engine_nap(LOOK_NS);
  }
}

static void send_again(struct tail_process *process, void *context)
{
  const struct target *target = context;
  if (!is_meant(process, target))
    return;
  if (target->signal != SIGCONT) {
    uint32_t none = STOPS_NOT;
    atomic_compare_exchange_strong(&process->stopping, &none, STOPS_LIVE);
  } else if (atomic_load(&process->stopping) == STOPS_NOW) {
    await(process);
    raw_syscall2(SYS_kill, (uint64_t)atomic_load(&process->real), SIGCONT);
  } else {
    atomic_store(&process->stopping, STOPS_NOT);
  }
}

void stops_sent_again(int32_t number, int signal)
{
  struct target target = {number, atomic_load(&engine.process->seen[2]), signal};
  if (signal == SIGCONT || stop_is_one(signal))
    processes_each(send_again, &target);
}

static void await_meant(struct tail_process *process, void *context)
{
  if (atomic_load(&process->stopping) && is_meant(process, context))
    await(process);
}

void stops_await(int32_t number)
{
  struct target target = {number, atomic_load(&engine.process->seen[2]), SIGCONT};
  processes_each(await_meant, &target);
}

void stop_was_told(int32_t seen)
{
  const struct tail_process *process = process_called(seen);
  siginfo_t info;
  raw_fill(&info, 0, sizeof info);
  while (process && atomic_load(&process->stopping) == STOPS_NOW && !info.si_pid) {
    if (raw_syscall5(SYS_waitid, P_PID, (uint64_t)atomic_load(&process->real), (uint64_t)&info, WSTOPPED | WNOHANG, 0) < 0)
      return;
    if (!info.si_pid)
      engine_nap(LOOK_NS);
  }
}
