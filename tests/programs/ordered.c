/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that compute, and whose calls depend on which of them takes something of POSIX threads first: ordered [KIND].
 *
 * Each thread that has taken it is the next in an order, in memory and in a file. Which order that is, is the run's own; that both
 * are the same in the end, also where the run was resumed in between, is what is looked at. */
#include "must.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

#define THREADS 4
#define ROUNDS 6
#define ORDER_MAX (THREADS * ROUNDS * 8)

static int order[ORDER_MAX];
static int taken;
static int file;
static volatile unsigned long computed[THREADS];

static pthread_mutex_t mutex, recursive, checking, robust;
static pthread_cond_t condition;
static pthread_rwlock_t many;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static sem_t semaphore;
static pthread_once_t onces[ROUNDS];
static int turns, waiting;

/* Between calls, and as long as the thread and the round say. */
static void compute(int number, int round)
{
  unsigned long value = (unsigned long)(number * 31 + round * 17 + 1);
  for (int i = 0; i < 2000 + number * round * 700 % 9000; i++)
    value = value * 6364136223846793005ul + 1442695040888963407ul;
  computed[number] += value;
}

/* By who has it alone. */
static void came(int number, int round)
{
  char line[64];
  must(taken < ORDER_MAX);
  order[taken++] = number * ROUNDS + round;
  snprintf(line, sizeof line, "%d\n", number * ROUNDS + round);
  put(file, line);
}

static struct timespec soon(clockid_t clock, long ns)
{
  struct timespec time;
  must(clock_gettime(clock, &time) == 0);
  time.tv_nsec += ns;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  return time;
}

/* ---- the kinds: one round of one thread ---- */

static void by_mutex(int number, int round)
{
  must(pthread_mutex_lock(&mutex) == 0);
  came(number, round);
  must(pthread_mutex_unlock(&mutex) == 0);
}

static void by_trying(int number, int round)
{
  for (int error; (error = pthread_mutex_trylock(&mutex)) != 0;) {
    must(error == EBUSY);
    compute(number, round);
  }
  came(number, round);
  must(pthread_mutex_unlock(&mutex) == 0);
}

static void by_time(int number, int round)
{
  struct timespec until = soon(CLOCK_REALTIME, 50000);
  int error = pthread_mutex_timedlock(&mutex, &until);
  while (error != 0) {
    must(error == ETIMEDOUT);
    until = soon(CLOCK_MONOTONIC, 50000);
    error = pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until);
  }
  came(number, round);
  compute(number, round);
  must(pthread_mutex_unlock(&mutex) == 0);
}

static void by_other_mutexes(int number, int round)
{
  must(pthread_mutex_lock(&recursive) == 0);
  must(pthread_mutex_lock(&recursive) == 0);
  must(pthread_mutex_lock(&checking) == 0);
  must(pthread_mutex_lock(&checking) == EDEADLK);
  came(number, round);
  must(pthread_mutex_unlock(&checking) == 0);
  must(pthread_mutex_unlock(&checking) == EPERM);
  must(pthread_mutex_unlock(&recursive) == 0);
  must(pthread_mutex_unlock(&recursive) == 0);
}

/* A thread that ends with a robust mutex leaves it to the next. */
static void *end_with_it(void *argument)
{
  int error = pthread_mutex_lock(&robust);
  if (error == EOWNERDEAD)
    must(pthread_mutex_consistent(&robust) == 0);
  else
    must(error == 0);
  came((int)(long)argument, 0);
  return NULL;
}

static void by_robust_mutex(int number, int round)
{
  pthread_t thread;
  must(pthread_create(&thread, NULL, end_with_it, (void *)(long)number) == 0);
  compute(number, round);
  int error = pthread_mutex_lock(&robust);
  if (error == EOWNERDEAD)
    must(pthread_mutex_consistent(&robust) == 0);
  else
    must(error == 0);
  came(number, round);
  must(pthread_mutex_unlock(&robust) == 0);
  must(pthread_join(thread, NULL) == 0);
}

/* Each lets the others have a turn, and waits until it is woken for one. */
static void by_condition(int number, int round)
{
  must(pthread_mutex_lock(&mutex) == 0);
  turns++;
  must(pthread_cond_signal(&condition) == 0);
  if (round < ROUNDS - 1) {
    waiting++;
    while (!turns && waiting < THREADS)
      must(pthread_cond_wait(&condition, &mutex) == 0);
    waiting--;
  }
  turns = turns ? turns - 1 : 0;
  came(number, round);
  must(pthread_mutex_unlock(&mutex) == 0);
  must(pthread_cond_broadcast(&condition) == 0);
}

/* Whether it was woken or the time was over is the order's too. */
static void by_condition_in_time(int number, int round)
{
  struct timespec until = soon(CLOCK_REALTIME, 100000);
  must(pthread_mutex_lock(&mutex) == 0);
  int error = pthread_cond_timedwait(&condition, &mutex, &until);
  must(error == 0 || error == ETIMEDOUT);
  came(number, error ? round : 0);
  until = soon(CLOCK_MONOTONIC, 100000);
  error = pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until);
  must(error == 0 || error == ETIMEDOUT);
  came(number, error ? round : 0);
  must(pthread_cond_signal(&condition) == 0);
  must(pthread_mutex_unlock(&mutex) == 0);
}

/* Readers come at the same time, and see how far the writers were. */
static void by_read_write_lock(int number, int round)
{
  struct timespec until = soon(CLOCK_REALTIME, 50000);
  if (round % 3 == 0)
    must(pthread_rwlock_rdlock(&many) == 0);
  else if (round % 3 == 1)
    while (pthread_rwlock_tryrdlock(&many) != 0)
      compute(number, round);
  else
    while (pthread_rwlock_timedrdlock(&many, &until) != 0)
      until = soon(CLOCK_REALTIME, 50000);
  int seen = taken;
  must(pthread_rwlock_unlock(&many) == 0);
  if (round % 3 == 0)
    must(pthread_rwlock_wrlock(&many) == 0);
  else if (round % 3 == 1)
    while (pthread_rwlock_trywrlock(&many) != 0)
      compute(number, round);
  else
    while (pthread_rwlock_timedwrlock(&many, &until) != 0)
      until = soon(CLOCK_REALTIME, 50000);
  came(number, round);
  must(taken < ORDER_MAX);
  order[taken++] = seen;
  char line[32];
  snprintf(line, sizeof line, "%d\n", seen);
  put(file, line);
  must(pthread_rwlock_unlock(&many) == 0);
}

static void by_semaphore(int number, int round)
{
  struct timespec until = soon(CLOCK_REALTIME, 50000);
  int value;
  if (round % 3 == 0)
    must(sem_wait(&semaphore) == 0);
  else if (round % 3 == 1)
    while (sem_trywait(&semaphore) != 0)
      must(errno == EAGAIN);
  else
    while (sem_timedwait(&semaphore, &until) != 0) {
      must(errno == ETIMEDOUT);
      until = soon(CLOCK_REALTIME, 50000);
    }
  came(number, round);
  must(sem_getvalue(&semaphore, &value) == 0 && value == 0);
  must(sem_post(&semaphore) == 0);
  must(sem_getvalue(&semaphore, &value) == 0);
  must(pthread_mutex_lock(&mutex) == 0);
  must(pthread_mutex_unlock(&mutex) == 0);
  compute(number, value ? round : 0);
}

static void by_spin_lock(int number, int round)
{
  if (round % 2)
    must(pthread_spin_lock(&spin) == 0);
  else
    while (pthread_spin_trylock(&spin) != 0)
      compute(number, round);
  came(number, round);
  must(pthread_spin_unlock(&spin) == 0);
}

/* One of each round comes back as the one. */
static void by_barrier(int number, int round)
{
  compute(number, round);
  int result = pthread_barrier_wait(&barrier);
  must(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
  if (result)
    came(number, round);
  pthread_barrier_wait(&barrier);
  must(taken == round + 1);
}

static __thread int here;

static void run_once(void)
{
  came(here, 0);
}

static void by_once(int number, int round)
{
  here = number;
  compute(number, number * round);
  must(pthread_once(&onces[round], run_once) == 0);
  must(taken > round);
}

static void *come_and_go(void *argument)
{
  compute((int)(long)argument, 5);
  return argument;
}

/* How often it was looked before a thread had ended. */
static void by_end(int number, int round)
{
  pthread_t thread;
  void *result;
  int error, looked = 0;
  must(pthread_create(&thread, NULL, come_and_go, (void *)(long)number) == 0);
  struct timespec until = soon(CLOCK_REALTIME, 10000);
  do {
    error = round % 2 ? pthread_tryjoin_np(thread, &result) : pthread_timedjoin_np(thread, &result, &until);
    must(error == 0 || error == EBUSY || error == ETIMEDOUT);
    until = soon(CLOCK_REALTIME, 10000);
    looked++;
  } while (error && looked < 3);
  if (error)
    must(pthread_join(thread, &result) == 0);
  must(result == (void *)(long)number);
  must(pthread_mutex_lock(&mutex) == 0);
  came(looked - 1, round);
  must(pthread_mutex_unlock(&mutex) == 0);
}

static void come_cancelled(void *argument)
{
  came((int)(long)argument, 0);
  must(pthread_mutex_unlock(&mutex) == 0);
}

static void come_cancelled_free(void *argument)
{
  int before;
  must(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
  must(pthread_mutex_lock(&mutex) == 0);
  come_cancelled(argument);
}

/* Nobody wakes it. */
static void *wait_for_a_condition(void *argument)
{
  must(pthread_mutex_lock(&mutex) == 0);
  pthread_cleanup_push(come_cancelled, argument);
  for (;;)
    must(pthread_cond_wait(&condition, &mutex) == 0);
  pthread_cleanup_pop(1);
}

static void *wait_for_a_semaphore(void *argument)
{
  pthread_cleanup_push(come_cancelled_free, argument);
  must(sem_wait(&semaphore) == 0);
  pthread_cleanup_pop(1);
  return argument;
}

/* In a wait or before, and their cleanups come in an order too. */
static void by_cancelling(int number, int round)
{
  pthread_t thread;
  void *result;
  must(pthread_create(&thread, NULL, round % 2 ? wait_for_a_condition : wait_for_a_semaphore, (void *)(long)number) == 0);
  compute(number, round);
  if (round % 3)
    sched_yield();
  must(pthread_cancel(thread) == 0);
  must(pthread_join(thread, &result) == 0);
  must(result == PTHREAD_CANCELED || (round % 2 == 0 && result == (void *)(long)number));
}

static mtx_t c11_mutex;
static cnd_t c11_condition;
static once_flag c11_once;
static int c11_ready;

static void c11_begin(void)
{
  must(mtx_init(&c11_mutex, mtx_timed) == thrd_success && cnd_init(&c11_condition) == thrd_success);
}

static int c11_come(void *argument)
{
  must(mtx_lock(&c11_mutex) == thrd_success);
  came((int)(long)argument, 1);
  c11_ready++;
  must(cnd_broadcast(&c11_condition) == thrd_success);
  must(mtx_unlock(&c11_mutex) == thrd_success);
  return (int)(long)argument;
}

/* By the names of <threads.h>. */
static void by_c11(int number, int round)
{
  thrd_t thread;
  struct timespec until = soon(CLOCK_REALTIME, 50000);
  int result;
  call_once(&c11_once, c11_begin);
  must(thrd_create(&thread, c11_come, (void *)(long)number) == thrd_success);
  while (mtx_trylock(&c11_mutex) != thrd_success)
    compute(number, round);
  while (!c11_ready)
    if (round % 2)
      must(cnd_wait(&c11_condition, &c11_mutex) == thrd_success);
    else
      cnd_timedwait(&c11_condition, &c11_mutex, &until);
  came(number, round);
  must(mtx_unlock(&c11_mutex) == thrd_success);
  must(thrd_join(thread, &result) == thrd_success && result == number);
}

static const struct kind {
  const char *name;
  void (*round)(int number, int round);
} kinds[] = {
    {"mutex", by_mutex},
    {"trying", by_trying},
    {"time", by_time},
    {"other-mutexes", by_other_mutexes},
    {"robust-mutex", by_robust_mutex},
    {"condition", by_condition},
    {"condition-in-time", by_condition_in_time},
    {"read-write-lock", by_read_write_lock},
    {"semaphore", by_semaphore},
    {"spin-lock", by_spin_lock},
    {"barrier", by_barrier},
    {"once", by_once},
    {"end", by_end},
    {"cancelling", by_cancelling},
    {"c11", by_c11},
};
static const struct kind *kind;

static void *work(void *argument)
{
  int number = (int)(long)argument;
  for (int round = 0; round < ROUNDS; round++) {
    compute(number, round);
    kind->round(number, round);
  }
  return NULL;
}

static void make_all(void)
{
  pthread_mutexattr_t attributes;
  must(pthread_mutex_init(&mutex, NULL) == 0 && pthread_cond_init(&condition, NULL) == 0);
  must(pthread_mutexattr_init(&attributes) == 0);
  must(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE) == 0);
  must(pthread_mutex_init(&recursive, &attributes) == 0);
  must(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
  must(pthread_mutex_init(&checking, &attributes) == 0);
  must(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  must(pthread_mutex_init(&robust, &attributes) == 0);
  must(pthread_rwlock_init(&many, NULL) == 0);
  must(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE) == 0);
  must(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
  must(sem_init(&semaphore, 0, 1) == 0);
  for (int i = 0; i < ROUNDS; i++)
    onces[i] = (pthread_once_t)PTHREAD_ONCE_INIT;
  c11_once = (once_flag)ONCE_FLAG_INIT;
  turns = waiting = taken = c11_ready = 0;
}

static void unmake_all(void)
{
  must(pthread_mutex_destroy(&mutex) == 0 && pthread_mutex_destroy(&recursive) == 0);
  must(pthread_mutex_destroy(&checking) == 0 && pthread_cond_destroy(&condition) == 0);
  must(pthread_rwlock_destroy(&many) == 0 && pthread_spin_destroy(&spin) == 0);
  must(pthread_barrier_destroy(&barrier) == 0 && sem_destroy(&semaphore) == 0);
}

/* What is in the file is what is in memory. */
static void compare(void)
{
  FILE *lines = fopen("order", "r");
  int came_then;
  must(lines);
  for (int i = 0; i < taken; i++)
    must(fscanf(lines, "%d\n", &came_then) == 1 && came_then == order[i]);
  must(fgetc(lines) == EOF && fclose(lines) == 0);
}

static void run_kind(const struct kind *wanted)
{
  pthread_t threads[THREADS];
  kind = wanted;
  make_all();
  file = open("order", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  must(file >= 0);
  for (long i = 0; i < THREADS; i++)
    must(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
  for (int i = 0; i < THREADS; i++)
    must(pthread_join(threads[i], NULL) == 0);
  compare();
  must(close(file) == 0 && unlink("order") == 0);
  unmake_all();
  printf("ordered: %s\n", kind->name);
}

int main(int argc, char **argv)
{
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (argc < 2 || strcmp(argv[1], kinds[i].name) == 0)
      run_kind(&kinds[i]);
  return 0;
}
