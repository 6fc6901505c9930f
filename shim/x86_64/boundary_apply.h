/* SPDX-License-Identifier: Apache-2.0 */
/* Redirects this process's libc and vDSO into the engine, by the images that the supervisor made
 * (journal/boundary.h). */
#ifndef PERDURE_SHIM_X86_64_BOUNDARY_APPLY_H
#define PERDURE_SHIM_X86_64_BOUNDARY_APPLY_H

#include "journal/boundary.h"

/* Called once, while the process has one thread.
 *
 * cache_directory: where boundary_prepare() put the images.
 * auxv: the process's auxiliary vector (Elf64_auxv_t, up to AT_NULL).
 * slots_libc, slots_vdso: addresses of the engine's entries, by enum boundary_slot.
 * ret_original: by slot, the address of the vDSO's function as it was, 0 where there is none: then
 *   the plain system call is all there is. Untouched on failure.
 * ret_error: on failure, why, as a constant sentence without a full stop.
 *
 * 0, or a negative errno: then the process is as it was before. Calls nothing outside the shim. */
int boundary_apply(const char *cache_directory, const void *auxv,
                   const uint64_t slots_libc[BOUNDARY_SLOT_COUNT],
                   const uint64_t slots_vdso[BOUNDARY_SLOT_COUNT],
                   uint64_t ret_original[BOUNDARY_SLOT_COUNT], const char **ret_error)
    __attribute__((visibility("hidden")));

#endif
