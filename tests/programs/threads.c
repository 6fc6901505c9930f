/* SPDX-License-Identifier: Apache-2.0 */
/* Four threads with a file each and one in common, appended to under a lock; one of them sleeps. Which
 * thread comes first is the run's own, and so the lines in common are counted, not compared. */
#include "must.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#define THREADS 4
#define LINES 6

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int shared;
static int counts[THREADS];

static void *work(void *argument)
{
  int number = (int)(long)argument;
  char name[16], line[64];
  snprintf(name, sizeof name, "own-%d", number);
  int own = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  must(own >= 0);
  for (int i = 0; i < LINES; i++) {
    snprintf(line, sizeof line, "thread %d line %d\n", number, i);
    put(own, line);
    if (number == 2)
      must(nanosleep(&(struct timespec){0, 1000000}, NULL) == 0);
    must(pthread_mutex_lock(&lock) == 0);
    put(shared, line);
    counts[number]++;
    must(pthread_mutex_unlock(&lock) == 0);
  }
  must(close(own) == 0);
  return argument;
}

/* Every line is there once, and those of one thread in their order. */
static void check(int next[THREADS])
{
  FILE *file = fopen("shared", "r");
  int number, line;
  must(file);
  for (int i = 0; i < THREADS * LINES; i++) {
    must(fscanf(file, "thread %d line %d\n", &number, &line) == 2);
    must(number >= 0 && number < THREADS && line == next[number]);
    next[number]++;
  }
  must(fgetc(file) == EOF && fclose(file) == 0);
}

int main(void)
{
  pthread_t threads[THREADS];
  int next[THREADS] = {0};
  void *result;
  shared = open("shared", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(shared >= 0);
  for (long i = 0; i < THREADS; i++)
    must(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
  for (long i = 0; i < THREADS; i++)
    must(pthread_join(threads[i], &result) == 0 && (long)result == i);
  check(next);
  for (int i = 0; i < THREADS; i++)
    must(counts[i] == LINES);
  /* One after the other, each with a thread-local errno of its own. */
  for (long i = 0; i < THREADS; i++) {
    must(pthread_create(&threads[0], NULL, work, (void *)i) == 0);
    must(pthread_join(threads[0], NULL) == 0);
  }
  must(close(shared) == 0);
  must(unlink("shared") == 0);
  puts("threads: every line once");
  return 0;
}
