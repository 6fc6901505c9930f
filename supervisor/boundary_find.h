/* SPDX-License-Identifier: Apache-2.0 */
/* Where an object can be redirected: its code read with a disassembler, its `syscall` instructions, and
 * for each the window of instructions that a jump is written over. */
#ifndef PERDURE_SUPERVISOR_BOUNDARY_FIND_H
#define PERDURE_SUPERVISOR_BOUNDARY_FIND_H

#include "supervisor/elf_file.h"
#include "supervisor/store.h"

#include <capstone/capstone.h>

#define BOUNDARY_JUMP_SIZE 5u   /* jmp rel32 */
#define BOUNDARY_SYSCALL_SIZE 2u
#define BOUNDARY_INSTRUCTION_SIZE_MAX 15u

/* What is known of each byte of the code. */
enum boundary_mark {
  MARK_START = 1,    /* an instruction begins here */
  MARK_KNOWN = 2,    /* known to be one without disassembling: a function or a landing pad */
  MARK_TARGET = 4,   /* control may arrive here from elsewhere */
  MARK_UNREAD = 8,   /* the disassembler did not understand what is here */
};

/* The one executable segment of an object. */
struct boundary_code {
  const struct elf_file *file;
  csh disassembler; /* with details */
  uint64_t address; /* of bytes[0], relative to the object's base */
  const uint8_t *bytes;
  size_t size;
  uint8_t *marks;      /* enum boundary_mark, one per byte */
  uint64_t *syscalls;  /* addresses, ascending */
  size_t syscall_count, syscall_room;
  uint64_t *tables;    /* addresses that might be jump tables */
  size_t table_count, table_room;
};

/* Reads the code of `file`, which must outlive ret_code. `name` is for the failure. -ENOEXEC: it is
 * not the kind of object that can be read; nothing is kept then. */
int boundary_code_read(const struct elf_file *file, const char *name, struct boundary_code *ret_code,
                       struct failure *failure);
void boundary_code_clear(struct boundary_code *code);

/* The instruction at an address of the code, freed by cs_free(insn, 1); NULL when it is not one. */
cs_insn *boundary_code_at(const struct boundary_code *code, uint64_t address);
/* May control arrive inside (begin, end), begin itself not counted? */
bool boundary_code_has_target(const struct boundary_code *code, uint64_t begin, uint64_t end);

/* Where the jump for one syscall instruction goes. */
struct boundary_window {
  uint64_t address; /* the jump overwrites size bytes from here */
  uint32_t size;    /* at least BOUNDARY_JUMP_SIZE */
  uint64_t syscall; /* the instruction, inside */
};

/* Is it rt_sigreturn's? That one is left alone: it needs the exact stack pointer, and unwinders look
 * for the bytes. */
bool boundary_is_sigreturn(const struct boundary_code *code, uint64_t syscall);

/* Chooses the window with the fewest moved instructions for code->syscalls[index]. not_before: the end of
 * the window before. -ENOEXEC: there is none. */
int boundary_window_choose(const struct boundary_code *code, size_t index, uint64_t not_before,
                           struct boundary_window *ret_window);

#endif
