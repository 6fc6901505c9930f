/* SPDX-License-Identifier: Apache-2.0 */
/* How long a place of failure has been tried: what limits the total time of a policy, over attempts, supervisors and boots.
 *
 * Within one boot of a machine it is the boot time's difference, which counts suspension and does not jump. Between boots
 * nobody but the wall clock knows: its difference counts, but never less than the new boot has lasted, on the same machine, and
 * never less than nothing. So a clock that was set back delays the end by no more than the time that the machine was off. */
#ifndef PERDURE_SUPERVISOR_RETRY_CLOCK_H
#define PERDURE_SUPERVISOR_RETRY_CLOCK_H

#include "supervisor/store.h"

struct retry_moment {
  char boot[33];  /* which boot, in hex */
  char node[65];  /* the machine's name */
  int64_t boot_ns; /* CLOCK_BOOTTIME */
  int64_t wall_ns;
};

struct retry_clock {
  uint64_t place;
  uint64_t spent_ns; /* since the first failure at that place, at: */
  struct retry_moment moment;
};

/* From `then` to `now`, saturating at UINT64_MAX. */
uint64_t retry_elapsed_ns(const struct retry_moment *then, const struct retry_moment *now);
/* The clock at a failure at `place` now. before: the failure before, or NULL: there was none. */
struct retry_clock retry_clock_advance(const struct retry_clock *before, uint64_t place, const struct retry_moment *now);

/* -errno: this machine does not say which boot it is. */
int retry_moment_now(struct retry_moment *ret_moment);

/* meta.retry_clock: "PLACE SPENT BOOT BOOT_NS WALL_NS NODE". *ret_known: something was there. */
int retry_clock_load(struct store *store, struct retry_clock *ret_clock, bool *ret_known, struct failure *failure);
int retry_clock_save(struct store *store, const struct retry_clock *clock, struct failure *failure);

#endif
