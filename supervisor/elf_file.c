/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an ELF object that may be anything. Writes nothing. */
#include "supervisor/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int elf_file_over(const void *bytes, size_t size, struct elf_file *ret_file)
{
  if (size < sizeof(Elf64_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0)
    return -ENOEXEC;
  *ret_file = (struct elf_file){.bytes = bytes, .size = size};
  return 0;
}

int elf_file_open(const char *path, struct elf_file *ret_file)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return -errno;
  struct stat status;
  int result = fstat(fd, &status) < 0 ? -errno : !S_ISREG(status.st_mode) ? -EACCES : 0;
  if (result == 0 && status.st_size < (off_t)sizeof(Elf64_Ehdr))
    result = -ENOEXEC;
  void *bytes = MAP_FAILED;
  if (result == 0) {
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
      result = -errno;
  }
  close(fd);
  if (result < 0)
    return result;
  result = elf_file_over(bytes, (size_t)status.st_size, ret_file);
  if (result < 0)
    munmap(bytes, (size_t)status.st_size);
  else
    ret_file->mapped = true;
  return result;
}

void elf_file_close(struct elf_file *file)
{
  if (file->mapped)
    munmap((void *)(uintptr_t)file->bytes, file->size);
  *file = (struct elf_file){0};
}

static const Elf64_Ehdr *header(const struct elf_file *file)
{
  return (const Elf64_Ehdr *)file->bytes;
}

bool elf_file_is_x86_64(const struct elf_file *file)
{
  const Elf64_Ehdr *h = header(file);
  return h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_ident[EI_DATA] == ELFDATA2LSB &&
         h->e_machine == EM_X86_64;
}

const void *elf_file_bytes(const struct elf_file *file, uint64_t offset, uint64_t size)
{
  if (offset > file->size || size > file->size - offset)
    return NULL;
  return file->bytes + offset;
}

const Elf64_Phdr *elf_file_segment(const struct elf_file *file, size_t index)
{
  const Elf64_Ehdr *h = header(file);
  if (index >= h->e_phnum || h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phoff % 8 != 0 ||
      h->e_phoff > file->size)
    return NULL;
  return elf_file_bytes(file, h->e_phoff + index * sizeof(Elf64_Phdr), sizeof(Elf64_Phdr));
}

const Elf64_Shdr *elf_file_section(const struct elf_file *file, size_t index)
{
  const Elf64_Ehdr *h = header(file);
  if (index >= h->e_shnum || h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shoff % 8 != 0 ||
      h->e_shoff > file->size)
    return NULL;
  return elf_file_bytes(file, h->e_shoff + index * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
}

/* The string at `offset` of a string table, "" unless it ends inside it. */
static const char *string_at(const struct elf_file *file, const Elf64_Shdr *table, uint64_t offset)
{
  const char *strings = table ? elf_file_bytes(file, table->sh_offset, table->sh_size) : NULL;
  if (!strings || offset >= table->sh_size ||
      !memchr(strings + offset, 0, table->sh_size - offset))
    return "";
  return strings + offset;
}

const char *elf_file_section_name(const struct elf_file *file, const Elf64_Shdr *section)
{
  return string_at(file, elf_file_section(file, header(file)->e_shstrndx), section->sh_name);
}

const Elf64_Shdr *elf_file_section_named(const struct elf_file *file, const char *name)
{
  const Elf64_Shdr *section;
  for (size_t i = 0; (section = elf_file_section(file, i)); i++) {
    if (strcmp(elf_file_section_name(file, section), name) == 0)
      return section;
  }
  return NULL;
}

const Elf64_Phdr *elf_file_segment_of(const struct elf_file *file, uint32_t type)
{
  const Elf64_Phdr *segment;
  for (size_t i = 0; (segment = elf_file_segment(file, i)); i++) {
    if (segment->p_type == type)
      return segment;
  }
  return NULL;
}

const void *elf_file_at(const struct elf_file *file, uint64_t address, uint64_t size)
{
  const Elf64_Phdr *segment;
  for (size_t i = 0; (segment = elf_file_segment(file, i)); i++) {
    if (segment->p_type != PT_LOAD || address < segment->p_vaddr)
      continue;
    uint64_t inside = address - segment->p_vaddr;
    if (inside <= segment->p_filesz && size <= segment->p_filesz - inside)
      return elf_file_bytes(file, segment->p_offset + inside, size);
  }
  return NULL;
}

/* The build-id in one block of notes. */
static const uint8_t *build_id_in(const uint8_t *notes, uint64_t size, size_t size_max,
                                  size_t *ret_size)
{
  uint64_t at = 0;
  while (at + sizeof(Elf64_Nhdr) <= size) {
    Elf64_Nhdr note;
    memcpy(&note, notes + at, sizeof note);
    uint64_t name = at + sizeof note;
    uint64_t description = name + ((note.n_namesz + 3ull) & ~3ull);
    uint64_t end = description + note.n_descsz;
    if (end > size)
      return NULL;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        memcmp(notes + name, "GNU", 4) == 0) {
      if (note.n_descsz == 0 || note.n_descsz > size_max)
        return NULL;
      *ret_size = note.n_descsz;
      return notes + description;
    }
    at = (end + 3) & ~3ull;
  }
  return NULL;
}

const uint8_t *elf_file_build_id(const struct elf_file *file, size_t size_max, size_t *ret_size)
{
  const Elf64_Phdr *segment;
  for (size_t i = 0; (segment = elf_file_segment(file, i)); i++) {
    if (segment->p_type != PT_NOTE)
      continue;
    const uint8_t *notes = elf_file_bytes(file, segment->p_offset, segment->p_filesz);
    const uint8_t *id =
        notes ? build_id_in(notes, segment->p_filesz, size_max, ret_size) : NULL;
    if (id)
      return id;
  }
  return NULL;
}

/* The section of that type, whole in the file. */
static const Elf64_Shdr *section_of(const struct elf_file *file, uint32_t type)
{
  const Elf64_Shdr *section;
  for (size_t i = 0; (section = elf_file_section(file, i)); i++) {
    if (section->sh_type == type && section->sh_offset % 8 == 0 &&
        elf_file_bytes(file, section->sh_offset, section->sh_size))
      return section;
  }
  return NULL;
}

const Elf64_Sym *elf_file_symbols(const struct elf_file *file, uint32_t type, size_t *ret_count)
{
  const Elf64_Shdr *section = section_of(file, type);
  if (!section)
    return NULL;
  *ret_count = section->sh_size / sizeof(Elf64_Sym);
  return elf_file_bytes(file, section->sh_offset, section->sh_size);
}

uint64_t elf_file_symbol(const struct elf_file *file, const char *name)
{
  const Elf64_Shdr *section = section_of(file, SHT_DYNSYM);
  size_t count = 0;
  const Elf64_Sym *symbols = elf_file_symbols(file, SHT_DYNSYM, &count);
  for (size_t i = 0; i < count; i++) {
    if (symbols[i].st_shndx == SHN_UNDEF || symbols[i].st_value == 0)
      continue;
    const Elf64_Shdr *strings = elf_file_section(file, section->sh_link);
    if (strcmp(string_at(file, strings, symbols[i].st_name), name) == 0)
      return symbols[i].st_value;
  }
  return 0;
}
