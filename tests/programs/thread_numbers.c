/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that name a thread by its number, which the kernel gives anew in each attempt: libc's are the kernel's,
 * the program's those that it saw first. */
#include "must.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

static int out;
static volatile sig_atomic_t handled;

static void on_signal(int number)
{
  handled++;
}

static void asks(const char *who)
{
  pthread_attr_t attributes;
  void *stack;
  size_t size;
  clockid_t clock;
  struct timespec used;
  struct sched_param parameter;
  cpu_set_t processors;
  int policy;
  pthread_t self = pthread_self();
  pid_t number = (pid_t)syscall(SYS_gettid);
  put(out, who);
  must(pthread_getattr_np(self, &attributes) == 0);
  must(pthread_attr_getstack(&attributes, &stack, &size) == 0 && size > 0);
  must(pthread_attr_destroy(&attributes) == 0);
  must(pthread_getaffinity_np(self, sizeof processors, &processors) == 0);
  must(pthread_setaffinity_np(self, sizeof processors, &processors) == 0);
  must(pthread_getschedparam(self, &policy, &parameter) == 0 && pthread_setschedparam(self, policy, &parameter) == 0);
  must(pthread_getcpuclockid(self, &clock) == 0);
  must(clock_gettime(clock, &used) == 0 && clock_getres(clock, &used) == 0);
  must(sched_getaffinity(number, sizeof processors, &processors) == 0);
  must(sched_getscheduler(number) == policy);
  must(getpriority(PRIO_PROCESS, (id_t)number) == getpriority(PRIO_PROCESS, 0));
  must(pthread_kill(self, SIGUSR1) == 0);
  must(syscall(SYS_tkill, number, SIGUSR1) == 0 && syscall(SYS_tgkill, getpid(), number, SIGUSR1) == 0);
  must(syscall(SYS_gettid) == number);
  put(out, "asked\n");
}

static void *thread(void *argument)
{
  asks("thread\n");
  return argument;
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  must(signal(SIGUSR1, on_signal) != SIG_ERR);
  asks("main\n");
  clockid_t clock;
  struct timespec used;
  must(clock_getcpuclockid(getpid(), &clock) == 0 && clock_gettime(clock, &used) == 0);
  for (int i = 0; i < 3; i++) {
    pthread_t other;
    void *result;
    must(pthread_create(&other, NULL, thread, &out) == 0);
    must(pthread_join(other, &result) == 0 && result == &out);
  }
  asks("main\n");
  must(handled == 15);
  put(out, "done\n");
  puts("thread_numbers: known");
  return 0;
}
