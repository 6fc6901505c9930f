/* SPDX-License-Identifier: Apache-2.0 */
/* What an object's unwind tables say about its code: where functions begin, and where the unwinder
 * may send a thread (landing pads). Format: System V ABI, AMD64 supplement, section 4.2.4; Linux
 * Standard Base, .eh_frame_hdr; Itanium C++ ABI, exception handling tables. */
#ifndef PERDURE_SUPERVISOR_BOUNDARY_UNWIND_H
#define PERDURE_SUPERVISOR_BOUNDARY_UNWIND_H

#include "supervisor/elf_file.h"

/* Called with the address of each function's first byte and of each landing pad. */
typedef void boundary_unwind_visit(void *context, uint64_t address);

/* Walks the tables of an object. -ENOEXEC: it has none, or they are not understood; some addresses may
 * have been visited by then. */
int boundary_unwind_walk(const struct elf_file *file, boundary_unwind_visit *function,
                         boundary_unwind_visit *landing_pad, void *context);

#endif
