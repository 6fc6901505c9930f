/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/acknowledgements.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void acknowledgements_begin(struct acknowledgements *acknowledgements, struct tail_header *header, bool has_primary,
                            unsigned directory_count)
{
  *acknowledgements = (struct acknowledgements){
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .shared = &header->replication,
    .has_primary = has_primary,
    .directory_count = directory_count,
  };
  /* A store's replicas are known to its server alone. */
  header->replication.replicas_max = has_primary ? TAIL_REPLICAS_MAX : directory_count;
}

void acknowledgements_end(struct acknowledgements *acknowledgements)
{
  acknowledgements->shared = NULL;
}

void acknowledgements_tell(struct tail_replication *shared)
{
  atomic_fetch_add(&shared->news, 1);
  syscall(SYS_futex, &shared->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int later_first(const void *a, const void *b)
{
  uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
  return first < second ? 1 : first > second ? -1 : 0;
}

static uint64_t of_store(const struct acknowledgements *acknowledgements, unsigned replicas)
{
  if (acknowledgements->has_primary)
    return acknowledgements->primary[replicas];
  return replicas ? 0 : UINT64_MAX;
}

void acknowledgements_sum(const struct acknowledgements *acknowledgements, uint64_t ret_all[TAIL_REPLICAS_MAX + 1])
{
  uint64_t ends[TAIL_REPLICAS_MAX];
  unsigned count = acknowledgements->directory_count;
  memcpy(ends, acknowledgements->directories, sizeof ends);
  qsort(ends, count, sizeof *ends, later_first);
  for (unsigned n = 0; n <= TAIL_REPLICAS_MAX; n++) {
    ret_all[n] = of_store(acknowledgements, n);
    for (unsigned directories = 1; directories <= n && directories <= count; directories++) {
      uint64_t rest = of_store(acknowledgements, n - directories), end = ends[directories - 1];
      uint64_t both = rest < end ? rest : end;
      ret_all[n] = both > ret_all[n] ? both : ret_all[n];
    }
  }
}

/* With the lock. */
static void publish(struct acknowledgements *acknowledgements)
{
  struct tail_replication *shared = acknowledgements->shared;
  uint64_t all[TAIL_REPLICAS_MAX + 1];
  bool news = false;
  acknowledgements_sum(acknowledgements, all);
  for (unsigned n = 0; shared && n <= TAIL_REPLICAS_MAX; n++)
    if (atomic_load(&shared->acknowledged[n]) < all[n]) {
      atomic_store(&shared->acknowledged[n], all[n]);
      news = true;
    }
  if (news)
    acknowledgements_tell(shared);
}

void acknowledgements_primary(struct acknowledgements *acknowledgements, unsigned replicas, uint64_t end)
{
  pthread_mutex_lock(&acknowledgements->lock);
  for (unsigned n = 0; n <= replicas && n <= TAIL_REPLICAS_MAX; n++)
    if (acknowledgements->primary[n] < end)
      acknowledgements->primary[n] = end;
  publish(acknowledgements);
  pthread_mutex_unlock(&acknowledgements->lock);
}

void acknowledgements_directory(struct acknowledgements *acknowledgements, unsigned directory, uint64_t end)
{
  pthread_mutex_lock(&acknowledgements->lock);
  acknowledgements->directories[directory] = end;
  publish(acknowledgements);
  pthread_mutex_unlock(&acknowledgements->lock);
}
