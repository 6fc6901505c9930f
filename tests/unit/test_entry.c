/* SPDX-License-Identifier: Apache-2.0 */
/* entry.S on its own, between a stub written here and an engine written here. */
#include "shim/x86_64/frame.h"
#include "tests/unit/tap.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct engine_frame seen, seen_after;
static unsigned enter_count, after_count;
static uint64_t raw;
static int64_t answer;

__thread uint64_t engine_stack_top __attribute__((tls_model("initial-exec")));

int64_t engine_enter(struct engine_frame *frame)
{
  enter_count++;
  seen = *frame;
  frame->raw = raw;
  /* What C code does to the flags is not the program's business. */
  uint8_t most = 0x7f;
  __asm__ volatile("addb $1, %0" : "+r"(most) : : "cc");
  return answer;
}

void engine_after_clone(struct engine_frame *frame)
{
  after_count++;
  seen_after = *frame;
}

struct registers {
  uint64_t rax, rdi, rsi, rdx, r10, r8, r9, rbx, rbp, r12, r13, r14, r15, flags, rsp;
};

/* Loads the registers, makes a call as a stub does, stores the registers. Fills the red zone before, and
 * returns whether it is as it was. */
extern uint64_t call_by_stub(struct registers *registers);
__asm__(".text\n"
        ".globl call_by_stub\n"
        ".type call_by_stub, @function\n"
        "call_by_stub:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  push %rdi\n"
        "  mov $-16, %rcx\n"
        "1: mov %rcx, (%rsp, %rcx, 8)\n"
        "  inc %rcx; jnz 1b\n"
        "  mov %rdi, %r11\n"
        "  mov %rsp, 112(%r11)\n"
        "  lea -128(%rsp), %rsp\n" /* pushf must not write into the red zone */
        "  pushq 104(%r11); popfq\n"
        "  lea 128(%rsp), %rsp\n"
        "  mov (%r11), %rax; mov 8(%r11), %rdi; mov 16(%r11), %rsi; mov 24(%r11), %rdx\n"
        "  mov 32(%r11), %r10; mov 40(%r11), %r8; mov 48(%r11), %r9; mov 56(%r11), %rbx\n"
        "  mov 64(%r11), %rbp; mov 72(%r11), %r12; mov 80(%r11), %r13; mov 88(%r11), %r14\n"
        "  mov 96(%r11), %r15\n"
        "  lea stub_next(%rip), %rcx\n"
        "  jmp engine_entry_syscall\n"
        "  .long 0\n"
        "  syscall\n"
        ".globl stub_next\n"
        "stub_next:\n"
        "  mov (%rsp), %r11\n"
        "  mov %rsp, 112(%r11)\n"
        "  lea -128(%rsp), %rsp\n"
        "  pushfq; popq 104(%r11)\n"
        "  lea 128(%rsp), %rsp\n"
        "  cld\n"
        "  mov %rax, (%r11); mov %rdi, 8(%r11); mov %rsi, 16(%r11); mov %rdx, 24(%r11)\n"
        "  mov %r10, 32(%r11); mov %r8, 40(%r11); mov %r9, 48(%r11); mov %rbx, 56(%r11)\n"
        "  mov %rbp, 64(%r11); mov %r12, 72(%r11); mov %r13, 80(%r11); mov %r14, 88(%r11)\n"
        "  mov %r15, 96(%r11)\n"
        "  mov $-16, %rcx; mov $1, %eax\n"
        "1: cmp %rcx, (%rsp, %rcx, 8); je 2f; xor %eax, %eax\n"
        "2: inc %rcx; jnz 1b\n"
        "  pop %rdi\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n"
        ".size call_by_stub, . - call_by_stub\n");
extern const uint8_t stub_next[];

static struct registers example(uint64_t number, uint64_t flags)
{
  return (struct registers){.rax = number, .rdi = 101, .rsi = 102, .rdx = 103, .r10 = 104,
                            .r8 = 105, .r9 = 106, .rbx = 107, .rbp = 108, .r12 = 109, .r13 = 110,
                            .r14 = 111, .r15 = 112, .flags = flags};
}

#define FLAGS_ALWAYS 0x202u
#define FLAGS_KEPT 0xcd5u /* CF PF AF ZF SF DF OF */

/* All but rax as it went in; rsp is set by call_by_stub itself, before and after. */
static bool kept(const struct registers *before, const struct registers *after, uint64_t rsp)
{
  struct registers a = *before, b = *after;
  bool flags = (a.flags & FLAGS_KEPT) == (b.flags & FLAGS_KEPT);
  a.rax = b.rax = a.flags = b.flags = a.rsp = b.rsp = 0;
  return flags && after->rsp == rsp && memcmp(&a, &b, sizeof a) == 0;
}

static void test_done(void)
{
  bool results = true, frames = true, same = true, zone = true;
  raw = FRAME_DONE;
  for (uint64_t bits = 0; bits < 128; bits++) {
    /* The seven flags that are kept, in all combinations. */
    uint64_t flags = FLAGS_ALWAYS | (bits & 1) | (bits & 2) << 1 | (bits & 4) << 2 |
                     (bits & 24) << 3 | (bits & 96) << 5;
    struct registers before = example(39, flags), after = before;
    answer = -(int64_t)bits;
    zone = call_by_stub(&after) && zone;
    results = results && (int64_t)after.rax == answer;
    same = same && kept(&before, &after, seen.rsp);
    frames = frames && seen.rax == 39 && seen.args[0] == 101 && seen.args[3] == 104 &&
             seen.args[5] == 106 && seen.rbx == 107 && seen.r15 == 112 &&
             seen.next == (uint64_t)stub_next && seen.raw == FRAME_DONE;
  }
  tap_ok(enter_count == 128, "each call arrives once");
  tap_ok(frames, "the frame holds the call and its arguments");
  tap_ok(results, "the engine's result is the call's");
  tap_ok(same, "registers and flags are kept, in all combinations of flags");
  tap_ok(zone, "the red zone is kept");
}

static void test_plain(void)
{
  struct registers before = example(SYS_getpid, FLAGS_ALWAYS | 0x8c5), after = before;
  raw = FRAME_PLAIN;
  answer = -1;
  bool zone = call_by_stub(&after);
  tap_ok((pid_t)after.rax == getpid() && kept(&before, &after, seen.rsp) && zone,
         "a plain call is made by the stub, with all registers and flags");
}

static void test_clone(void)
{
  struct registers before = example(SYS_getpid, FLAGS_ALWAYS | 0x8d4), after = before;
  raw = FRAME_CLONE;
  bool zone = call_by_stub(&after);
  tap_ok((pid_t)after.rax == getpid() && kept(&before, &after, seen.rsp) && zone,
         "a call of clone's kind keeps all registers and flags in the parent");
  tap_ok(after_count == 1 && (pid_t)seen_after.rax == getpid() && seen_after.args[0] == 101 &&
             seen_after.r15 == 112 && seen_after.next == (uint64_t)stub_next,
         "the parent comes back to the engine with the result");
  before = after = example(SYS_fork, FLAGS_ALWAYS | 0x411);
  zone = call_by_stub(&after);
  if (after.rax == 0)
    _exit(after_count == 1 && kept(&before, &after, seen.rsp) && zone ? 7 : 8);
  int status = 0;
  waitpid((pid_t)after.rax, &status, 0);
  tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 7 && after_count == 2,
         "the child goes on at once, with all registers and flags");
}

int main(void)
{
  test_done();
  test_plain();
  test_clone();
  return tap_done();
}
