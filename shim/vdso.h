/* SPDX-License-Identifier: Apache-2.0 */
/* What the vDSO's functions are redirected to: the C interface of each, into the engine. */
#ifndef PERDURE_SHIM_VDSO_H
#define PERDURE_SHIM_VDSO_H

#include "shim/engine.h"

int64_t vdso_clock_gettime(int clock, void *time);
int64_t vdso_gettimeofday(void *time, void *zone);
int64_t vdso_time(void *time);
int64_t vdso_getcpu(void *cpu, void *node, void *unused);
int64_t vdso_clock_getres(int clock, void *resolution);
int64_t vdso_getrandom(void *bytes, size_t size, unsigned flags, void *state, size_t state_size);

#endif
