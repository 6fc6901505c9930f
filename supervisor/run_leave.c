/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/run_leave.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 1000000l
#define LOOKS_MAX 1000

bool run_leave_possible(const struct tail_header *header)
{
  for (uint32_t i = 0; i < atomic_load(&header->process_end) && i < TAIL_PROCESS_MAX; i++) {
    const struct tail_process *process = &header->processes[i];
    pid_t real = atomic_load(&process->real);

    if (atomic_load(&process->taken) && real > 0 && !atomic_load(&process->ended) && !atomic_load(&process->live) &&
        (kill(real, 0) == 0 || errno != ESRCH))
      return false;
  }
  return true;
}

static void wake_all(_Atomic uint32_t *word)
{
  /* Shared between processes, so not FUTEX_PRIVATE_FLAG. */
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void run_leave(struct tail_header *header)
{
  const struct timespec look = {.tv_nsec = LOOK_NS};

  atomic_store(&header->left, 1);
  atomic_store(&header->regions_open, 0);
  atomic_fetch_add(&header->drained_futex, 1);
  wake_all(&header->drained_futex);
  atomic_store(&header->durable, TAIL_DURABLE);
  wake_all(&header->durable);
  for (int looks = 0; atomic_load(&header->executing) != 0 && looks < LOOKS_MAX; looks++)
    nanosleep(&look, NULL);
}
