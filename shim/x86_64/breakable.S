/* SPDX-License-Identifier: Apache-2.0 */
/* int64_t breakable_syscall(int64_t number, const uint64_t args[6], const volatile int *over)
 *
 * The call is not made when *over is set. A handler may set it at any instruction: from the test of it up to the
 * syscall instruction, it also moves the place of interruption to breakable_skip (breakable.h), so that no
 * signal comes between the test and the wait. */
  .text
  .globl breakable_begin
  .hidden breakable_begin
  .globl breakable_end
  .hidden breakable_end
  .globl breakable_skip
  .hidden breakable_skip
  .globl breakable_syscall
  .hidden breakable_syscall
  .type breakable_syscall, @function
breakable_syscall:
  .cfi_startproc
breakable_begin:
  cmpl $0, (%rdx)
  jne breakable_skip
  movq %rdi, %rax
  movq %rsi, %r11
  movq (%r11), %rdi
  movq 8(%r11), %rsi
  movq 16(%r11), %rdx
  movq 24(%r11), %r10
  movq 32(%r11), %r8
  movq 40(%r11), %r9
breakable_end:
  syscall
  ret
breakable_skip:
  movq $-4, %rax /* -EINTR */
  ret
  .cfi_endproc
  .size breakable_syscall, . - breakable_syscall
  .section .note.GNU-stack,"",@progbits
