/* SPDX-License-Identifier: Apache-2.0 */
/* Who has acknowledged what of the journal, put together from all that have it: replicas of another store, and directories.
 * The program waits for the sum (struct tail_replication). For several threads at once. */
#ifndef PERDURE_SUPERVISOR_ACKNOWLEDGEMENTS_H
#define PERDURE_SUPERVISOR_ACKNOWLEDGEMENTS_H

#include "journal/tail.h"

#include <pthread.h>

struct acknowledgements {
  pthread_mutex_t lock;
  struct tail_replication *shared; /* what the program sees; NULL: no attempt runs */
  bool has_primary;                /* there is a store whose primary counts as the 0-th */
  uint64_t primary[TAIL_REPLICAS_MAX + 1]; /* position: that store's primary and at least n of its replicas have all below */
  uint64_t directories[TAIL_REPLICAS_MAX]; /* position: that directory has all below */
  unsigned directory_count;
};

/* An attempt begins: nobody has acknowledged anything. `header` has to outlive acknowledgements_end(). */
void acknowledgements_begin(struct acknowledgements *acknowledgements, struct tail_header *header, bool has_primary,
                            unsigned directory_count);
void acknowledgements_end(struct acknowledgements *acknowledgements);
/* The other store's primary, and that many of its replicas. */
void acknowledgements_primary(struct acknowledgements *acknowledgements, unsigned replicas, uint64_t end);
void acknowledgements_directory(struct acknowledgements *acknowledgements, unsigned directory, uint64_t end);

/* *ret_all: the end of what at least n have, for each n, of which the other store's primary is no part. Pure. */
void acknowledgements_sum(const struct acknowledgements *acknowledgements, uint64_t ret_all[TAIL_REPLICAS_MAX + 1]);

/* The program looks again. */
void acknowledgements_tell(struct tail_replication *shared);

#endif
