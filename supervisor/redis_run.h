/* SPDX-License-Identifier: Apache-2.0 */
/* A run's journal in Redis, for its one owner (redis_run.lua has the keys, and refuses all others).
 *
 *   perdure:{ID}:chunks   each: a row of the store's table (redis_run.c)
 *   perdure:{ID}:run head   a zstd frame of an SQLite database: the store's other tables
 *
 * Who owns a run: the one that claimed it last. A claim raises the epoch; what carries an old one is refused by the
 * server, in the same step as it would be written. A lease keeps others from claiming for lease_ms; it is
 * counted on the server's clock there, and here on CLOCK_BOOTTIME from before the command was sent, so that it ends here
 * first, also while this machine sleeps.
 *
 * Not for several threads at once. A crash at any line: each function is one step in the server, which is done or not;
 * doing it again changes nothing.
 */
#ifndef PERDURE_SUPERVISOR_REDIS_RUN_H
#define PERDURE_SUPERVISOR_REDIS_RUN_H

#include "supervisor/redis_link.h"
#include "supervisor/store.h"

#define REDIS_RUN_FORMAT 1
/* As lease_ms of an append: the lease stays as it is, and nothing is said of it. */
#define REDIS_LEASE_KEEP UINT32_MAX

struct redis_claim {
  const char *owner;   /* who: the same only for the same run directory of the same machine */
  const char *name;    /* the same, for people */
  unsigned lease_ms;
  uint64_t epoch_min;  /* 1 more than one that this owner had, where the server may have forgotten it */
};

struct redis_claimed {
  uint64_t epoch;
  uint64_t next_seq;     /* what comes next there */
  uint64_t end_position; /* of what is there */
  uint64_t head_epoch;   /* of the owner who wrote the head last; 0: there is none */
  int64_t lease_until_ns; /* CLOCK_BOOTTIME */
};

struct redis_run;

/* `address` has to outlive it. Connects. Errors of redis_link_open(). */
int redis_run_open(const struct redis_address *address, const char *id, struct redis_run **ret_run,
                   struct failure *failure);
/* The same for whoever only reads: needs no right to write, and nothing is left in the server. */
int redis_run_open_to_look(const struct redis_address *address, const char *id, struct redis_run **ret_run, struct failure *failure);
/* NULL is fine. */
void redis_run_close(struct redis_run *run);

/* Errors of all the following: redis_link_ask()'s, after which (-ENOTCONN) the next call connects again;
 *   -ESTALE   another owner has taken the run over: the failure names it; nothing was written
 *   -ENOENT   the run is not there (any more)
 *   -EPROTO   it is there in another format */

/* -EBUSY: another's lease runs; the failure says whose and how long, *ret_left_ms (may be NULL) too. */
int redis_run_claim(struct redis_run *run, const struct redis_claim *claim, struct redis_claimed *ret_claimed,
                    uint64_t *ret_left_ms, struct failure *failure);
/* *ret_next_seq: what comes next there. */
int redis_run_renew(struct redis_run *run, unsigned lease_ms, uint64_t *ret_next_seq, int64_t *ret_lease_until_ns,
                    struct failure *failure);
/* Forgets all of it but who owns it: the run is begun anew. */
int redis_run_reset(struct redis_run *run, struct failure *failure);
/* Appends chunks in their order; those that are there are passed over. Renews the lease. -EILSEQ: they do not
 * follow: *ret_next_seq is what has to. Written on success too. */
int redis_run_append(struct redis_run *run, const struct store_chunk *chunks, unsigned count, unsigned lease_ms,
                     uint64_t *ret_next_seq, int64_t *ret_lease_until_ns, struct failure *failure);
struct redis_appended {
  uint64_t next_seq;      /* what comes next there */
  int64_t lease_until_ns; /* CLOCK_BOOTTIME; 0: as it was */
  unsigned acknowledged;  /* replicas that have it */
};
/* One chunk, and a wait of at most timeout_ms (not 0) until `replicas` have it, in one round trip. Fewer: no error. -EILSEQ as
 * redis_run_append(). -EAGAIN: nothing was done; redis_run_append() does it. */
int redis_run_append_and_wait(struct redis_run *run, const struct store_chunk *chunk, unsigned lease_ms, unsigned replicas,
                              unsigned timeout_ms, struct redis_appended *ret_appended, struct failure *failure);
/* state: enum run_state's name. */
int redis_run_set_head(struct redis_run *run, const char *state, const void *bytes, size_t length,
                       struct failure *failure);
int redis_run_release(struct redis_run *run, struct failure *failure);
/* All of it is gone, and who owns it too. */
int redis_run_remove(struct redis_run *run, struct failure *failure);

/* Waits until at least `replicas` have all that this connection has written; 0 as timeout_ms: for ever, by
 * steps. *ret_acknowledged: how many have, also with -ETIME: fewer do after that time. */
int redis_run_wait(struct redis_run *run, unsigned replicas, unsigned timeout_ms, unsigned *ret_acknowledged,
                   struct failure *failure);

/* redis_runs.c: calls `each` for each run in that state (enum run_state's name; NULL: any) that the server has, or any node of the cluster,
 * until it returns non-zero, which is returned. `run` is opened to look, and only until `each` returns. One that is made or removed meanwhile
 * may be missing, or come twice. A node that cannot be asked does not hide the others: its error is returned at the end. */
int redis_runs(const struct redis_address *address, const char *state,
               int (*each)(struct redis_run *run, const char *id, void *context), void *context, struct failure *failure);

/* For whoever takes it over or looks at it: as one of all stores, without what writes. Its errors: -EBADMSG: what is there is damaged. */
struct any_store redis_run_any(struct redis_run *run);
int redis_run_head(struct redis_run *run, struct store_head *ret_head, struct failure *failure);
/* What the server says of a run, in one step. */
struct redis_look {
  struct store_head head; /* for the caller to free */
  uint64_t next_seq, epoch;
  char owner[512];        /* for people */
  uint64_t lease_left_ms; /* 0: nobody holds it */
};
int redis_run_look(struct redis_run *run, struct redis_look *ret_look, struct failure *failure);

#endif
