/* SPDX-License-Identifier: Apache-2.0 */
/* The stacks that the engine runs on, one for each thread. What a call leaves on its stack would
 * otherwise show through in memory that the program does not initialise, and pass into what it writes;
 * and a program's own stack may be small. */
#include "shim/engine.h"

#include <errno.h>
#include <sys/mman.h>

/* Stacks lie far from the program's memory, one after the other with room between. */
#define STACKS_ADDRESS (TAIL_ADDRESS - (4ull << 40))
#define STACK_STEP (2ull * ENGINE_STACK_SIZE)
#define STACK_MAX 65536u

__thread uint64_t engine_stack_top __attribute__((tls_model("initial-exec")));
/* Which thread has which stack; a thread that is gone gives its own to the next. */
LARGE_TABLE static _Atomic int32_t stack_owners[STACK_MAX];
static _Atomic uint32_t stack_next;

/* The stack of a thread that has ended, or -1. Looks at a few: threads that come and go do not add up. */
static int64_t stack_of_the_dead(int32_t self)
{
  static _Atomic uint32_t look;
  uint32_t made = atomic_load(&stack_next);
  for (unsigned tries = 0; tries < 8 && made; tries++) {
    uint32_t i = atomic_fetch_add(&look, 1) % made;
    int32_t owner = atomic_load(&stack_owners[i]);
    if (owner && raw_syscall3(SYS_tgkill, (uint64_t)engine.pid_real, (uint64_t)owner, 0) == -ESRCH &&
        atomic_compare_exchange_strong(&stack_owners[i], &owner, self))
      return i;
  }
  return -1;
}

void engine_stack_make(void)
{
  int32_t self = (int32_t)raw_syscall0(SYS_gettid);
  int64_t i = stack_of_the_dead(self);
  if (i < 0) {
    i = atomic_fetch_add(&stack_next, 1);
    if (i >= STACK_MAX)
      return;
    atomic_store(&stack_owners[i], self);
    int64_t place = raw_syscall6(SYS_mmap, STACKS_ADDRESS + (uint64_t)i * STACK_STEP, ENGINE_STACK_SIZE,
                                 PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, ~0ull, 0);
    if (raw_is_error(place))
      return;
  }
  engine_stack_top = STACKS_ADDRESS + (uint64_t)i * STACK_STEP + ENGINE_STACK_SIZE;
}

void engine_stack_of_child(void)
{
  if (engine_stack_top)
    atomic_store(&stack_owners[(engine_stack_top - ENGINE_STACK_SIZE - STACKS_ADDRESS) / STACK_STEP],
                 engine.pid_real);
}
