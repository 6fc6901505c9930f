/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions may be moved to another address, and what they look like there. */
#ifndef PERDURE_SUPERVISOR_BOUNDARY_MOVE_H
#define PERDURE_SUPERVISOR_BOUNDARY_MOVE_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No instruction grows longer than this by being moved. */
#define BOUNDARY_MOVED_SIZE_MAX 16u

/* Is it a direct jump, call or loop? ret_target gets where to. Needs no details. */
bool boundary_branch_target(const cs_insn *instruction, uint64_t *ret_target);

/* Does control never go on to the instruction after it? Needs details. */
bool boundary_ends_flow(const cs_insn *instruction);

/* What runs before a moved syscall instruction: no control flow, and rsp as it is. */
bool boundary_movable_before(const cs_insn *instruction);
/* What runs after it: also conditional and unconditional jumps, returns and halts. */
bool boundary_movable_after(const cs_insn *instruction);
/* What may begin a function whose entry is redirected: as after, and also what pushes. */
bool boundary_movable_entry(const cs_insn *instruction);

/* Writes the instruction as it must be at address `to`: the same bytes, but for distances from rip. out has
 * BOUNDARY_MOVED_SIZE_MAX bytes. -ERANGE: its target is out of reach from there. */
int boundary_move(const cs_insn *instruction, uint64_t to, uint8_t *out, size_t *ret_size);

#endif
