/* SPDX-License-Identifier: Apache-2.0 */
/* The plan for a libc: every syscall instruction but rt_sigreturn's goes through a stub, in a copy of the
 * text. Writes no file. The layout of a stub is in journal/boundary.h. */
#include "supervisor/boundary_move.h"
#include "supervisor/boundary_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Appends the instructions of [begin, end) as they must be in the stub. *ret_ended: control does not go
 * on after them; what is behind is padding then. */
static int append_instructions(struct boundary_plan *plan, const struct boundary_code *code,
                               uint64_t begin, uint64_t end, bool *ret_ended)
{
  bool ended = false;
  while (begin < end && !ended) {
    cs_insn *instruction = boundary_code_at(code, begin);
    if (!instruction)
      return -ENOEXEC;
    int result = boundary_plan_append_moved(plan, instruction);
    ended = boundary_ends_flow(instruction);
    begin += instruction->size;
    cs_free(instruction, 1);
    if (result < 0)
      return result;
  }
  *ret_ended = ended;
  return 0;
}

/* lea next(%rip), %rcx; jmp *slot(%rip); .long original - next; syscall; next: */
static int append_call(struct boundary_plan *plan, uint64_t original)
{
  static const uint8_t lea[] = {0x48, 0x8d, 0x0d, 12, 0, 0, 0}; /* 6 jmp, 4 long, 2 syscall */
  boundary_plan_append(plan, lea, sizeof lea);
  boundary_plan_append_slot_jump(plan, BOUNDARY_SLOT_SYSCALL);
  int64_t distance = (int64_t)(original - (boundary_plan_here(plan) + 6));
  if (distance != (int32_t)distance)
    return -ERANGE;
  int32_t stored = (int32_t)distance;
  boundary_plan_append(plan, &stored, 4);
  boundary_plan_append(plan, "\x0f\x05", BOUNDARY_SYSCALL_SIZE);
  return 0;
}

static int append_stub(struct boundary_plan *plan, const struct boundary_code *code,
                       const struct boundary_window *window)
{
  boundary_plan_align(plan);
  uint64_t stub = boundary_plan_here(plan);
  uint64_t original = window->syscall + BOUNDARY_SYSCALL_SIZE;
  uint64_t end = window->address + window->size;
  bool ended;
  int result = append_instructions(plan, code, window->address, window->syscall, &ended);
  if (result == 0)
    result = append_call(plan, original);
  if (result == 0)
    result = append_instructions(plan, code, original, end, &ended);
  if (result == 0 && !ended)
    result = boundary_plan_append_jump(plan, end);
  if (result < 0)
    return result;
  return boundary_plan_add_jump_site(plan, window->address, window->size, stub,
                                     BOUNDARY_SLOT_SYSCALL);
}

static int append_stubs(struct boundary_plan *plan, const struct boundary_code *code,
                        const char *name, struct failure *failure)
{
  uint64_t end = 0;
  for (size_t i = 0; i < code->syscall_count; i++) {
    uint64_t syscall = code->syscalls[i];
    if (boundary_is_sigreturn(code, syscall)) {
      end = syscall + BOUNDARY_SYSCALL_SIZE;
      continue;
    }
    struct boundary_window window;
    int result = boundary_window_choose(code, i, end, &window);
    if (result == 0)
      result = append_stub(plan, code, &window);
    if (result < 0)
      return failure_set(failure, result,
                         "the system call at %#llx of %s cannot be redirected: no jump fits there",
                         (unsigned long long)syscall, name);
    end = window.address + window.size;
  }
  return 0;
}

/* The pages that the loader maps for the executable segment, with the sites written in. */
static int copy_text(struct boundary_plan *plan, const struct elf_file *file,
                     const struct boundary_code *code, const char *name, struct failure *failure)
{
  uint64_t inside = code->address % BOUNDARY_PAGE_SIZE;
  uint64_t size = inside + code->size + BOUNDARY_PAGE_SIZE - 1;
  size -= size % BOUNDARY_PAGE_SIZE;
  size_t offset = (size_t)(code->bytes - file->bytes);
  if (offset < inside)
    return failure_set(failure, -ENOEXEC, "%s has a segment that is not aligned", name);
  plan->text = calloc(1, size);
  if (!plan->text)
    return failure_set(failure, -ENOMEM, "out of memory making a boundary image");
  size_t there = file->size - (offset - inside);
  memcpy(plan->text, file->bytes + offset - inside, there < size ? there : size);
  plan->header.text_address = code->address - inside;
  plan->header.text_size = size;
  for (size_t i = 0; i < plan->site_count; i++) {
    const struct boundary_site *site = &plan->sites[i];
    memcpy(plan->text + (site->address - plan->header.text_address), site->bytes, site->size);
  }
  return 0;
}

int boundary_plan_libc(const struct elf_file *file, const char *name, struct boundary_plan *ret_plan,
                       struct failure *failure)
{
  struct boundary_plan plan;
  int result = boundary_plan_begin(file, BOUNDARY_LIBC, name, &plan, failure);
  if (result < 0)
    return result;
  struct boundary_code code = {0};
  result = boundary_code_read(file, name, &code, failure);
  if (result == 0 && code.syscall_count == 0)
    result = failure_set(failure, -ENOEXEC, "%s makes no system calls: it is not a libc", name);
  if (result == 0)
    result = append_stubs(&plan, &code, name, failure);
  if (result == 0)
    result = copy_text(&plan, file, &code, name, failure);
  if (result == 0)
    result = boundary_plan_finish(&plan, failure);
  boundary_code_clear(&code);
  if (result < 0)
    boundary_plan_clear(&plan);
  else
    *ret_plan = plan;
  return result;
}
