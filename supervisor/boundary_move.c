/* SPDX-License-Identifier: Apache-2.0 */
/* Moving instructions. Pure functions. */
#include "supervisor/boundary_move.h"

#include "supervisor/boundary.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static bool is_conditional_jump(unsigned id)
{
  switch (id) {
  case X86_INS_JA: case X86_INS_JAE: case X86_INS_JB: case X86_INS_JBE: case X86_INS_JE:
  case X86_INS_JG: case X86_INS_JGE: case X86_INS_JL: case X86_INS_JLE: case X86_INS_JNE:
  case X86_INS_JNO: case X86_INS_JNP: case X86_INS_JNS: case X86_INS_JO: case X86_INS_JP:
  case X86_INS_JS:
    return true;
  default:
    return false;
  }
}

bool boundary_branch_target(const cs_insn *instruction, uint64_t *ret_target)
{
  switch (instruction->id) {
  case X86_INS_JMP: case X86_INS_CALL: case X86_INS_JCXZ: case X86_INS_JECXZ: case X86_INS_JRCXZ:
  case X86_INS_LOOP: case X86_INS_LOOPE: case X86_INS_LOOPNE: case X86_INS_XBEGIN:
    break;
  default:
    if (!is_conditional_jump(instruction->id))
      return false;
  }
  /* An immediate operand is printed as a number, and it is the address itself. */
  char *end;
  uint64_t target = strtoull(instruction->op_str, &end, 0);
  if (end == instruction->op_str || *end)
    return false;
  *ret_target = target;
  return true;
}

bool boundary_ends_flow(const cs_insn *instruction)
{
  return instruction->id == X86_INS_JMP || instruction->id == X86_INS_RET ||
         instruction->id == X86_INS_HLT || instruction->id == X86_INS_UD2;
}

static bool in_group(const cs_insn *instruction, uint8_t group)
{
  const cs_detail *detail = instruction->detail;
  for (uint8_t i = 0; i < detail->groups_count; i++) {
    if (detail->groups[i] == group)
      return true;
  }
  return false;
}

/* Can its addresses be written for another place? rip may be a base with a 32-bit distance. */
static bool addresses_movable(const cs_insn *instruction)
{
  const cs_x86 *x86 = &instruction->detail->x86;
  for (uint8_t i = 0; i < x86->op_count; i++) {
    const cs_x86_op *operand = &x86->operands[i];
    if (operand->type != X86_OP_MEM)
      continue;
    if (operand->mem.base == X86_REG_EIP || operand->mem.index == X86_REG_EIP)
      return false;
    if (operand->mem.base == X86_REG_RIP &&
        (x86->encoding.disp_offset == 0 || x86->encoding.disp_offset + 4 > instruction->size))
      return false;
  }
  return true;
}

static bool writes_rsp(const cs_insn *instruction)
{
  const cs_x86 *x86 = &instruction->detail->x86;
  for (uint8_t i = 0; i < x86->op_count; i++) {
    unsigned reg = x86->operands[i].type == X86_OP_REG ? x86->operands[i].reg : X86_REG_INVALID;
    if (reg == X86_REG_RSP || reg == X86_REG_ESP || reg == X86_REG_SP || reg == X86_REG_SPL) {
      if (i == 0 || instruction->id == X86_INS_XCHG || instruction->id == X86_INS_XADD)
        return true;
    }
  }
  return false;
}

static bool uses_stack(unsigned id)
{
  switch (id) {
  case X86_INS_PUSH: case X86_INS_PUSHF: case X86_INS_PUSHFQ: case X86_INS_PUSHAW:
  case X86_INS_PUSHAL: case X86_INS_POP: case X86_INS_POPF: case X86_INS_POPFQ: case X86_INS_POPAW:
  case X86_INS_POPAL: case X86_INS_ENTER: case X86_INS_LEAVE:
    return true;
  default:
    return false;
  }
}

static bool is_flow(const cs_insn *instruction)
{
  uint64_t target;
  return boundary_ends_flow(instruction) || boundary_branch_target(instruction, &target) ||
         in_group(instruction, X86_GRP_JUMP) || in_group(instruction, X86_GRP_CALL) ||
         in_group(instruction, X86_GRP_RET) || in_group(instruction, X86_GRP_INT) ||
         in_group(instruction, X86_GRP_IRET) || instruction->id == X86_INS_SYSCALL ||
         instruction->id == X86_INS_SYSENTER || instruction->id == X86_INS_XABORT ||
         instruction->id == X86_INS_XEND;
}

bool boundary_movable_before(const cs_insn *instruction)
{
  return !is_flow(instruction) && !uses_stack(instruction->id) && !writes_rsp(instruction) &&
         addresses_movable(instruction);
}

/* Jumps that boundary_move() can write: to a known place. */
static bool is_plain_jump(const cs_insn *instruction)
{
  uint64_t target;
  return (instruction->id == X86_INS_JMP || is_conditional_jump(instruction->id)) &&
         boundary_branch_target(instruction, &target);
}

bool boundary_movable_after(const cs_insn *instruction)
{
  return is_plain_jump(instruction) || instruction->id == X86_INS_RET ||
         instruction->id == X86_INS_HLT || boundary_movable_before(instruction);
}

bool boundary_movable_entry(const cs_insn *instruction)
{
  if (is_plain_jump(instruction) || instruction->id == X86_INS_RET)
    return true;
  return !is_flow(instruction) && addresses_movable(instruction);
}

/* The distance from the end of an instruction to target, if 32 bits hold it. */
static int distance(uint64_t target, uint64_t end, int32_t *ret_distance)
{
  int64_t value = (int64_t)(target - end);
  if (value != (int32_t)value)
    return -ERANGE;
  *ret_distance = (int32_t)value;
  return 0;
}

static int move_jump(const cs_insn *instruction, uint64_t target, uint64_t to, uint8_t *out,
                     size_t *ret_size)
{
  const uint8_t *opcode = instruction->detail->x86.opcode;
  size_t size = 0;
  if (instruction->id == X86_INS_JMP) {
    out[size++] = 0xe9;
  } else {
    /* The condition is the low half of the last opcode byte, in both forms. */
    out[size++] = 0x0f;
    out[size++] = 0x80 | ((opcode[0] == 0x0f ? opcode[1] : opcode[0]) & 0x0f);
  }
  int32_t relative;
  int result = distance(target, to + size + 4, &relative);
  if (result < 0)
    return result;
  memcpy(out + size, &relative, 4);
  *ret_size = size + 4;
  return 0;
}

int boundary_move(const cs_insn *instruction, uint64_t to, uint8_t *out, size_t *ret_size)
{
  uint64_t target;
  if (boundary_branch_target(instruction, &target))
    return move_jump(instruction, target, to, out, ret_size);
  memcpy(out, instruction->bytes, instruction->size);
  const cs_x86 *x86 = &instruction->detail->x86;
  for (uint8_t i = 0; i < x86->op_count; i++) {
    if (x86->operands[i].type != X86_OP_MEM || x86->operands[i].mem.base != X86_REG_RIP)
      continue;
    int32_t old, new;
    memcpy(&old, instruction->bytes + x86->encoding.disp_offset, 4);
    uint64_t meant = instruction->address + instruction->size + (uint64_t)(int64_t)old;
    int result = distance(meant, to + instruction->size, &new);
    if (result < 0)
      return result;
    memcpy(out + x86->encoding.disp_offset, &new, 4);
  }
  *ret_size = instruction->size;
  return 0;
}

const char *boundary_disassembler_version(void)
{
  static char version[24];
  int major, minor;

  cs_version(&major, &minor);
  snprintf(version, sizeof version, "%d.%d", major, minor);
  return version;
}
