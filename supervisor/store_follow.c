/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/store_follow.h"

#include "supervisor/thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_news(struct store_follower *follower, uint32_t seen, int64_t pause_ns)
{
  const struct timespec timeout = {pause_ns / 1000000000, pause_ns % 1000000000};
  if (!atomic_load(&follower->stop))
    syscall(SYS_futex, &follower->shared->wake, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

static void *run(void *argument)
{
  struct store_follower *follower = argument;
  struct failure failure;
  struct store *source = NULL;
  int last = follower->last;
  for (bool stop = false; !stop;) {
    uint32_t seen = atomic_load(&follower->shared->wake);
    stop = atomic_load(&follower->stop);
    int error = source ? 0 : store_open(follower->source_path, true, &source, &failure);
    if (error == 0)
      error = follower->round(follower->context, source, &failure);
    int64_t pause_ns = follower->after(follower->context, error, last, &failure);
    if (pause_ns < 0)
      break;
    last = error;
    wait_for_news(follower, seen, pause_ns);
  }
  store_close(source);
  return NULL;
}

int store_follower_start(struct store_follower *follower)
{
  atomic_store(&follower->stop, 0);
  int error = thread_begin(&follower->thread, run, follower);
  follower->running = error == 0;
  return error;
}

void store_follower_halt(struct store_follower *follower)
{
  if (!follower->running)
    return;
  atomic_store(&follower->stop, 1);
  atomic_fetch_add(&follower->shared->wake, 1);
  syscall(SYS_futex, &follower->shared->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  pthread_join(follower->thread, NULL);
  follower->running = false;
}
