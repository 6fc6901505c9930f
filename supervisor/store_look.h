/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at runs in a Redis, from a machine that need not know them: nothing is written there, nobody is taken over, and no
 * directory of perdure's is touched. */
#ifndef PERDURE_SUPERVISOR_STORE_LOOK_H
#define PERDURE_SUPERVISOR_STORE_LOOK_H

#include "supervisor/run_lock.h"
#include "supervisor/run_read.h"

/* What is known of the run there. -ENOENT: it is not there; else redis_run.h's errors, each a line for a person. */
int store_look_info(const char *url, const char *id, bool secrets, struct run_info *ret_info, struct failure *failure);

/* The same of each run there, of a cluster in all its nodes; a run that is made or removed meanwhile may be missing, or come twice. `each`
 * owns the info, or gets NULL and why that run cannot be read; what it returns, if not 0, ends the walk and is returned. */
int store_look_all(const char *url, bool secrets,
                   int (*each)(const char *id, struct run_info *info, const struct failure *why, void *context), void *context,
                   struct failure *failure);

/* Makes a copy of the run under `base`, an empty directory of the caller's, as far as it is there. While somebody holds the run, the copy
 * is locked as the run is by its supervisor: *ret_lock, for the caller to release. */
int store_look_fetch(const char *url, const char *base, const char *id, struct run_lock *ret_lock, struct failure *failure);

#endif
