/* SPDX-License-Identifier: Apache-2.0 */
/* Where the stubs of redirected system calls arrive (journal/boundary.h): from C's side, a call of
 * engine_enter(); from the program's side, a syscall instruction.
 *
 * On entry rcx holds `next`, the address in the stub where the program goes on. rcx and r11 are free,
 * as after the kernel. All else is the program's: the registers, the flags, the vector state, the 128
 * bytes below rsp. The frame (frame.h) lies below those.
 *
 * Unwinding: the canonical frame address is the program's rsp, and the return address is not `next`,
 * for which no unwinder has tables, but the place in the object after the replaced instruction, where
 * the object's own tables hold: the stub has its distance from `next` in the 4 bytes before its
 * syscall instruction. So a backtrace out of the engine, and the forced unwinding of pthread_cancel, see
 * what they would have seen at the plain instruction.
 */
#include "shim/x86_64/frame.h"

#define RED_ZONE 128
#define CFA_OFFSET (FRAME_SIZE + RED_ZONE) /* from the frame to the program's rsp: 272 */

/* Return address: next + *(int32_t *)(next - 6), as DW_CFA_val_expression for column 16. The tail
 * takes next from the top of the expression's stack: dup, lit6, minus, deref_size 4, sign extension,
 * plus. */
#define NEXT_TO_ORIGINAL 0x12, 0x36, 0x1c, 0x94, 4, 0x08, 32, 0x24, 0x08, 32, 0x26, 0x22
	/* next is in rcx: DW_OP_breg2 0 */
	.macro cfi_return_by_rcx
	.cfi_escape 0x16, 16, 14, 0x72, 0, NEXT_TO_ORIGINAL
	.endm
	/* next is in the frame, at the CFA - 216: DW_OP_const2u, DW_OP_minus, DW_OP_deref */
	.macro cfi_return_by_frame
	.cfi_escape 0x16, 16, 17, 0x0a, 216, 0, 0x1c, 0x06, NEXT_TO_ORIGINAL
	.endm
#if CFA_OFFSET - FRAME_NEXT != 216
#error "cfi_return_by_frame"
#endif

	/* The engine has a stack of its own: what it leaves behind would show through in what the program
	 * does not initialise, and differ between live and replay. None yet, or on it already (a signal
	 * handler's call): stay. */
	.macro switch_stack
	movq	engine_stack_top@gottpoff(%rip), %r11
	movq	%fs:(%r11), %r11
	testq	%r11, %r11
	jz	2f
	movq	%r11, %rcx
	subq	%rsp, %rcx
	cmpq	$ENGINE_STACK_SIZE, %rcx
	jb	2f
	movq	%r11, %rsp
2:
	.endm

	/* Everything into a frame, rdi = rbx = the frame, rsp aligned for a call. */
	.macro frame_save
	leaq	-CFA_OFFSET(%rsp), %rsp
	.cfi_def_cfa rsp, CFA_OFFSET
	pushfq
	.cfi_adjust_cfa_offset 8
	popq	FRAME_FLAGS(%rsp)
	.cfi_adjust_cfa_offset -8
	movq	%rax, FRAME_RAX(%rsp)
	movq	%rdi, FRAME_RDI(%rsp)
	movq	%rsi, FRAME_RSI(%rsp)
	movq	%rdx, FRAME_RDX(%rsp)
	movq	%r10, FRAME_R10(%rsp)
	movq	%r8, FRAME_R8(%rsp)
	movq	%r9, FRAME_R9(%rsp)
	movq	%rcx, FRAME_NEXT(%rsp)
	cfi_return_by_frame
	movq	%rbx, FRAME_RBX(%rsp)
	.cfi_offset rbx, FRAME_RBX - CFA_OFFSET
	movq	%rbp, FRAME_RBP(%rsp)
	.cfi_offset rbp, FRAME_RBP - CFA_OFFSET
	movq	%r12, FRAME_R12(%rsp)
	.cfi_offset r12, FRAME_R12 - CFA_OFFSET
	movq	%r13, FRAME_R13(%rsp)
	.cfi_offset r13, FRAME_R13 - CFA_OFFSET
	movq	%r14, FRAME_R14(%rsp)
	.cfi_offset r14, FRAME_R14 - CFA_OFFSET
	movq	%r15, FRAME_R15(%rsp)
	.cfi_offset r15, FRAME_R15 - CFA_OFFSET
	leaq	CFA_OFFSET(%rsp), %r11
	movq	%r11, FRAME_RSP(%rsp)
	movq	$FRAME_DONE, FRAME_RAW(%rsp)
	cld
	movq	%rsp, %rbx
	.cfi_def_cfa_register rbx
	movq	%rsp, %rdi
	switch_stack
	andq	$-16, %rsp
	.endm

	/* The program's registers back from the frame at rbx, rcx = next. popfq is slow: the arithmetic
	 * flags go by way of sahf, the overflow flag by an addition that overflows if it was set. rsp is
	 * the last, since the frame is anybody's as soon as rsp lies above it. */
	.macro frame_restore
	movq	%rbx, %rsp
	.cfi_def_cfa_register rsp
	movq	FRAME_FLAGS(%rsp), %rcx
	testl	$0x400, %ecx
	jz	1f
	std
1:	movl	%ecx, %eax
	shrl	$11, %eax
	andl	$1, %eax
	addb	$127, %al
	movb	%cl, %ah
	sahf
	movq	FRAME_RAX(%rsp), %rax
	movq	FRAME_RDI(%rsp), %rdi
	movq	FRAME_RSI(%rsp), %rsi
	movq	FRAME_RDX(%rsp), %rdx
	movq	FRAME_R10(%rsp), %r10
	movq	FRAME_R8(%rsp), %r8
	movq	FRAME_R9(%rsp), %r9
	movq	FRAME_RBX(%rsp), %rbx
	.cfi_restore rbx
	movq	FRAME_RBP(%rsp), %rbp
	.cfi_restore rbp
	movq	FRAME_R12(%rsp), %r12
	.cfi_restore r12
	movq	FRAME_R13(%rsp), %r13
	.cfi_restore r13
	movq	FRAME_R14(%rsp), %r14
	.cfi_restore r14
	movq	FRAME_R15(%rsp), %r15
	.cfi_restore r15
	movq	FRAME_NEXT(%rsp), %rcx
	cfi_return_by_rcx
	movq	FRAME_RSP(%rsp), %rsp
	.cfi_def_cfa rsp, 0
	.endm

	.text
	.p2align 6
	.globl	engine_entry_syscall
	.hidden	engine_entry_syscall
	.type	engine_entry_syscall, @function
engine_entry_syscall:
	.cfi_startproc
	.cfi_def_cfa rsp, 0
	cfi_return_by_rcx
	frame_save
	call	engine_enter
	.cfi_remember_state
	cmpl	$FRAME_DONE, FRAME_RAW(%rbx)
	jne	.Lnot_done
	movq	%rax, FRAME_RAX(%rbx)
	frame_restore
	jmp	*%rcx

.Lnot_done:
	.cfi_restore_state
	.cfi_remember_state
	cmpl	$FRAME_CLONE, FRAME_RAW(%rbx)
	je	.Lclone
	frame_restore
	leaq	-2(%rcx), %rcx
	/* rcx is no longer next, and nothing can be said about the return address */
	.cfi_undefined rip
	jmp	*%rcx

	/* The stack across this syscall instruction belongs to the program, in two processes perhaps.
	 * jrcxz leaves the flags alone. */
.Lclone:
	.cfi_restore_state
	frame_restore
	movq	engine_tls_next@gottpoff(%rip), %r11
	movq	%rcx, %fs:(%r11)
	.cfi_undefined rip
	syscall
	movq	%rax, %rcx
	jrcxz	.Lchild
	jmp	.Lparent
.Lchild:
	movq	engine_tls_next@gottpoff(%rip), %rcx
	movq	%fs:(%rcx), %rcx
	jmp	*%rcx

	/* An engine that never sets FRAME_CLONE need not have it. */
	.weak	engine_after_clone
	.hidden	engine_after_clone
.Lparent:
	movq	engine_tls_next@gottpoff(%rip), %rcx
	movq	%fs:(%rcx), %rcx
	cfi_return_by_rcx
	frame_save
	call	engine_after_clone
	frame_restore
	jmp	*%rcx
	.cfi_endproc
	.size	engine_entry_syscall, . - engine_entry_syscall

	/* What vDSO functions are redirected to: engine_enter() with the number of the call that they stand
	 * for. They are C functions, whose callers expect no more kept than of any: a frame with the number
	 * and the arguments does, which saves a quarter of what a recorded clock reading costs. */
	.p2align 6
	.type	enter_from_vdso, @function
enter_from_vdso:
	.cfi_startproc
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_offset rbx, -16
	subq	$FRAME_SIZE, %rsp
	movq	%rax, FRAME_RAX(%rsp)
	movq	%rdi, FRAME_RDI(%rsp)
	movq	%rsi, FRAME_RSI(%rsp)
	movq	%rdx, FRAME_RDX(%rsp)
	movq	$0, FRAME_R10(%rsp)
	movq	$0, FRAME_R8(%rsp)
	movq	$0, FRAME_R9(%rsp)
	movq	$FRAME_DONE, FRAME_RAW(%rsp)
	movq	%rsp, %rbx
	.cfi_def_cfa rbx, FRAME_SIZE + 16
	movq	%rsp, %rdi
	switch_stack
	call	engine_enter
	movq	%rbx, %rsp
	.cfi_def_cfa_register rsp
	cmpl	$FRAME_DONE, FRAME_RAW(%rsp)
	je	1f
	movq	FRAME_RAX(%rsp), %rax
	movq	FRAME_RDI(%rsp), %rdi
	movq	FRAME_RSI(%rsp), %rsi
	movq	FRAME_RDX(%rsp), %rdx
	syscall
	/* What the engine leaves in registers would be saved with them at the program's next call, on the
	 * program's stack, and differ between live and replay. */
1:	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	addq	$FRAME_SIZE, %rsp
	.cfi_adjust_cfa_offset -FRAME_SIZE
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	.cfi_endproc
	.size	enter_from_vdso, . - enter_from_vdso

	.macro vdso_entry name, number
	.p2align 4
	.globl	engine_entry_\name
	.hidden	engine_entry_\name
	.type	engine_entry_\name, @function
engine_entry_\name:
	.cfi_startproc
	movl	$\number, %eax
	jmp	enter_from_vdso
	.cfi_endproc
	.size	engine_entry_\name, . - engine_entry_\name
	.endm
	vdso_entry clock_gettime, 228
	vdso_entry gettimeofday, 96
	vdso_entry time, 201
	vdso_entry getcpu, 309
	vdso_entry clock_getres, 229

	/* void engine_stack_run(void (*run)(void *), void *argument) */
	.p2align 4
	.globl	engine_stack_run
	.hidden	engine_stack_run
	.type	engine_stack_run, @function
engine_stack_run:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_offset rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	movq	%rdi, %rax
	movq	%rsi, %rdi
	switch_stack
	andq	$-16, %rsp
	call	*%rax
	leave
	.cfi_def_cfa rsp, 8
	ret
	.cfi_endproc
	.size	engine_stack_run, . - engine_stack_run

	.section .tbss, "awT", @nobits
	.p2align 3
	.globl	engine_tls_next
	.hidden	engine_tls_next
	.type	engine_tls_next, @object
	.size	engine_tls_next, 8
engine_tls_next:
	.zero	8

	.section .note.GNU-stack, "", @progbits
