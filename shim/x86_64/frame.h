/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine sees of a redirected system call, and how it says what happens next.
 *
 * entry.S fills an engine_frame on the caller's stack, below the red zone, calls engine_enter() and
 * puts every register back from the frame. Offsets are entry.S's too, and asserted below.
 */
#ifndef PERDURE_SHIM_X86_64_FRAME_H
#define PERDURE_SHIM_X86_64_FRAME_H

#define FRAME_RAX 0
#define FRAME_RDI 8
#define FRAME_RSI 16
#define FRAME_RDX 24
#define FRAME_R10 32
#define FRAME_R8 40
#define FRAME_R9 48
#define FRAME_NEXT 56
#define FRAME_RBX 64
#define FRAME_RBP 72
#define FRAME_R12 80
#define FRAME_R13 88
#define FRAME_R14 96
#define FRAME_R15 104
#define FRAME_RSP 112
#define FRAME_FLAGS 120
#define FRAME_RAW 128
#define FRAME_SIZE 144

/* engine_frame.raw, set by the engine: what happens after engine_enter(). */
#define FRAME_DONE 0       /* the call is done, engine_enter()'s result goes into rax */
#define FRAME_PLAIN 1      /* the stub's own syscall instruction runs, with the frame's registers */
#define FRAME_CLONE 2      /* the same, and the parent comes back by engine_after_clone() */

/* Bytes of the stack that the engine runs on. */
#define ENGINE_STACK_SIZE 0x100000

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

struct engine_frame {
  uint64_t rax; /* the call's number; its result in engine_after_clone() */
  union {
    uint64_t args[6];
    struct {
      uint64_t rdi, rsi, rdx, r10, r8, r9;
    };
  };
  uint64_t next; /* in the stub, after its syscall instruction: where the program goes on */
  uint64_t rbx, rbp, r12, r13, r14, r15;
  uint64_t rsp;
  uint64_t flags; /* the arithmetic ones and the direction flag are put back */
  uint64_t raw;   /* FRAME_DONE when engine_enter() is called */
  uint64_t unused;
};

_Static_assert(offsetof(struct engine_frame, rax) == FRAME_RAX, "entry.S");
_Static_assert(offsetof(struct engine_frame, rdi) == FRAME_RDI, "entry.S");
_Static_assert(offsetof(struct engine_frame, r9) == FRAME_R9, "entry.S");
_Static_assert(offsetof(struct engine_frame, args[5]) == FRAME_R9, "entry.S");
_Static_assert(offsetof(struct engine_frame, next) == FRAME_NEXT, "entry.S");
_Static_assert(offsetof(struct engine_frame, r15) == FRAME_R15, "entry.S");
_Static_assert(offsetof(struct engine_frame, rsp) == FRAME_RSP, "entry.S");
_Static_assert(offsetof(struct engine_frame, flags) == FRAME_FLAGS, "entry.S");
_Static_assert(offsetof(struct engine_frame, raw) == FRAME_RAW, "entry.S");
_Static_assert(sizeof(struct engine_frame) == FRAME_SIZE, "entry.S");

/* The code whose address goes into BOUNDARY_SLOT_SYSCALL. Not callable from C. */
extern const uint8_t engine_entry_syscall[] __attribute__((visibility("hidden")));

/* The same for the vDSO's functions of these names: for the slots of the vDSO's image. */
extern const uint8_t engine_entry_clock_gettime[] __attribute__((visibility("hidden")));
extern const uint8_t engine_entry_gettimeofday[] __attribute__((visibility("hidden")));
extern const uint8_t engine_entry_time[] __attribute__((visibility("hidden")));
extern const uint8_t engine_entry_getcpu[] __attribute__((visibility("hidden")));
extern const uint8_t engine_entry_clock_getres[] __attribute__((visibility("hidden")));

/* The end of the thread's engine stack, which grows down; 0: it has none yet, and the engine runs on
 * the program's. */
extern __thread uint64_t engine_stack_top
    __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* Runs a function of the engine's on that stack. */
void engine_stack_run(void (*run)(void *), void *argument) __attribute__((visibility("hidden")));

/* The engine's: called for every redirected system call, on the caller's stack, with signals as the
 * program has them. Compiled with -mgeneral-regs-only: vector state is the program's. Returns the
 * result or a negative errno, unless it set frame->raw. */
int64_t engine_enter(struct engine_frame *frame) __attribute__((visibility("hidden")));

/* The engine's: called in the parent after a FRAME_CLONE call, with the result in frame->rax. The
 * program goes on with the registers of the frame. */
void engine_after_clone(struct engine_frame *frame) __attribute__((visibility("hidden")));

/* Where the program goes on after a FRAME_CLONE call: nothing may be kept on the stack there, which
 * the two share or which is new. entry.S sets it in the caller's thread. For a clone with CLONE_SETTLS
 * the engine also sets the new thread's, by engine_set_next(), before it returns.
 * A child that shares the thread-local storage of its parent (vfork) and makes a FRAME_CLONE call of
 * its own overwrites the parent's: there, the engine saves it before and puts it back in
 * engine_after_clone(). */
extern __thread uint64_t engine_tls_next
    __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* thread_pointer: the new thread's, the `tls` argument of clone. Its static TLS block exists. */
static inline void engine_set_next(uint64_t thread_pointer, uint64_t next)
{
  uint64_t own;
  __asm__("movq %%fs:0, %0" : "=r"(own));
  *(uint64_t *)(thread_pointer + ((uint64_t)&engine_tls_next - own)) = next;
}

#endif
#endif
