/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERDURE_SUPERVISOR_CLOCK_H
#define PERDURE_SUPERVISOR_CLOCK_H

#include <stdint.h>
#include <time.h>

/* What the clock says now, in ns. */
static inline int64_t clock_ns(clockid_t clock)
{
  struct timespec now;

  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
