/* SPDX-License-Identifier: Apache-2.0 */
/* The handler of the fault: journals the counter's value, or passes the signal on to the program. */
#include "shim/x86_64/tsc_trap.h"

#include "shim/x86_64/tsc.h"

#include <link.h>
#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>

/* The kernel's form of struct sigaction. */
struct kernel_action {
  void (*handler)(int, siginfo_t *, void *);
  uint64_t flags;
  void (*restorer)(void);
  uint64_t mask;
};

#define RESTORER_FLAG 0x04000000ull

static struct kernel_action program_action;

/* The first trap, which only says that there is one. */
static volatile bool probing, probed;

/* Opening the trap and closing it again is about as much work for the kernel as this many readings. */
#define READINGS_BEFORE_OPEN 64

__asm__(".text\n"
        ".hidden tsc_trap_restore\n"
        "tsc_trap_restore:\n"
        "  movq $15, %rax\n"
        "  syscall\n");
extern const uint8_t tsc_trap_restore[];

/* The counter as the processor has it now. */
static uint64_t read_counter(void)
{
  raw_syscall2(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE);
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  raw_syscall2(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV);
  return (uint64_t)high << 32 | low;
}

static uint64_t journaled_counter(void)
{
  if (engine_thread.passing || engine_thread.persistence)
    return read_counter();
  static const struct call_shape no_shape;
  struct call call = {.id = CALL_ID_RDTSC, .shape = &no_shape, .signature = CALL_ID_RDTSC};
  if (!engine_live()) {
    const struct journal_entry *entry = replay_take(&call, JOURNAL_COMPLETE);
    if (entry) {
      uint64_t value = (uint64_t)entry->result;
      replay_advance(entry);
      return value;
    }
  }
  crash_point();
  uint64_t value = read_counter();
  crash_point();
  struct draft draft;
  draft_begin(&draft, &call, JOURNAL_COMPLETE, (int64_t)value);
  draft_append(&draft);
  return value;
}

/* Not ours: as if the program's own action had been installed. */
static void pass_on(int number, siginfo_t *info, void *context)
{
  if (program_action.handler == (void *)SIG_DFL || program_action.handler == (void *)SIG_IGN ||
      engine_thread.segv_blocked) {
    struct kernel_action by_default = {.restorer = (void (*)(void))tsc_trap_restore, .flags = RESTORER_FLAG};
    /* The instruction runs and faults again, without us. */
    raw_syscall4(SYS_rt_sigaction, SIGSEGV, (uint64_t)&by_default, 0, 8);
    return;
  }
  program_action.handler(number, info, context);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  bool with_processor;
  unsigned length = info->si_code == SI_KERNEL
                        ? tsc_instruction_length((const uint8_t *)registers[REG_RIP], &with_processor)
                        : 0;
  if (!length) {
    pass_on(number, info, context);
    return;
  }
  probed = probed || probing;
  uint64_t value = probing ? 0 : journaled_counter();
  registers[REG_RAX] = (greg_t)(uint32_t)value;
  registers[REG_RDX] = (greg_t)(value >> 32);
  if (with_processor)
    registers[REG_RCX] = 0;
  registers[REG_RIP] += length;
}

static const struct kernel_action our_action = {
    .handler = on_fault,
    .flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | RESTORER_FLAG,
    .restorer = (void (*)(void))tsc_trap_restore,
};

/* ---- the program's mask ---- */

#define SEGV_BIT (1ull << (SIGSEGV - 1))

static uint64_t change_mask(int how)
{
  const uint64_t one = SEGV_BIT;
  uint64_t before = 0;
  raw_syscall4(SYS_rt_sigprocmask, (uint64_t)how, (uint64_t)&one, (uint64_t)&before, 8);
  return before;
}

/* The kernel ends a program that faults while SIGSEGV is blocked. */
static void let_come(void)
{
  uint64_t before = change_mask(SIG_UNBLOCK);
  if (atomic_load(&engine.process->held))
    before = atomic_fetch_and(&engine.process->mask, ~SEGV_BIT);
  engine_thread.segv_blocked = (before & SEGV_BIT) != 0;
}

static void block_again(void)
{
  if (!engine_thread.segv_blocked)
    return;
  engine_thread.segv_blocked = 0;
  change_mask(SIG_BLOCK);
  if (atomic_load(&engine.process->held))
    atomic_fetch_or(&engine.process->mask, SEGV_BIT);
}

uint64_t tsc_trap_mask(uint64_t mask)
{
  return engine.tsc_trapped ? mask & ~SEGV_BIT : mask;
}

int64_t tsc_trap_sigmask(struct call *call, call_handler *set)
{
  const uint64_t *given = (const uint64_t *)call->args[1];
  uint64_t *before = (uint64_t *)call->args[2];
  bool was_blocked = engine_thread.segv_blocked, has = given && *given & SEGV_BIT;
  struct call translated = *call;
  uint64_t left = given ? *given & ~SEGV_BIT : 0;
  if (given)
    translated.args[1] = (uint64_t)&left;
  int64_t result = set(&translated);
  if (result < 0)
    return result;
  if (given && (has || call->args[0] == SIG_SETMASK))
    engine_thread.segv_blocked = has && call->args[0] != SIG_UNBLOCK;
  if (before && was_blocked)
    *before |= SEGV_BIT;
  return result;
}

/* ---- arming ---- */

/* Some virtual machines take the setting, and do not trap: `perdure doctor` says so. */
static bool traps(void)
{
  uint32_t low, high;
  probing = true;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  probing = false;
  return probed;
}

void tsc_trap_arm(void)
{
  static bool in_vain;
  if (engine.tsc_trapped || in_vain)
    return;
  engine.tsc_trapped = true;
  raw_syscall4(SYS_rt_sigaction, SIGSEGV, (uint64_t)&our_action, (uint64_t)&program_action, 8);
  let_come();
  raw_syscall2(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV);
  if (probed || traps())
    return;
  tsc_trap_suspend();
  engine.tsc_trapped = false;
  in_vain = true;
}

static void set_open(bool open)
{
  engine_thread.tsc_open = open;
  raw_syscall2(SYS_prctl, PR_SET_TSC, open ? PR_TSC_ENABLE : PR_TSC_SIGSEGV);
}

bool tsc_trap_lend(bool lend)
{
  bool before = engine_thread.tsc_lent;
  engine_thread.tsc_lent = lend;
  engine_thread.tsc_asked = 0;
  if (!lend && engine_thread.tsc_open)
    set_open(false);
  return before;
}

bool tsc_trap_is_open(void)
{
  if (engine_thread.tsc_lent && !engine_thread.tsc_open && engine.tsc_trapped &&
      ++engine_thread.tsc_asked > READINGS_BEFORE_OPEN)
    set_open(true);
  return engine_thread.tsc_open;
}

void tsc_trap_suspend(void)
{
  if (!engine.tsc_trapped)
    return;
  raw_syscall2(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE);
  raw_syscall4(SYS_rt_sigaction, SIGSEGV, (uint64_t)&program_action, 0, 8);
  block_again();
}

void tsc_trap_resume(void)
{
  if (!engine.tsc_trapped)
    return;
  engine.tsc_trapped = false;
  tsc_trap_arm();
}

int64_t tsc_trap_sigaction(struct call *call)
{
  const struct kernel_action *wanted = (const struct kernel_action *)call->args[1];
  struct kernel_action *before = (struct kernel_action *)call->args[2];
  struct kernel_action old = program_action;
  if (wanted)
    program_action = *wanted;
  if (before)
    *before = old;
  return 0;
}

/* The loader and libc use it where nothing depends on it; the vDSO is redirected. */
static bool exempt(const struct dl_phdr_info *info)
{
  const char *name = info->dlpi_name, *last = name;
  for (; *name; name++)
    if (*name == '/')
      last = name + 1;
  return raw_equal(last, "libc.so.6", 10) || raw_equal(last, "ld-linux-x86-64.so.2", 21) ||
         raw_equal(last, "linux-vdso.so.1", 16) || raw_equal(last, "libperdure-shim.so", 19);
}

static int look_through(struct dl_phdr_info *info, size_t size, void *found)
{
  if (exempt(info))
    return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    if (segment->p_type == PT_LOAD && segment->p_flags & PF_X &&
        tsc_scan((const uint8_t *)info->dlpi_addr + segment->p_vaddr, segment->p_filesz)) {
      *(bool *)found = true;
      return 1;
    }
  }
  return 0;
}

void tsc_trap_if_needed(void)
{
  bool found = false;
  dl_iterate_phdr(look_through, &found);
  if (found)
    tsc_trap_arm();
}
