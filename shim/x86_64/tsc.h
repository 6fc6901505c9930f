/* SPDX-License-Identifier: Apache-2.0 */
/* Recognising the instructions that read the time-stamp counter: rdtsc (0f 31), rdtscp (0f 01 f9). */
#ifndef PERDURE_SHIM_X86_64_TSC_H
#define PERDURE_SHIM_X86_64_TSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long such an instruction at rip is: 2, 3, or 0 when it is another. rip: of a trap, so that the
 * instruction's own bytes can be read. *ret_rdtscp (written unless 0): it is rdtscp, which also sets
 * ecx to the processor's number. */
unsigned tsc_instruction_length(const uint8_t *rip, bool *ret_rdtscp)
    __attribute__((visibility("hidden")));

/* Do the bytes of such an instruction occur anywhere in the text? They may be part of another one:
 * true means perhaps. */
bool tsc_scan(const uint8_t *text, size_t size) __attribute__((visibility("hidden")));

#endif
