/* SPDX-License-Identifier: Apache-2.0 */
/* Four threads that make N calls each at the same time: counted_threads N. */
#include "must.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define THREADS 4

static pthread_barrier_t barrier;
static int calls;

static void *work(void *argument)
{
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < calls; i++)
    must(syscall(SYS_getuid) >= 0);
  pthread_barrier_wait(&barrier);
  return argument;
}

int main(int argc, char **argv)
{
  pthread_t threads[THREADS];
  must(argc == 2);
  calls = atoi(argv[1]);
  must(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
  for (int i = 0; i < THREADS; i++)
    must(pthread_create(&threads[i], NULL, work, NULL) == 0);
  for (int i = 0; i < THREADS; i++)
    must(pthread_join(threads[i], NULL) == 0);
  return 0;
}
