/* SPDX-License-Identifier: Apache-2.0 */
/* The time stamp counter is a clock that no call shows: rdtsc is made to fault, and the answer is
 * journaled. Armed only when code that has the instruction comes into the process: while it is armed,
 * the vDSO's clocks, which use it too, go through the kernel. */
#ifndef PERDURE_SHIM_X86_64_TSC_TRAP_H
#define PERDURE_SHIM_X86_64_TSC_TRAP_H

#include "shim/engine.h"

/* From now on rdtsc faults, in this thread and those that it makes. Once is enough. */
void tsc_trap_arm(void);
/* Looks through the loaded objects' code, and arms when one has the instruction. */
void tsc_trap_if_needed(void);
/* A hooked library works for a while, and may read the counter, in this thread; and no more. Returns whether it might
 * before. The trap is opened only when the library asks for the time again and again: between two short callbacks it
 * does not, and opening and closing would cost more than its few readings by the kernel. */
bool tsc_trap_lend(bool lend);
/* The library asks for the time: may it read the counter? */
bool tsc_trap_is_open(void);
/* Around an exec, which keeps the setting but not the handler. */
void tsc_trap_suspend(void);
void tsc_trap_resume(void);
/* The program's own rt_sigaction for SIGSEGV while the trap is armed. */
int64_t tsc_trap_sigaction(struct call *call);
/* A mask that the program sets, without SIGSEGV while the trap is armed: the kernel ends a program that faults while
 * that is blocked. */
uint64_t tsc_trap_mask(uint64_t mask);
/* The program's own rt_sigprocmask while the trap is armed: `set` makes the call, with such a mask; what the program
 * reads has SIGSEGV as the program has set it. */
int64_t tsc_trap_sigmask(struct call *call, call_handler *set);

#endif
