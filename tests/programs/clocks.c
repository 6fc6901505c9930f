/* SPDX-License-Identifier: Apache-2.0 */
/* Time and chance are what they were: each answer goes into a file at once, and once more at the end.
 *
 *   clocks [uncounted]   without the processor's counter, where the machine does not trap it
 *   clocks again         what it becomes by itself */
#include "must.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timerfd.h>
#include <time.h>
#include <x86intrin.h>

/* Answers, and the file that has each as it came. It is compared and removed at the end. */
static unsigned long long answers[128];
static int count, journal;
static int counted = 1;

static void tell(unsigned long long answer)
{
  answers[count++] = answer;
  must(write(journal, &answer, sizeof answer) == sizeof answer);
}

static unsigned long long ns(struct timespec time)
{
  return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

static void clocks(void)
{
  static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                  CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                                  CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
  struct timespec now;
  struct timeval day;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    must(clock_gettime(all[i], &now) == 0);
    tell(ns(now));
    must(syscall(SYS_clock_gettime, all[i], &now) == 0);
    tell(ns(now));
  }
  must(clock_getres(CLOCK_MONOTONIC, &now) == 0);
  must(gettimeofday(&day, NULL) == 0);
  tell((unsigned long long)day.tv_usec);
  must(syscall(SYS_gettimeofday, &day, NULL) == 0);
  tell((unsigned long long)day.tv_usec);
  tell((unsigned long long)time(NULL));
  struct tms used;
  tell((unsigned long long)times(&used));
  tell((unsigned long long)clock());
  if (counted) {
    unsigned core;
    tell(__rdtsc());
    tell(__rdtscp(&core));
    tell(core & 0xfff);
  }
  tell((unsigned long long)sched_getcpu());
}

static void chance(void)
{
  unsigned long long random;
  must(getrandom(&random, sizeof random, 0) == sizeof random);
  tell(random);
  must(getentropy(&random, sizeof random) == 0);
  tell(random);
  memcpy(&random, (const void *)getauxval(AT_RANDOM), sizeof random);
  tell(random);
  int fd = open("/dev/urandom", O_RDONLY);
  must(read(fd, &random, sizeof random) == sizeof random && close(fd) == 0);
  tell(random);
  char name[] = "temp-XXXXXX";
  fd = mkstemp(name);
  must(fd >= 0 && unlink(name) == 0);
  memcpy(&random, name + 5, 6);
  tell(random);
  tell(arc4random());
}

/* Whoever has all signals blocked may read the counter too, and sees them blocked. */
static void blocked(void)
{
  sigset_t all, before, now;
  must(sigfillset(&all) == 0 && sigprocmask(SIG_BLOCK, &all, &before) == 0);
  tell(__rdtsc());
  must(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGSEGV) && sigismember(&now, SIGTERM));
  must(sigdelset(&all, SIGSEGV) == 0 && sigprocmask(SIG_UNBLOCK, &all, &now) == 0 && sigismember(&now, SIGSEGV));
  must(sigprocmask(SIG_SETMASK, &before, &now) == 0 && sigismember(&now, SIGSEGV) && !sigismember(&now, SIGTERM));
  must(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && !sigismember(&now, SIGSEGV));
}

static void *thread(void *unused)
{
  blocked();
  return unused;
}

static void handler(int number)
{
  (void)number;
  tell(__rdtsc());
}

/* In a thread, in a handler that blocks all, and in a program that a process with handlers and all signals blocked
 * begins. */
static void counter_with_signals_blocked(char **argv, bool again)
{
  struct sigaction action = {.sa_handler = handler};
  sigset_t all, before;
  pthread_t made;
  must(sigfillset(&all) == 0);
  if (again) {
    must(sigprocmask(SIG_SETMASK, NULL, &before) == 0 && sigismember(&before, SIGSEGV));
    tell(__rdtsc());
    must(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
    blocked();
    must(pthread_create(&made, NULL, thread, NULL) == 0 && pthread_join(made, NULL) == 0);
    return;
  }
  action.sa_mask = all;
  must(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0);
  must(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
  execl("/proc/self/exe", argv[0], "again", NULL);
  must(!"begun again");
}

static void sleeping(void)
{
  struct timespec before, after, wanted = {0, 3000000};
  must(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
  must(nanosleep(&wanted, NULL) == 0);
  must(clock_nanosleep(CLOCK_REALTIME, 0, &wanted, NULL) == 0);
  must(usleep(1000) == 0);
  must(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
  must(ns(after) - ns(before) >= 7000000);
  after.tv_nsec += 2000000;
  after.tv_sec += after.tv_nsec / 1000000000;
  after.tv_nsec %= 1000000000;
  must(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &after, NULL) == 0);
  must(clock_gettime(CLOCK_MONOTONIC, &before) == 0 && ns(before) >= ns(after));
  must(nanosleep(&(struct timespec){0, -1}, NULL) < 0 && errno == EINVAL);
  int timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
  struct itimerspec once = {.it_value.tv_nsec = 2000000};
  must(timerfd_settime(timer, 0, &once, NULL) == 0);
  uint64_t expired;
  must(read(timer, &expired, sizeof expired) == sizeof expired && expired == 1);
}

int main(int argc, char **argv)
{
  bool again = argc > 1 && strcmp(argv[1], "again") == 0;
  counted = argc < 2 || again;
  journal = open("journal", O_RDWR | O_CREAT | O_TRUNC, 0600);
  must(journal >= 0);
  clocks();
  chance();
  sleeping();
  clocks();
  if (counted)
    counter_with_signals_blocked(argv, again);
  unsigned long long told[128];
  must(pread(journal, told, sizeof told, 0) == (ssize_t)((size_t)count * sizeof *told));
  must(memcmp(told, answers, (size_t)count * sizeof *told) == 0);
  must(unlink("journal") == 0);
  printf("clocks: %d answers, twice the same\n", count);
  return 0;
}
