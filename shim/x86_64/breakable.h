/* SPDX-License-Identifier: Apache-2.0 */
/* A syscall that a handler can keep from being made, up to the last instruction before it. */
#ifndef PERDURE_SHIM_X86_64_BREAKABLE_H
#define PERDURE_SHIM_X86_64_BREAKABLE_H

#include <stdint.h>
#include <ucontext.h>

/* As the kernel's; -EINTR, and nothing was done, when *over was set before it. */
int64_t breakable_syscall(int64_t number, const uint64_t args[6], const volatile int *over);

extern const char breakable_begin[], breakable_end[], breakable_skip[];

/* In a handler that has set *over: where the call has not been made yet, it is not. One that the kernel is about to
 * make again (SA_RESTART) looks the same. */
static inline void breakable_break(void *context)
{
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  uint64_t at = (uint64_t)registers[REG_RIP];
  if (at >= (uint64_t)breakable_begin && at <= (uint64_t)breakable_end)
    registers[REG_RIP] = (greg_t)breakable_skip;
}

#endif
