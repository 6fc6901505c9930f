/* SPDX-License-Identifier: Apache-2.0 */
/* Unwinding out of a blocked system call: cancellation, deferred and asynchronous, must run the cleanups of
 * every frame between, and a signal handler's backtrace must reach them. Prints a line for each. Built
 * with -fexceptions. */
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 10

static int never[2];
static atomic_int thread_id;
static atomic_int handler_cleanups, variable_cleanups;
static void *addresses[64];
static atomic_int address_count;

static void by_handler(void *context)
{
  atomic_fetch_add(&handler_cleanups, 1);
}

static void by_variable(const int *variable)
{
  atomic_fetch_add(&variable_cleanups, 1);
}

static __attribute__((noinline)) ssize_t block(void)
{
  int variable __attribute__((cleanup(by_variable))) = 0;
  char byte;
  ssize_t result = read(never[0], &byte, 1);
  return result + variable;
}

static void *run(void *asynchronous)
{
  int old;
  pthread_setcanceltype(asynchronous ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, &old);
  pthread_cleanup_push(by_handler, NULL);
  atomic_store(&thread_id, (int)syscall(SYS_gettid));
  block();
  pthread_cleanup_pop(0);
  return NULL;
}

static bool is_blocked(void)
{
  char path[64], text[512] = "";
  int id = atomic_load(&thread_id);
  if (!id)
    return false;
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
  FILE *file = fopen(path, "r");
  if (!file)
    return false;
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = '\0';
  const char *state = strrchr(text, ')');
  return state && state[1] && state[2] == 'S';
}

static pthread_t start_blocked(bool asynchronous)
{
  static int yes;
  pthread_t thread;
  time_t limit = time(NULL) + LIMIT_S;
  atomic_store(&thread_id, 0);
  if (pthread_create(&thread, NULL, run, asynchronous ? &yes : NULL) != 0)
    exit(1);
  while (!is_blocked()) {
    if (time(NULL) > limit) {
      puts("the thread does not block");
      exit(1);
    }
    sched_yield();
  }
  return thread;
}

static void cancel(bool asynchronous)
{
  void *result;
  pthread_t thread = start_blocked(asynchronous);
  atomic_store(&handler_cleanups, 0);
  atomic_store(&variable_cleanups, 0);
  pthread_cancel(thread);
  pthread_join(thread, &result);
  printf("%s: %s, %d by handler, %d by variable\n", asynchronous ? "asynchronous" : "deferred",
         result == PTHREAD_CANCELED ? "cancelled" : "not cancelled", atomic_load(&handler_cleanups),
         atomic_load(&variable_cleanups));
}

static void on_signal(int number)
{
  atomic_store(&address_count, backtrace(addresses, 64));
}

/* Does a return address lie in the function's first bytes? */
static bool reached(void *function)
{
  for (int i = 0; i < address_count; i++) {
    if (addresses[i] >= function && (char *)addresses[i] < (char *)function + 256)
      return true;
  }
  return false;
}

static void trace(void)
{
  backtrace(addresses, 64); /* loads what it needs */
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  time_t limit = time(NULL) + LIMIT_S;
  pthread_t thread = start_blocked(false);
  pthread_kill(thread, SIGUSR1);
  while (atomic_load(&address_count) == 0 && time(NULL) <= limit)
    sched_yield();
  printf("backtrace: %s, %s\n", reached((void *)block) ? "the caller" : "not the caller",
         reached((void *)run) ? "the thread's function" : "not the thread's function");
  pthread_cancel(thread);
  pthread_join(thread, NULL);
}

int main(void)
{
  if (pipe(never) < 0)
    return 1;
  cancel(false);
  cancel(true);
  trace();
  return 0;
}
