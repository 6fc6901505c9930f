/* SPDX-License-Identifier: Apache-2.0 */
/* The plan for a vDSO: the entries of its functions jump to the engine, and stubs keep a way to run each
 * as it was. Its text in the image is a copy of the whole object, unpatched: the kernel fits a vDSO's
 * code to the processor, so that the build-id alone does not say that the bytes are the same, and the
 * shim compares. Writes no file.
 */
#include "supervisor/boundary_move.h"
#include "supervisor/boundary_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  const char *name;
  enum boundary_slot slot;
  uint64_t address, end; /* of the function, and after what the jump overwrites; 0: not there */
  uint64_t original;     /* where the stub runs it as it was */
};

static bool is_padding(const cs_insn *instruction)
{
  return instruction->id == X86_INS_NOP || instruction->id == X86_INS_INT3;
}

/* Appends the beginning of a function as it must be in the stub, and a jump to the rest. Fails when an
 * instruction there cannot be moved; *ret_end is set in any case. */
static int append_original(struct boundary_plan *plan, const struct boundary_code *code,
                           uint64_t entry, uint64_t *ret_end)
{
  uint64_t address = entry;
  bool ended = false;
  int result = 0;
  *ret_end = entry + BOUNDARY_JUMP_SIZE;
  while (address < entry + BOUNDARY_JUMP_SIZE) {
    cs_insn *instruction = boundary_code_at(code, address);
    if (!instruction)
      return -ENOEXEC;
    bool fits = ended ? is_padding(instruction) : boundary_movable_entry(instruction);
    if (!fits)
      result = -ENOEXEC;
    else if (!ended)
      result = boundary_plan_append_moved(plan, instruction);
    ended = ended || boundary_ends_flow(instruction);
    address += instruction->size;
    cs_free(instruction, 1);
    if (result < 0)
      return result;
  }
  if (boundary_code_has_target(code, entry, address))
    return -ENOEXEC;
  *ret_end = address;
  return ended ? 0 : boundary_plan_append_jump(plan, address);
}

/* Does the branch lie in what is overwritten? */
static bool is_overwritten(const struct entry *entries, size_t count, uint64_t address)
{
  for (size_t i = 0; i < count; i++) {
    if (address >= entries[i].address && address < entries[i].end)
      return true;
  }
  return false;
}

/* A branch of the vDSO's own to a redirected entry must lead to the original instead: else the engine
 * would be entered by the code that it runs. */
static int redirect_branch(struct boundary_plan *plan, const cs_insn *branch,
                           const struct entry *target)
{
  struct boundary_site site = {
      .address = branch->address, .size = branch->size, .slot = target->slot};
  int64_t distance = (int64_t)(target->original - (branch->address + branch->size));
  bool near = branch->bytes[0] == 0xe8 || branch->bytes[0] == 0xe9 ||
              (branch->bytes[0] == 0x0f && (branch->bytes[1] & 0xf0) == 0x80);
  if (!near || distance != (int32_t)distance || branch->size > sizeof site.bytes)
    return -ENOEXEC;
  int32_t relative = (int32_t)distance;
  memcpy(site.bytes, branch->bytes, branch->size);
  memcpy(site.bytes + branch->size - 4, &relative, 4);
  boundary_plan_add_site(plan, &site);
  return 0;
}

static int redirect_branches(struct boundary_plan *plan, const struct boundary_code *code,
                             const struct entry *entries, size_t count)
{
  for (uint64_t at = code->address; at < code->address + code->size; at++) {
    cs_insn *instruction = boundary_code_at(code, at);
    uint64_t target;
    int result = 0;
    if (instruction && boundary_branch_target(instruction, &target)) {
      for (size_t i = 0; i < count && result == 0; i++) {
        if (!entries[i].address || entries[i].address != target)
          continue;
        result = is_overwritten(entries, count, at)
                     ? -ENOEXEC
                     : redirect_branch(plan, instruction, &entries[i]);
      }
    }
    if (instruction)
      cs_free(instruction, 1);
    if (result < 0)
      return result;
  }
  return 0;
}

static int append_entries(struct boundary_plan *plan, const struct boundary_code *code,
                          struct entry *entries, size_t count)
{
  bool originals = true;
  for (size_t i = 0; i < count; i++) {
    struct entry *entry = &entries[i];
    entry->address = elf_file_symbol(code->file, entry->name);
    if (!entry->address)
      continue;
    boundary_plan_align(plan);
    uint64_t stub = boundary_plan_here(plan);
    boundary_plan_append_slot_jump(plan, entry->slot);
    entry->original = boundary_plan_here(plan);
    if (append_original(plan, code, entry->address, &entry->end) < 0)
      originals = false;
    int result = boundary_plan_add_jump_site(plan, entry->address, BOUNDARY_JUMP_SIZE, stub,
                                             entry->slot);
    if (result < 0)
      return result;
  }
  size_t site_count = plan->site_count;
  if (originals && redirect_branches(plan, code, entries, count) < 0)
    originals = false;
  if (!originals) {
    /* All or none: with none, no code of the vDSO runs any more, and nothing in it can lead into what
     * was overwritten. The engine makes plain system calls instead. */
    plan->site_count = site_count;
    return 0;
  }
  for (size_t i = 0; i < count; i++) {
    if (entries[i].address)
      plan->header.original_offset[entries[i].slot] =
          entries[i].original - (uint64_t)plan->header.stubs_delta;
  }
  return 0;
}

static int copy_object(struct boundary_plan *plan, const struct elf_file *file,
                       struct failure *failure)
{
  size_t size = file->size + BOUNDARY_PAGE_SIZE - 1;
  size -= size % BOUNDARY_PAGE_SIZE;
  plan->text = calloc(1, size);
  if (!plan->text)
    return failure_set(failure, -ENOMEM, "out of memory making a boundary image");
  memcpy(plan->text, file->bytes, file->size);
  plan->header.text_address = 0;
  plan->header.text_size = size;
  return 0;
}

int boundary_plan_vdso(const struct elf_file *file, const char *name, struct boundary_plan *ret_plan,
                       struct failure *failure)
{
  struct entry entries[] = {
      {.name = "__vdso_clock_gettime", .slot = BOUNDARY_SLOT_CLOCK_GETTIME},
      {.name = "__vdso_gettimeofday", .slot = BOUNDARY_SLOT_GETTIMEOFDAY},
      {.name = "__vdso_time", .slot = BOUNDARY_SLOT_TIME},
      {.name = "__vdso_getcpu", .slot = BOUNDARY_SLOT_GETCPU},
      {.name = "__vdso_clock_getres", .slot = BOUNDARY_SLOT_CLOCK_GETRES},
      {.name = "__vdso_getrandom", .slot = BOUNDARY_SLOT_GETRANDOM},
  };
  struct boundary_plan plan;
  int result = boundary_plan_begin(file, BOUNDARY_VDSO, name, &plan, failure);
  if (result < 0)
    return result;
  struct boundary_code code = {0};
  result = boundary_code_read(file, name, &code, failure);
  if (result == 0 &&
      append_entries(&plan, &code, entries, sizeof entries / sizeof *entries) < 0)
    result = failure_set(failure, -ENOEXEC, "the functions of %s cannot be redirected", name);
  if (result == 0)
    result = copy_object(&plan, file, failure);
  if (result == 0)
    result = boundary_plan_finish(&plan, failure);
  boundary_code_clear(&code);
  if (result < 0)
    boundary_plan_clear(&plan);
  else
    *ret_plan = plan;
  return result;
}
