/* SPDX-License-Identifier: Apache-2.0 */
/* Reads an object's code and finds what to redirect. Writes nothing.
 *
 * A linear disassembly stays in step because it begins anew at every known start: functions from the
 * unwind tables and the symbol tables, landing pads, direct branch targets not included (some lead past
 * a lock prefix). Bytes that are not understood are marked, and a syscall's bytes among them refuse
 * the object: a call that goes past the journal must not be possible silently.
 *
 * What may arrive inside a window: direct branches, landing pads, function starts, addresses that code
 * takes (`lea`), and jump tables: every table that code takes the address of, read for as long as its
 * entries lead into the code. Too many of these only make a window worse, never wrong.
 */
#include "supervisor/boundary_find.h"

#include "supervisor/boundary_move.h"
#include "supervisor/boundary_unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_ENTRIES_MAX 4096u
#define NEIGHBOURS_MAX 4u

static bool inside(const struct boundary_code *code, uint64_t address)
{
  return address >= code->address && address - code->address < code->size;
}

static void mark(struct boundary_code *code, uint64_t address, unsigned marks)
{
  if (inside(code, address))
    code->marks[address - code->address] |= (uint8_t)marks;
}

static bool marked(const struct boundary_code *code, uint64_t address, unsigned marks)
{
  return inside(code, address) && code->marks[address - code->address] & marks;
}

static int append(uint64_t **list, size_t *count, size_t *room, uint64_t value)
{
  if (*count == *room) {
    size_t more = *room ? *room * 2 : 256;
    uint64_t *grown = reallocarray(*list, more, sizeof **list);
    if (!grown)
      return -ENOMEM;
    *list = grown;
    *room = more;
  }
  (*list)[(*count)++] = value;
  return 0;
}

/* --- what is known before disassembling --- */

static void mark_known(void *context, uint64_t address)
{
  mark(context, address, MARK_KNOWN | MARK_TARGET);
}

static void mark_symbols(struct boundary_code *code, uint32_t type)
{
  size_t count = 0;
  const Elf64_Sym *symbols = elf_file_symbols(code->file, type, &count);
  for (size_t i = 0; i < count; i++) {
    unsigned kind = ELF64_ST_TYPE(symbols[i].st_info);
    if ((kind == STT_FUNC || kind == STT_GNU_IFUNC) && symbols[i].st_shndx != SHN_UNDEF)
      mark_known(code, symbols[i].st_value);
  }
}

/* --- reading --- */

/* The address that `lea address(%rip)` takes. */
static bool address_taken(const cs_insn *instruction, uint64_t *ret_address)
{
  if (instruction->id != X86_INS_LEA || !strstr(instruction->op_str, "[rip"))
    return false;
  int32_t relative;
  memcpy(&relative, instruction->bytes + instruction->size - 4, 4);
  *ret_address = instruction->address + instruction->size + (uint64_t)(int64_t)relative;
  return true;
}

static int note_instruction(struct boundary_code *code, const cs_insn *instruction)
{
  uint64_t address;
  mark(code, instruction->address, MARK_START);
  if (boundary_branch_target(instruction, &address)) {
    mark(code, address, MARK_TARGET);
  } else if (address_taken(instruction, &address)) {
    mark(code, address, MARK_TARGET);
    if (!inside(code, address))
      return append(&code->tables, &code->table_count, &code->table_room, address);
  } else if (instruction->id == X86_INS_SYSCALL) {
    return append(&code->syscalls, &code->syscall_count, &code->syscall_room,
                  instruction->address);
  } else if (instruction->id == X86_INS_SYSENTER ||
             (instruction->size == 2 && memcmp(instruction->bytes, "\xcd\x80", 2) == 0)) {
    return -ENOEXEC;
  }
  return 0;
}

/* The first known start in (begin, end), or end. */
static uint64_t next_known(const struct boundary_code *code, uint64_t begin, uint64_t end)
{
  uint64_t address = begin + 1;
  while (address < end && !marked(code, address, MARK_KNOWN))
    address++;
  return address;
}

/* Disassembles [begin, end) of the code. */
static int read_range(struct boundary_code *code, csh disassembler, cs_insn *instruction,
                      uint64_t begin, uint64_t end)
{
  const uint8_t *bytes = code->bytes + (begin - code->address);
  size_t left = end - begin;
  uint64_t address = begin;
  while (left > 0) {
    uint64_t here = address;
    if (cs_disasm_iter(disassembler, &bytes, &left, &address, instruction)) {
      uint64_t known = next_known(code, here, address);
      if (known == address) {
        int result = note_instruction(code, instruction);
        if (result < 0)
          return result;
        continue;
      }
      address = known;
    } else {
      address = here + 1;
    }
    for (uint64_t byte = here; byte < address; byte++)
      mark(code, byte, MARK_UNREAD);
    bytes = code->bytes + (address - code->address);
    left = end - address;
  }
  return 0;
}

static int read_sections(struct boundary_code *code, csh disassembler, cs_insn *instruction)
{
  const Elf64_Shdr *section;
  bool any = false;
  for (size_t i = 0; (section = elf_file_section(code->file, i)); i++) {
    if (section->sh_type != SHT_PROGBITS || !(section->sh_flags & SHF_EXECINSTR) ||
        !inside(code, section->sh_addr) ||
        section->sh_size > code->address + code->size - section->sh_addr)
      continue;
    any = true;
    int result = read_range(code, disassembler, instruction, section->sh_addr,
                            section->sh_addr + section->sh_size);
    if (result < 0)
      return result;
  }
  if (any)
    return 0;
  return read_range(code, disassembler, instruction, code->address, code->address + code->size);
}

/* Entries are distances from the table. One that does not lead to an instruction is no entry, and ends
 * the table. */
static void mark_table(struct boundary_code *code, uint64_t table)
{
  for (unsigned i = 0; i < TABLE_ENTRIES_MAX; i++) {
    const void *entry = elf_file_at(code->file, table + 4ull * i, 4);
    if (!entry)
      return;
    int32_t distance;
    memcpy(&distance, entry, 4);
    uint64_t target = table + (uint64_t)(int64_t)distance;
    if (!marked(code, target, MARK_START))
      return;
    mark(code, target, MARK_TARGET);
  }
}

/* Syscall bytes where the disassembler saw none, and not inside an instruction that it understood. */
static bool has_hidden_syscall(const struct boundary_code *code, uint64_t *ret_address)
{
  for (size_t i = 0; i + 1 < code->size; i++) {
    if (code->marks[i] & MARK_UNREAD && code->bytes[i] == 0x0f &&
        (code->bytes[i + 1] == 0x05 || code->bytes[i + 1] == 0x34)) {
      *ret_address = code->address + i;
      return true;
    }
  }
  return false;
}

static int compare_addresses(const void *left, const void *right)
{
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

static int read_code(struct boundary_code *code, csh disassembler, const char *name,
                     struct failure *failure)
{
  if (boundary_unwind_walk(code->file, mark_known, mark_known, code) < 0)
    return failure_set(failure, -ENOEXEC, "%s has no unwind tables that can be read", name);
  mark_symbols(code, SHT_DYNSYM);
  mark_symbols(code, SHT_SYMTAB);
  cs_insn *instruction = cs_malloc(disassembler);
  if (!instruction)
    return failure_set(failure, -ENOMEM, "out of memory reading %s", name);
  int result = read_sections(code, disassembler, instruction);
  cs_free(instruction, 1);
  if (result == -ENOEXEC)
    return failure_set(failure, result, "%s makes system calls by int 0x80 or sysenter", name);
  if (result < 0)
    return failure_set(failure, result, "out of memory reading %s", name);
  for (size_t i = 0; i < code->table_count; i++)
    mark_table(code, code->tables[i]);
  uint64_t hidden;
  if (has_hidden_syscall(code, &hidden))
    return failure_set(failure, -ENOEXEC, "%s has code at %#llx that cannot be disassembled", name,
                       (unsigned long long)hidden);
  if (code->syscall_count)
    qsort(code->syscalls, code->syscall_count, sizeof *code->syscalls, compare_addresses);
  return 0;
}

/* The one executable segment. */
static int find_segment(struct boundary_code *code)
{
  const Elf64_Phdr *segment, *found = NULL;
  for (size_t i = 0; (segment = elf_file_segment(code->file, i)); i++) {
    if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
      continue;
    if (found)
      return -ENOEXEC;
    found = segment;
  }
  if (!found || found->p_filesz == 0 || found->p_filesz != found->p_memsz ||
      !elf_file_bytes(code->file, found->p_offset, found->p_filesz))
    return -ENOEXEC;
  code->address = found->p_vaddr;
  code->bytes = code->file->bytes + found->p_offset;
  code->size = found->p_filesz;
  return 0;
}

int boundary_code_read(const struct elf_file *file, const char *name, struct boundary_code *ret_code,
                       struct failure *failure)
{
  struct boundary_code code = {.file = file};
  if (!elf_file_is_x86_64(file))
    return failure_set(failure, -ENOEXEC, "%s is not an x86-64 object", name);
  if (find_segment(&code) < 0)
    return failure_set(failure, -ENOEXEC, "%s does not have exactly one executable segment", name);
  csh plain = 0;
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &plain) != CS_ERR_OK)
    return failure_set(failure, -ENOMEM, "the disassembler cannot be opened");
  int result = 0;
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &code.disassembler) != CS_ERR_OK ||
      cs_option(code.disassembler, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK)
    result = failure_set(failure, -ENOMEM, "the disassembler cannot be opened");
  code.marks = calloc(code.size, 1);
  if (result == 0 && !code.marks)
    result = failure_set(failure, -ENOMEM, "out of memory reading %s", name);
  if (result == 0)
    result = read_code(&code, plain, name, failure);
  cs_close(&plain);
  if (result < 0)
    boundary_code_clear(&code);
  else
    *ret_code = code;
  return result;
}

void boundary_code_clear(struct boundary_code *code)
{
  if (code->disassembler)
    cs_close(&code->disassembler);
  free(code->marks);
  free(code->syscalls);
  free(code->tables);
  *code = (struct boundary_code){0};
}

cs_insn *boundary_code_at(const struct boundary_code *code, uint64_t address)
{
  if (!marked(code, address, MARK_START))
    return NULL;
  size_t offset = address - code->address;
  size_t left = code->size - offset;
  cs_insn *instruction = NULL;
  if (left > BOUNDARY_INSTRUCTION_SIZE_MAX)
    left = BOUNDARY_INSTRUCTION_SIZE_MAX;
  if (cs_disasm(code->disassembler, code->bytes + offset, left, address, 1, &instruction) != 1)
    return NULL;
  return instruction;
}

bool boundary_code_has_target(const struct boundary_code *code, uint64_t begin, uint64_t end)
{
  for (uint64_t address = begin + 1; address < end; address++) {
    if (marked(code, address, MARK_TARGET | MARK_KNOWN))
      return true;
  }
  return false;
}

/* --- windows --- */

/* The start of the instruction that ends at `address`, 0 when there is none. */
static uint64_t instruction_before(const struct boundary_code *code, uint64_t address)
{
  for (unsigned size = 1; size <= BOUNDARY_INSTRUCTION_SIZE_MAX; size++) {
    if (marked(code, address - size, MARK_UNREAD))
      return 0;
    if (marked(code, address - size, MARK_START))
      return address - size;
  }
  return 0;
}

bool boundary_is_sigreturn(const struct boundary_code *code, uint64_t syscall)
{
  static const uint8_t wide[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0}; /* mov $15, %rax */
  static const uint8_t narrow[] = {0xb8, 0x0f, 0, 0, 0};           /* mov $15, %eax */
  size_t offset = syscall - code->address;
  return (offset >= sizeof wide &&
          memcmp(code->bytes + offset - sizeof wide, wide, sizeof wide) == 0) ||
         (offset >= sizeof narrow &&
          memcmp(code->bytes + offset - sizeof narrow, narrow, sizeof narrow) == 0);
}

/* How far a window may reach from a syscall instruction: begins[i] with i instructions moved before it,
 * ends[i] with i after it. */
struct reach {
  uint64_t begins[NEIGHBOURS_MAX + 1], ends[NEIGHBOURS_MAX + 1];
  unsigned before, after;
};

static void reach_before(const struct boundary_code *code, uint64_t syscall, uint64_t not_before,
                         struct reach *reach)
{
  reach->begins[0] = syscall;
  for (reach->before = 0; reach->before < NEIGHBOURS_MAX; reach->before++) {
    uint64_t begin = instruction_before(code, reach->begins[reach->before]);
    cs_insn *instruction = begin && begin >= not_before ? boundary_code_at(code, begin) : NULL;
    bool movable = instruction && boundary_movable_before(instruction);
    if (instruction)
      cs_free(instruction, 1);
    if (!movable)
      return;
    reach->begins[reach->before + 1] = begin;
  }
}

static void reach_after(const struct boundary_code *code, uint64_t syscall, struct reach *reach)
{
  reach->ends[0] = syscall + BOUNDARY_SYSCALL_SIZE;
  for (reach->after = 0; reach->after < NEIGHBOURS_MAX; reach->after++) {
    uint64_t begin = reach->ends[reach->after];
    cs_insn *instruction = boundary_code_at(code, begin);
    bool movable = instruction && boundary_movable_after(instruction);
    uint64_t end = movable ? begin + instruction->size : begin;
    if (instruction)
      cs_free(instruction, 1);
    if (!movable)
      return;
    reach->ends[reach->after + 1] = end;
  }
}

int boundary_window_choose(const struct boundary_code *code, size_t index, uint64_t not_before,
                           struct boundary_window *ret_window)
{
  uint64_t syscall = code->syscalls[index];
  struct reach reach;
  reach_before(code, syscall, not_before, &reach);
  reach_after(code, syscall, &reach);
  for (unsigned moved = 0; moved <= reach.before + reach.after; moved++) {
    for (unsigned after = 0; after <= moved && after <= reach.after; after++) {
      if (moved - after > reach.before)
        continue;
      uint64_t begin = reach.begins[moved - after], end = reach.ends[after];
      if (end - begin < BOUNDARY_JUMP_SIZE || boundary_code_has_target(code, begin, end))
        continue;
      *ret_window = (struct boundary_window){
          .address = begin, .size = (uint32_t)(end - begin), .syscall = syscall};
      return 0;
    }
  }
  return -ENOEXEC;
}
