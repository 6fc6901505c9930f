/* SPDX-License-Identifier: Apache-2.0 */
/* The vDSO's functions that are not redirected to a system call of the same name (frame.h has those). */
#ifndef PERDURE_SHIM_VDSO_H
#define PERDURE_SHIM_VDSO_H

#include "shim/engine.h"

int64_t vdso_getrandom(void *bytes, size_t size, unsigned flags, void *state, size_t state_size);

#endif
