/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that pass: own memory, scheduling, hints. They are made in replay too, and what they do is there when
 * it ends. Kernels differ in which they have. */
#include "must.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Calls that the oldest headers do not have. */
#define SYS_futex_waitv_ 449
#define SYS_set_mempolicy_home_node_ 450
#define SYS_map_shadow_stack_ 453
#define SYS_futex_wake_ 454
#define SYS_futex_wait_ 455
#define SYS_futex_requeue_ 456
#define SYS_mseal_ 462

#define PAGE 4096
#define FUTEX2_32_PRIVATE (2 | 128)

static int out;
static char *memory;
static int ended;

static void pages(void)
{
  unsigned char resident[4];
  memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(memory != MAP_FAILED);
  strcpy(memory, "kept");
  memory = mremap(memory, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
  must(memory != MAP_FAILED && strcmp(memory, "kept") == 0);
  must(mprotect(memory + PAGE, PAGE, PROT_READ) == 0);
  put(out, "mremap\n");
  must(mincore(memory, 4 * PAGE, resident) == 0 && resident[0] & 1);
  must(madvise(memory + 2 * PAGE, PAGE, MADV_DONTNEED) == 0 && memory[2 * PAGE] == 0);
  must(mlock(memory, PAGE) == 0 && munlock(memory, PAGE) == 0);
  must(mlock2(memory, PAGE, MLOCK_ONFAULT) == 0);
  must(mlockall(MCL_ONFAULT | MCL_CURRENT) == 0 || errno == ENOMEM || errno == EPERM);
  must(munlockall() == 0);
  must(munmap(memory + 7 * PAGE, PAGE) == 0);
  void *end = sbrk(0);
  must(sbrk(PAGE) == end && syscall(SYS_brk, 0) == (long)end + PAGE);
  put(out, "pages\n");
}

static void protection(void)
{
  int key = (int)syscall(SYS_pkey_alloc, 0, 0);
  must(key >= 0 || errno == ENOSPC || errno == EINVAL || errno == ENOSYS);
  must(syscall(SYS_pkey_mprotect, memory + PAGE, PAGE, PROT_READ | PROT_WRITE, -1) == 0);
  must(syscall(SYS_pkey_free, key) == 0 || key < 0);
  memory[PAGE] = 'x';
  void *sealed = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (syscall(SYS_mseal_, sealed, PAGE, 0) == 0)
    must(munmap(sealed, PAGE) < 0 && errno == EPERM);
  must(syscall(SYS_map_shadow_stack_, 0, PAGE, 0) > 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL);
  must(syscall(SYS_remap_file_pages, memory, PAGE, 0, 0, 0) < 0);
  put(out, "protection\n");
}

static void places(void)
{
  int mode;
  unsigned long nodes = 1;
  void *page = memory;
  int status = 0;
  must(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 || errno == ENOSYS);
  must(syscall(SYS_set_mempolicy, 0, NULL, 0) == 0 || errno == ENOSYS);
  must(syscall(SYS_mbind, memory, PAGE, 0, NULL, 0, 0) == 0 || errno == ENOSYS);
  must(syscall(SYS_set_mempolicy_home_node_, memory, PAGE, 0, 0) < 0);
  must(syscall(SYS_migrate_pages, getpid(), 8 * sizeof nodes, &nodes, &nodes) >= 0 || errno == ENOSYS);
  must(syscall(SYS_move_pages, getpid(), 1, &page, NULL, &status, 0) == 0 || errno == ENOSYS);
  must(syscall(SYS_process_madvise, -1, NULL, 0, 0, 0) < 0);
  put(out, "places\n");
}

static void processor(void)
{
  struct user_desc description;
  void *head;
  size_t length;
  unsigned long base;
  must(syscall(SYS_modify_ldt, 0, &description, sizeof description) >= 0 || errno == ENOSYS);
  must(syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0 && base);
  must(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0 || errno == ENOSYS);
  must(syscall(SYS_get_robust_list, getpid(), &head, &length) == 0 && head);
  must(syscall(SYS_set_robust_list, head, length) == 0);
  must(syscall(SYS_set_tid_address, &ended) > 0);
  must(syscall(SYS_rseq, NULL, 0, 0, 0) < 0);
  uint32_t action = SECCOMP_RET_ERRNO;
  must(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 || errno == EINVAL || errno == ENOSYS);
  must(sched_yield() == 0);
  put(out, "processor\n");
}

static void futexes(void)
{
  uint32_t word = 1;
  must(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL) < 0 && errno == EAGAIN);
  must(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1) == 0);
  must(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &(struct timespec){0, 1000000}) < 0 && errno == ETIMEDOUT);
  struct {
    uint64_t value, address;
    uint32_t flags, spare;
  } wait[2] = {{0, (uint64_t)&word, FUTEX2_32_PRIVATE, 0}, {0, (uint64_t)&word, FUTEX2_32_PRIVATE, 0}};
  must(syscall(SYS_futex_waitv_, wait, 1, 0, NULL, 0) < 0 && (errno == EAGAIN || errno == ENOSYS));
  must(syscall(SYS_futex_wake_, &word, 0xffffffffu, 1, FUTEX2_32_PRIVATE) == 0 || errno == ENOSYS);
  must(syscall(SYS_futex_wait_, &word, 0, 0xffffffffu, FUTEX2_32_PRIVATE, NULL, 0) < 0 && (errno == EAGAIN || errno == ENOSYS));
  wait[0].value = 1;
  must(syscall(SYS_futex_requeue_, wait, 0, 0, 0) >= 0 || errno == ENOSYS || errno == EINVAL);
  put(out, "futexes\n");
}

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
  handled++;
}

static void signals(void)
{
  static char stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}, before;
  must(sigaltstack(&alternate, NULL) == 0 && sigaltstack(NULL, &before) == 0 && before.ss_sp == stack);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, old;
  must(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == on_signal);
  must(raise(SIGUSR1) == 0 && handled == 1);
  sigset_t mask, all;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  must(sigprocmask(SIG_BLOCK, &mask, NULL) == 0 && sigprocmask(SIG_BLOCK, NULL, &all) == 0 && sigismember(&all, SIGUSR2));
  put(out, "signals\n");
}

static void hints(void)
{
  int fd = open("big", O_RDONLY);
  must(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0);
  must(readahead(fd, 0, 65536) == 0 || errno == EINVAL);
  must(close(fd) == 0);
  must(strcmp(memory, "kept") == 0 && memory[PAGE] == 'x');
  put(out, "hints\n");
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  pages();
  protection();
  places();
  processor();
  futexes();
  signals();
  hints();
  puts("passing: all there");
  return 0;
}
