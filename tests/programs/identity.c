/* SPDX-License-Identifier: Apache-2.0 */
/* Who the process is stays, and signals that it sends itself come where they came. */
#include "must.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int out;
static volatile sig_atomic_t handled;
static sigjmp_buf back;

static void on_signal(int number, siginfo_t *info, void *context)
{
  handled++;
  must(info->si_pid == getpid());
  put(out, number == SIGUSR1 ? "SIGUSR1\n" : "SIGUSR2\n");
}

static void on_abort(int number)
{
  put(out, "SIGABRT\n");
  siglongjmp(back, 1);
}

static void who(pid_t pid, pid_t parent)
{
  must(getpid() == pid && getppid() == parent);
  must(syscall(SYS_gettid) == pid && syscall(SYS_getpid) == pid);
}

int main(void)
{
  pid_t pid = getpid(), parent = getppid(), group = getpgrp(), session = getsid(0);
  char name[64];
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  must(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
  who(pid, parent);
  must(kill(pid, SIGUSR1) == 0 && handled == 1);
  put(out, "after kill\n");
  who(pid, parent);
  must(raise(SIGUSR2) == 0 && handled == 2);
  put(out, "after raise\n");
  must(sigqueue(pid, SIGUSR1, (union sigval){0}) == 0 && handled == 3);
  must(kill(pid, 0) == 0);
  must(syscall(SYS_tkill, pid, SIGUSR2) == 0 && handled == 4);
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_pid = pid};
  must(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR1, &info) == 0 && handled == 5);
  must(syscall(SYS_pidfd_send_signal, -1, SIGUSR1, NULL, 0) < 0 && errno == EBADF);
  put(out, "after tkill\n");
  sigset_t mask, old;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  must(sigprocmask(SIG_BLOCK, &mask, &old) == 0);
  must(raise(SIGUSR1) == 0 && handled == 5);
  put(out, "blocked\n");
  must(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && handled == 6);
  put(out, "unblocked\n");
  must(signal(SIGABRT, on_abort) != SIG_ERR);
  if (sigsetjmp(back, 1) == 0)
    abort();
  put(out, "survived\n");
  who(pid, parent);
  must(getpgrp() == group && getsid(0) == session && getpgid(0) == group);
  for (int i = 0; i < 3; i++) {
    int number = 0;
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    must(access(name, R_OK) == 0);
    FILE *file = fopen(name, "r");
    must(file && fscanf(file, "%d (identity)", &number) == 1 && fclose(file) == 0);
    put(out, "found itself\n");
  }
  must(signal(SIGUSR1, SIG_IGN) != SIG_ERR && raise(SIGUSR1) == 0 && handled == 6);
  must(setpgid(0, 0) == 0 || errno == EPERM);
  umask(022);
  must(umask(077) == 022);
  must(nice(1) >= 0 && getpriority(PRIO_PROCESS, 0) >= 1);
  struct rlimit limit;
  must(getrlimit(RLIMIT_CORE, &limit) == 0);
  limit.rlim_cur = 0;
  must(setrlimit(RLIMIT_CORE, &limit) == 0);
  who(pid, parent);
  puts("identity: the same");
  fflush(stdout);
  must(signal(SIGTERM, SIG_DFL) != SIG_ERR);
  put(out, "ends by a signal\n");
  raise(SIGTERM);
  return 1;
}
