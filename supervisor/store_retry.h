/* SPDX-License-Identifier: Apache-2.0 */
/* Table retry(attempt INTEGER PRIMARY KEY, place, failure, max_attempts, delay_ns, policy, spent_ns, total_ns): one row for
 * each attempt that died and was looked at by the retry policy. */
#ifndef PERDURE_SUPERVISOR_STORE_RETRY_H
#define PERDURE_SUPERVISOR_STORE_RETRY_H

#include "supervisor/store.h"

struct store_retry {
  unsigned attempt;
  uint64_t place;        /* how many of the program's calls had an end in the journal */
  uint32_t failure;      /* the how many-th in a row at that place, from 1 */
  uint32_t max_attempts; /* of the policy that held */
  bool again;            /* another attempt was to follow, after: */
  uint64_t delay_ns;
  const char *policy;    /* its name, valid during the visit; NULL: it has none */
  uint64_t spent_ns;     /* since the first failure at that place */
  uint64_t total_ns;     /* that it may take; 0: as long as it does, or the policy with that name says */
};
/* A transaction of its own, or the caller's. */
int store_retry_add(struct store *store, const struct store_retry *retry, struct failure *failure);

/* An attempt that has ended, however. */
struct store_failed_attempt {
  unsigned number;
  const char *ended;        /* as store_attempt_end() had it; valid during the visit */
  int status;
  int64_t ended_ns;
  bool decided;             /* retry is there */
  struct store_retry retry;
};
/* Visits them in order. */
int store_retry_each(struct store *store, void (*visit)(const struct store_failed_attempt *failed, void *context),
                     void *context, struct failure *failure);

#endif
