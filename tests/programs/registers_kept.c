/* SPDX-License-Identifier: Apache-2.0 */
/* Calls libc's syscall(), which is assembly and touches little, with a pattern in every register, vector
 * registers and the memory below the stack pointer included, and prints what did not come through. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct state {
  uint64_t rdi, rsi, rdx, r10, r8, rbx, rbp, r12, r13, r14, r15, result; /* 0 to 88 */
  uint8_t zone_kept, unused[7];                                         /* 96 */
  uint8_t vectors[16][32];                                              /* 104 */
};

/* in and out; wide: 256-bit registers. The words below the return address are filled with their index. */
extern void call_syscall(const struct state *in, struct state *out, long wide);
__asm__(".text\n"
        ".globl call_syscall\n"
        ".type call_syscall, @function\n"
        "call_syscall:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  push %rdx; push %rsi; push %rdi\n"
        "  mov $-17, %rcx\n"
        "1: mov %rcx, (%rsp, %rcx, 8)\n"
        "  inc %rcx; cmp $-1, %rcx; jne 1b\n"
        "  lea 104(%rdi), %rax\n"
        "  test %rdx, %rdx; jz 2f\n"
        "  .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  vmovdqu 32*\\i(%rax), %ymm\\i\n"
        "  .endr\n"
        "  jmp 3f\n"
        "2:\n"
        "  .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  movdqu 32*\\i(%rax), %xmm\\i\n"
        "  .endr\n"
        "3: mov 40(%rdi), %rbx; mov 48(%rdi), %rbp; mov 56(%rdi), %r12; mov 64(%rdi), %r13\n"
        "  mov 72(%rdi), %r14; mov 80(%rdi), %r15\n"
        "  mov (%rdi), %rsi; mov 16(%rdi), %rcx; mov 24(%rdi), %r8; mov 32(%rdi), %r9\n"
        "  mov 8(%rdi), %rdx\n"
        "  mov 88(%rdi), %rdi\n"
        "  call syscall@PLT\n"
        "  mov 8(%rsp), %r11\n" /* out */
        "  mov %rdi, (%r11); mov %rsi, 8(%r11); mov %rdx, 16(%r11); mov %r10, 24(%r11)\n"
        "  mov %r8, 32(%r11); mov %rbx, 40(%r11); mov %rbp, 48(%r11); mov %r12, 56(%r11)\n"
        "  mov %r13, 64(%r11); mov %r14, 72(%r11); mov %r15, 80(%r11); mov %rax, 88(%r11)\n"
        "  movb $1, 96(%r11)\n"
        "  mov $-17, %rcx\n"
        "4: cmp %rcx, (%rsp, %rcx, 8); je 5f; movb $0, 96(%r11)\n"
        "5: inc %rcx; cmp $-1, %rcx; jne 4b\n"
        "  lea 104(%r11), %rax\n"
        "  cmpq $0, 16(%rsp); je 6f\n"
        "  .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  vmovdqu %ymm\\i, 32*\\i(%rax)\n"
        "  .endr\n"
        "  vzeroupper\n"
        "  jmp 7f\n"
        "6:\n"
        "  .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "  movdqu %xmm\\i, 32*\\i(%rax)\n"
        "  .endr\n"
        "7: pop %rdi; pop %rsi; pop %rdx\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n"
        ".size call_syscall, . - call_syscall\n");

int main(void)
{
  struct state in = {101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, SYS_getpid, 1, {0}, {{0}}};
  struct state out = {0};
  long wide = __builtin_cpu_supports("avx") ? 1 : 0;
  for (size_t i = 0; i < 16; i++)
    memset(in.vectors[i], (int)(0xa0 + i), wide ? 32 : 16);
  syscall(SYS_getppid); /* bound now: the dynamic linker uses the stack and vector registers */
  call_syscall(&in, &out, wide);
  printf("result: %s\n", (pid_t)out.result == getpid() ? "right" : "wrong");
  in.result = out.result;
  printf("general registers: %s\n",
         memcmp(&in, &out, offsetof(struct state, zone_kept)) == 0 ? "kept" : "lost");
  printf("vector registers: %s\n",
         memcmp(in.vectors, out.vectors, sizeof in.vectors) == 0 ? "kept" : "lost");
  printf("red zone: %s\n", out.zone_kept ? "kept" : "lost");
  return 0;
}
