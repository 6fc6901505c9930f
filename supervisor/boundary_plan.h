/* SPDX-License-Identifier: Apache-2.0 */
/* A boundary image being made: its header, stubs and sites, before they are one file. */
#ifndef PERDURE_SUPERVISOR_BOUNDARY_PLAN_H
#define PERDURE_SUPERVISOR_BOUNDARY_PLAN_H

#include "journal/boundary.h"
#include "supervisor/boundary_find.h"

#define BOUNDARY_PAGE_SIZE 4096u
/* Where the stubs lie, from the object's base: in reach of a 32-bit distance, and far from what the
 * program maps. The two do not meet: libc and the vDSO lie within a few MiB of each other. */
#define BOUNDARY_LIBC_STUBS_DELTA (-0x40000000ll)
#define BOUNDARY_VDSO_STUBS_DELTA (-0x50000000ll)

struct boundary_plan {
  struct boundary_header header; /* offsets, counts and checksum are set when it is written */
  uint8_t *text;                 /* header.text_size bytes */
  uint8_t *stubs;
  size_t stubs_size, stubs_room;
  struct boundary_site *sites;
  size_t site_count, site_room;
  struct boundary_slot_use {
    size_t offset; /* in the stubs, of a 32-bit distance that must lead to the slot */
    unsigned slot;
  } *slot_uses;
  size_t slot_use_count, slot_use_room;
  bool out_of_memory; /* sticks; what was appended since is missing */
};

/* Starts a plan: identity from the object's build-id, no text yet. -ENOEXEC: it has no build-id. */
int boundary_plan_begin(const struct elf_file *file, enum boundary_object object, const char *name,
                        struct boundary_plan *ret_plan, struct failure *failure);
void boundary_plan_clear(struct boundary_plan *plan);

/* The address that the next stub byte will have, relative to the object's base. */
uint64_t boundary_plan_here(const struct boundary_plan *plan);
void boundary_plan_append(struct boundary_plan *plan, const void *bytes, size_t size);
void boundary_plan_align(struct boundary_plan *plan);
/* Appends the instruction as it must be there. -ERANGE as boundary_move(). */
int boundary_plan_append_moved(struct boundary_plan *plan, const cs_insn *instruction);
/* `jmp *slot(%rip)` */
void boundary_plan_append_slot_jump(struct boundary_plan *plan, enum boundary_slot slot);
/* `jmp target` */
int boundary_plan_append_jump(struct boundary_plan *plan, uint64_t target);
/* A site of `size` bytes that jumps to `target`; what the jump leaves over traps. */
int boundary_plan_add_jump_site(struct boundary_plan *plan, uint64_t address, uint32_t size,
                                uint64_t target, enum boundary_slot slot);
void boundary_plan_add_site(struct boundary_plan *plan, const struct boundary_site *site);

/* Resolves the slots; nothing can be appended after it. -ENOMEM when memory ran out anywhere. */
int boundary_plan_finish(struct boundary_plan *plan, struct failure *failure);

/* The plans themselves. `name` is for failures. */
int boundary_plan_libc(const struct elf_file *file, const char *name, struct boundary_plan *ret_plan,
                       struct failure *failure);
int boundary_plan_vdso(const struct elf_file *file, const char *name, struct boundary_plan *ret_plan,
                       struct failure *failure);

#endif
