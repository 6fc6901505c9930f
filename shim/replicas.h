/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for what other machines have of the journal (struct tail_replication). */
#ifndef PERDURE_SHIM_REPLICAS_H
#define PERDURE_SHIM_REPLICAS_H

#include "shim/engine.h"

/* Asks that the other store's primary and at least `replicas` replicas get all of the journal below `end`; what else is to be
 * done meanwhile, such as to put it on disk here, costs no time of its own. replicas_wait() has to follow. -ENOTCONN: there is no
 * other store, or it cannot have so many; nothing was asked. */
int replicas_ask(uint64_t end, unsigned replicas);
/* Waits until they have it, for at most timeout_ns; 0: without a bound. *ret_count (may be NULL): how many replicas there were, also
 * with -ETIMEDOUT. */
int replicas_wait(uint64_t end, unsigned replicas, uint64_t timeout_ns, unsigned *ret_count);

/* Before a remote change whose intent ends at `end`: asks for what was promised of it, if anything was. */
int replicas_ask_before_remote(uint64_t end);
/* asked: what that has returned. What was promised is kept, and this machine may still act for the run. Returns when it is so. */
void replicas_before_remote(uint64_t end, int asked);

#endif
