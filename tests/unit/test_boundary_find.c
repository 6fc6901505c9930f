/* SPDX-License-Identifier: Apache-2.0 */
/* What is found in this machine's libc, and what becomes of it. argv[1]: a libc, instead of the one that is
 * loaded. */
#include "supervisor/boundary_move.h"
#include "supervisor/boundary_plan.h"
#include "tests/unit/tap.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

static char libc_path[4096];

static int find_libc(struct dl_phdr_info *info, size_t size, void *context)
{
  const char *slash = strrchr(info->dlpi_name, '/');
  if (!slash || strcmp(slash, "/libc.so.6") != 0 || strlen(info->dlpi_name) >= sizeof libc_path)
    return 0;
  strcpy(libc_path, info->dlpi_name);
  return 1;
}

/* The patched libc, as a file in memory: its text must hold rt_sigreturn's call and no other. */
static void test_patched_text(const struct elf_file *file, const struct boundary_plan *plan)
{
  const Elf64_Phdr *segment = NULL;
  for (size_t i = 0; (segment = elf_file_segment(file, i)); i++) {
    if (segment->p_type == PT_LOAD && segment->p_flags & PF_X)
      break;
  }
  uint8_t *bytes = malloc(file->size);
  memcpy(bytes, file->bytes, file->size);
  uint64_t inside = segment->p_vaddr - plan->header.text_address;
  memcpy(bytes + segment->p_offset, plan->text + inside, segment->p_filesz);
  struct elf_file patched;
  struct boundary_code code;
  struct failure failure = {""};
  elf_file_over(bytes, file->size, &patched);
  int result = boundary_code_read(&patched, "patched", &code, &failure);
  tap_ok(result == 0, "the patched text can be read %s", failure.text);
  size_t others = 0;
  for (size_t i = 0; result == 0 && i < code.syscall_count; i++)
    others += !boundary_is_sigreturn(&code, code.syscalls[i]);
  tap_ok(result == 0 && code.syscall_count - others == 1,
         "rt_sigreturn's system call is left alone");
  tap_ok(others == 0, "no other system call is left in the patched text (%zu)", others);
  if (result == 0)
    boundary_code_clear(&code);
  free(bytes);
}

/* Every branch of the unpatched code, read instruction by instruction. */
static void test_no_branch_inside(const struct boundary_code *code,
                                  const struct boundary_plan *plan)
{
  uint8_t *window = calloc(1, code->size);
  for (size_t i = 0; i < plan->site_count; i++) {
    for (uint32_t j = 1; j < plan->sites[i].size; j++)
      window[plan->sites[i].address - code->address + j] = 1;
  }
  csh plain;
  cs_open(CS_ARCH_X86, CS_MODE_64, &plain);
  cs_insn *instruction = cs_malloc(plain);
  size_t branches = 0, into = 0;
  for (size_t at = 0; at < code->size; at++) {
    const uint8_t *bytes = code->bytes + at;
    size_t left = code->size - at;
    uint64_t address = code->address + at, target;
    if (!(code->marks[at] & MARK_START) ||
        !cs_disasm_iter(plain, &bytes, &left, &address, instruction) ||
        !boundary_branch_target(instruction, &target))
      continue;
    branches++;
    into += target - code->address < code->size && window[target - code->address];
  }
  tap_ok(branches > 10000 && into == 0, "none of %zu branches leads into a window (%zu)", branches,
         into);
  cs_free(instruction, 1);
  cs_close(&plain);
  free(window);
}

/* Is there a call in the stub from `offset` that unwinds to `original`? */
static bool stub_has_call(const struct boundary_plan *plan, size_t offset, uint64_t original)
{
  for (size_t at = offset; at < offset + 64 && at + 19 <= plan->stubs_size; at++) {
    const uint8_t *bytes = plan->stubs + at;
    int32_t to_next, to_slot, to_original;
    if (memcmp(bytes, "\x48\x8d\x0d", 3) != 0 || memcmp(bytes + 7, "\xff\x25", 2) != 0)
      continue;
    memcpy(&to_next, bytes + 3, 4);
    memcpy(&to_slot, bytes + 9, 4);
    memcpy(&to_original, bytes + 13, 4);
    size_t next = at + 19;
    return memcmp(bytes + 17, "\x0f\x05", 2) == 0 && at + 7 + (size_t)to_next == next &&
           at + 13 + (size_t)to_slot == plan->stubs_size + 8 * BOUNDARY_SLOT_SYSCALL &&
           (uint64_t)plan->header.stubs_delta + next + (uint64_t)(int64_t)to_original == original;
  }
  return false;
}

static void test_stubs(const struct boundary_code *code, const struct boundary_plan *plan)
{
  size_t good = 0, site = 0;
  for (size_t i = 0; i < code->syscall_count && site < plan->site_count; i++) {
    uint64_t syscall = code->syscalls[i];
    const struct boundary_site *at = &plan->sites[site];
    if (syscall < at->address || syscall >= at->address + at->size)
      continue;
    site++;
    int32_t distance;
    memcpy(&distance, at->bytes + 1, 4);
    uint64_t stub = at->address + BOUNDARY_JUMP_SIZE + (uint64_t)(int64_t)distance;
    good += at->bytes[0] == 0xe9 &&
            stub_has_call(plan, stub - (uint64_t)plan->header.stubs_delta, syscall + 2);
  }
  tap_ok(good == plan->site_count && good + 1 == code->syscall_count,
         "all of %zu system calls but one jump to a stub that calls the engine (%zu)",
         code->syscall_count, good);
}

static bool moves_to(const char *bytes, size_t size, uint64_t from, uint64_t to, const char *expected,
                     size_t expected_size)
{
  csh disassembler;
  cs_insn *instruction;
  uint8_t moved[BOUNDARY_MOVED_SIZE_MAX];
  size_t moved_size = 0;
  cs_open(CS_ARCH_X86, CS_MODE_64, &disassembler);
  cs_option(disassembler, CS_OPT_DETAIL, CS_OPT_ON);
  bool same = cs_disasm(disassembler, (const uint8_t *)bytes, size, from, 1, &instruction) == 1;
  if (same) {
    same = boundary_move(instruction, to, moved, &moved_size) == 0 && moved_size == expected_size &&
           memcmp(moved, expected, expected_size) == 0;
    cs_free(instruction, 1);
  }
  cs_close(&disassembler);
  return same;
}

static void test_moving(void)
{
  tap_ok(moves_to("\x74\x10", 2, 0x1000, 0x2000, "\x0f\x84\x0c\xf0\xff\xff", 6),
         "a short conditional jump is moved as a long one to the same place");
  tap_ok(moves_to("\x0f\x87\x00\x01\x00\x00", 6, 0x1000, 0x2000, "\x0f\x87\x00\xf1\xff\xff", 6),
         "a long conditional jump is moved to the same place");
  tap_ok(moves_to("\xeb\xfe", 2, 0x1000, 0x2000, "\xe9\xfb\xef\xff\xff", 5),
         "a short jump is moved as a long one to the same place");
  tap_ok(moves_to("\x81\x3d\x00\x10\x00\x00\xff\xff\xff\x7f", 10, 0x1000, 0x2000,
                  "\x81\x3d\x00\x00\x00\x00\xff\xff\xff\x7f", 10),
         "a distance from rip is moved, and the number behind it is kept");
  tap_ok(moves_to("\xb8\x3a\x00\x00\x00", 5, 0x1000, 0x2000, "\xb8\x3a\x00\x00\x00", 5),
         "what depends on no place is moved as it is");
  tap_ok(!moves_to("\x74\x10", 2, 0x1000, 0x100002000, "", 0),
         "a jump out of reach is refused");
}

int main(int argc, char **argv)
{
  struct failure failure = {""};
  struct elf_file file;
  struct boundary_code code;
  struct boundary_plan plan;
  dl_iterate_phdr(find_libc, NULL);
  const char *path = argc > 1 ? argv[1] : libc_path;
  if (!tap_ok(elf_file_open(path, &file) == 0, "libc can be read: %s", path) ||
      !tap_ok(boundary_code_read(&file, path, &code, &failure) == 0,
              "its code can be disassembled %s", failure.text) ||
      !tap_ok(boundary_plan_libc(&file, path, &plan, &failure) == 0,
              "all its system calls can be redirected %s", failure.text))
    return tap_done();
  test_stubs(&code, &plan);
  test_patched_text(&file, &plan);
  test_no_branch_inside(&code, &plan);
  test_moving();
  boundary_plan_clear(&plan);
  boundary_code_clear(&code);
  elf_file_close(&file);
  return tap_done();
}
