/* SPDX-License-Identifier: Apache-2.0 */
/* What replication.c and its thread share; nobody else includes it. */
#ifndef PERDURE_SUPERVISOR_REPLICATION_INTERNAL_H
#define PERDURE_SUPERVISOR_REPLICATION_INTERNAL_H

#include "supervisor/drain.h"
#include "supervisor/replication.h"
#include "supervisor/store_follow.h"

struct replication {
  struct replication_options options;
  char run_id[RUN_ID_SIZE];
  struct redis_run *run;
  uint64_t epoch, head_epoch;
  uint64_t left_ms;       /* of another's lease, when a claim failed */
  uint64_t next_seq;      /* what comes next there */
  uint64_t sent_end;      /* position: the primary has all below */
  int64_t lease_until_ns; /* CLOCK_BOOTTIME */
  /* while the thread runs */
  struct store_follower follower;
  char *store_path;
  struct tail_file *tail;
  struct tail_header *header; /* the tail's; NULL: it does not */
  uint8_t *ring_bytes, *ring_delta; /* replication_ring.c's */
  uint64_t ring_position;     /* of the entry next_seq, */
  bool follows;               /* if this is so */
  struct acknowledgements *acknowledgements;
  int64_t short_since_ns;     /* CLOCK_BOOTTIME: fewer replicas acknowledge than somebody waits for; 0: enough do */
  bool short_said;
  _Atomic int32_t pid;        /* 0: not known yet */
  int lost;                   /* why the run is not this machine's any more; 0: it is. Read after the thread's end */
  struct failure lost_why;
};

void replication_say(const struct replication *replication, enum run_loudness loudness, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int replication_claim(struct replication *replication, uint64_t epoch, struct failure *failure);
/* Sends what the store has more. Errors of redis_run_append(). */
int replication_send(struct replication *replication, struct store *store, struct failure *failure);
/* The other store has all below `end`, and next_seq comes next, and lies there, unless a gap is between. */
void replication_has(struct replication *replication, uint64_t next_seq, uint64_t end);
/* It has less than was known: next_seq comes next. */
void replication_is_at(struct replication *replication, uint64_t next_seq);

/* From where all that the run's own store has is in the other one. */
int replication_ring_begin(struct replication *replication, struct failure *failure);
void replication_ring_end(struct replication *replication);
/* Sends what is published in the ring, and waits for at most step_ms for `replicas` to have it; both are told on. *ret_sent: false: the
 * drain has to bring it. Errors of redis_run_append(). */
int replication_ring_send(struct replication *replication, unsigned replicas, unsigned step_ms, bool *ret_sent, struct failure *failure);

/* A third of it has passed. */
bool replication_lease_is_old(const struct replication *replication);
/* There is a new lease: the program, if it runs, is told. */
void replication_has_lease(struct replication *replication, int64_t lease_until_ns);

#endif
