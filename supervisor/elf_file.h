/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an ELF object that may be anything: every offset in it is checked before it is followed.
 *
 * 64-bit little-endian x86-64 only. `address` is always relative to the object's base, as in the file.
 */
#ifndef PERDURE_SUPERVISOR_ELF_FILE_H
#define PERDURE_SUPERVISOR_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
  const uint8_t *bytes;
  size_t size;
  bool mapped; /* by elf_file_open() */
};

/* Maps a file read-only. -ENOEXEC: not an ELF file, or too short. Other errors are open's and mmap's. */
int elf_file_open(const char *path, struct elf_file *ret_file);
/* The same over bytes that the caller owns. */
int elf_file_over(const void *bytes, size_t size, struct elf_file *ret_file);
void elf_file_close(struct elf_file *file);

/* Is it what the rest of these functions can read: 64-bit, little-endian, x86-64? */
bool elf_file_is_x86_64(const struct elf_file *file);

/* `size` bytes of the file from `offset`, or NULL when they are not all there. */
const void *elf_file_bytes(const struct elf_file *file, uint64_t offset, uint64_t size);
/* The same by address, inside one PT_LOAD's file part. */
const void *elf_file_at(const struct elf_file *file, uint64_t address, uint64_t size);

/* The program or section header of that index; NULL after the last. */
const Elf64_Phdr *elf_file_segment(const struct elf_file *file, size_t index);
const Elf64_Shdr *elf_file_section(const struct elf_file *file, size_t index);
/* "" when it has none. */
const char *elf_file_section_name(const struct elf_file *file, const Elf64_Shdr *section);
/* By name, NULL when there is none. */
const Elf64_Shdr *elf_file_section_named(const struct elf_file *file, const char *name);
/* The first segment of that type, NULL when there is none. */
const Elf64_Phdr *elf_file_segment_of(const struct elf_file *file, uint32_t type);

/* The GNU build-id; NULL when there is none or when it is longer than size_max. */
const uint8_t *elf_file_build_id(const struct elf_file *file, size_t size_max, size_t *ret_size);

/* The symbol table's entries (SHT_DYNSYM or SHT_SYMTAB); NULL when there are none. */
const Elf64_Sym *elf_file_symbols(const struct elf_file *file, uint32_t type, size_t *ret_count);
/* The address of a defined dynamic symbol; 0 when there is none. */
uint64_t elf_file_symbol(const struct elf_file *file, const char *name);

#endif
