/* SPDX-License-Identifier: Apache-2.0 */
/* Time and chance are what they were: each answer goes into a file at once, and once more at the end.
 *
 *   clocks [uncounted]   without the processor's counter, where the machine does not trap it */
#include "must.h"

#include <fcntl.h>
#include <sched.h>
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
  counted = argc < 2;
  journal = open("journal", O_RDWR | O_CREAT | O_TRUNC, 0600);
  must(journal >= 0);
  clocks();
  chance();
  sleeping();
  clocks();
  unsigned long long told[128];
  must(pread(journal, told, sizeof told, 0) == (ssize_t)((size_t)count * sizeof *told));
  must(memcmp(told, answers, (size_t)count * sizeof *told) == 0);
  must(unlink("journal") == 0);
  printf("clocks: %d answers, twice the same\n", count);
  return 0;
}
