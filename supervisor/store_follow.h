/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that lets another store have what the run's own one gets, and goes on until it is stopped. It owns nothing that a crash
 * could lose. */
#ifndef PERDURE_SUPERVISOR_STORE_FOLLOW_H
#define PERDURE_SUPERVISOR_STORE_FOLLOW_H

#include "journal/tail.h"
#include "supervisor/store.h"

#include <pthread.h>

struct store_follower {
  const char *source_path;      /* of the run's own store; has to outlive the thread, as the next */
  struct tail_replication *shared; /* each change of its `wake` is a reason for a round */
  /* One round: `source` is the run's own store, read-only. */
  int (*round)(void *context, struct store *source, struct failure *failure);
  /* What came of it, and of the one before; how long the next one can wait, in ns. -1: there is none. */
  int64_t (*after)(void *context, int error, int last, const struct failure *failure);
  void *context;
  int last;                     /* of a round before the first one */
  /* its own */
  pthread_t thread;
  bool running;
  _Atomic uint32_t stop;
};

/* 0 or -errno. */
int store_follower_start(struct store_follower *follower);
/* One more round, and the thread has ended. Does nothing where none runs. */
void store_follower_halt(struct store_follower *follower);

#endif
