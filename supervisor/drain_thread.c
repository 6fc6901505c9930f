/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that drains while the program runs. It owns nothing that a crash could lose: all its state
 * is in the tail and in the store. */
#include "supervisor/drain.h"
#include "supervisor/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_INTERVAL_NS 100000000L
/* While writers wait for room, what holds up the drain is an entry that is being written just now. */
#define LOOK_INTERVAL_FULL_NS 1000000L
#define PAGES_STEP (1u << 20)
#define PAGES_AHEAD_MAX (8u << 20)
#define PAGES_AHEAD_DURABLE (3u << 20)

struct drain {
  pthread_t thread;
  struct tail_file *file;
  struct store *store;
  void (*report)(const struct failure *failure, void *context);
  void *context;
  uint64_t pages_made; /* bytes of the ring, from the tail's base on */
  _Atomic uint32_t stop;
};

static void wait_for_change(_Atomic uint32_t *word, uint32_t seen, long timeout_ns)
{
  struct timespec timeout = {.tv_nsec = timeout_ns};
  syscall(SYS_futex, word, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

static void wake_waiters(_Atomic uint32_t *word)
{
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Once per kind of failure, and once when it is over. *last: the kind reported last, 0 for none. */
static void report_change(struct drain *drain, int error, const struct failure *failure, int *last)
{
  if (error != *last && drain->report != NULL)
    drain->report(error != 0 ? failure : NULL, drain->context);
  *last = error;
}

static bool is_durable(const struct drain *drain)
{
  return atomic_load(&drain->file->header->durable) == TAIL_DURABLE;
}

/* New pages of the ring are made here, beside the program, which finds them ready; true: some were. Only in the ring's first
 * round, and only ahead of a program that has shown that it writes much, or whose pages go to disk one by one: a page
 * that was there before is written in its place, a new one changes the file's map, which is a second write. */
static bool make_pages_ahead(struct drain *drain, uint64_t ahead, bool durable)
{
  const struct tail_header *header = drain->file->header;
  uint64_t written = atomic_load(&header->head) - header->base;
  uint64_t from = drain->pages_made > written ? drain->pages_made : written & ~(uint64_t)(PAGES_STEP - 1);
  /* As much again as it has written: a program that ends soon would pay for pages that it never needs. */
  uint64_t to = written + (durable || ahead < written ? ahead : written);
  bool made = false;
  if (to > header->ring_size)
    to = header->ring_size;
  for (; (durable || written >= PAGES_STEP) && from + PAGES_STEP <= to; from += PAGES_STEP) {
    uint64_t offset = (header->base + from) & (header->ring_size - 1);
    offset &= ~(uint64_t)(PAGES_STEP - 1);
    void *pages = mmap(NULL, PAGES_STEP, PROT_READ | PROT_WRITE, MAP_SHARED, drain->file->fd,
                       (off_t)(TAIL_HEADER_SIZE + offset));
    if (pages == MAP_FAILED)
      break;
    madvise(pages, PAGES_STEP, MADV_RANDOM);
    madvise(pages, PAGES_STEP, MADV_POPULATE_WRITE);
    munmap(pages, PAGES_STEP);
    drain->pages_made = from + PAGES_STEP;
    made = true;
  }
  return made;
}

/* The first time that a thread of the program needs something on disk: the names of the run's files, what the
 * store has by now, and the tail with its header, of which the thread itself syncs only its entries. What the store gets
 * from here on, drain_once() puts there. */
static int make_durable(struct drain *drain, struct failure *failure)
{
  struct tail_header *header = drain->file->header;
  if (atomic_load(&header->durable) != TAIL_DURABLE_WANTED)
    return 0;
  int error = store_sync(drain->store, failure);
  if (error == 0)
    error = store_sync_names(drain->store, failure);
  if (error != 0)
    return error;
  make_pages_ahead(drain, 2 * PAGES_STEP, true);
  if (fdatasync(drain->file->fd) != 0)
    return failure_set(failure, -errno, "cannot put the tail on disk: %s; look at that disk", strerror(errno));
  atomic_store(&header->durable, TAIL_DURABLE);
  wake_waiters(&header->durable);
  return 0;
}

static void *run(void *argument)
{
  struct drain *drain = argument;
  struct tail_header *header = drain->file->header;
  int last_error = 0;
  while (!atomic_load(&drain->stop)) {
    uint32_t seen = atomic_load(&header->drain_futex);
    struct failure failure;
    int error = make_durable(drain, &failure);
    if (error == 0)
      error = drain_once(drain->file, drain->store, false, NULL, &failure);
    bool durable = is_durable(drain);
    bool made = make_pages_ahead(drain, durable ? PAGES_AHEAD_DURABLE : PAGES_AHEAD_MAX, durable);
    if (made && durable)
      fdatasync(drain->file->fd);
    if (!durable)
      store_write_out(drain->store);
    report_change(drain, error, &failure, &last_error);
    if (error != 0) /* however often the program asks */
      wait_for_change(&drain->stop, 0, LOOK_INTERVAL_NS);
    else if (!atomic_load(&drain->stop))
      wait_for_change(&header->drain_futex, seen,
                      atomic_load(&header->writers_waiting) != 0 ? LOOK_INTERVAL_FULL_NS
                                                                 : LOOK_INTERVAL_NS);
  }
  return NULL;
}

int drain_start(struct tail_file *file, struct store *store,
                void (*report)(const struct failure *failure, void *context), void *context,
                struct drain **ret_drain, struct failure *failure)
{
  struct drain *drain = calloc(1, sizeof *drain);
  if (drain == NULL)
    return failure_set(failure, -ENOMEM, "cannot start the drain: out of memory");
  *drain = (struct drain){.file = file, .store = store, .report = report, .context = context};
  int error = thread_begin(&drain->thread, run, drain);
  if (error != 0) {
    free(drain);
    return failure_set(failure, error, "cannot start the drain: %s", strerror(-error));
  }
  *ret_drain = drain;
  return 0;
}

int drain_stop(struct drain *drain, struct failure *failure)
{
  atomic_store(&drain->stop, 1);
  wake_waiters(&drain->stop);
  atomic_fetch_add(&drain->file->header->drain_futex, 1);
  wake_waiters(&drain->file->header->drain_futex);
  pthread_join(drain->thread, NULL);
  int error = drain_once(drain->file, drain->store, true, NULL, failure);
  free(drain);
  return error;
}
