/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for what other machines have of the journal (struct tail_replication). */
#ifndef PERDURE_SHIM_REPLICAS_H
#define PERDURE_SHIM_REPLICAS_H

#include "shim/engine.h"

/* Waits until the other store's primary and at least `replicas` replicas have all of the journal below `end`, for at most
 * timeout_ns; 0: without a bound. *ret_count (may be NULL): how many replicas there were, also with -ETIMEDOUT. -ENOTCONN: there is no other
 * store. */
int replicas_wait(uint64_t end, unsigned replicas, uint64_t timeout_ns, unsigned *ret_count);

/* Before a remote change whose intent ends at `end`: what was promised of it is kept, and this machine may still act
 * for the run. Returns when it is so. */
void replicas_before_remote(uint64_t end);

#endif
