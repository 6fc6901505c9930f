/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/symbols.h"

#include "shim/raw.h"

#include <elf.h>
#include <link.h>

/* A symbol's version is not the one that a program gets that is linked now. */
#define VERSION_HIDDEN 0x8000u

/* What an object says of its symbols. */
struct table {
  uint64_t base;
  const Elf64_Sym *symbols;
  const char *strings;
  const uint32_t *hashes;  /* DT_GNU_HASH */
  const uint16_t *versions; /* or NULL */
};

struct search {
  const char *object; /* how the file's name begins; NULL: all that lie behind the shim */
  const struct symbol_wanted *wanted;
  unsigned count;
  bool behind; /* the shim itself has been passed */
  bool found;
  uint64_t missing; /* a bit for each of `wanted` */
};

static uint64_t address_of(const struct dl_phdr_info *info, uint64_t value)
{
  /* The loader has relocated these in place, but not in every object. */
  return value < info->dlpi_addr ? info->dlpi_addr + value : value;
}

static bool read_table(const struct dl_phdr_info *info, struct table *ret_table)
{
  struct table table = {.base = info->dlpi_addr};
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
      continue;
    const Elf64_Dyn *dynamic = (const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
      uint64_t address = address_of(info, dynamic->d_un.d_ptr);
      if (dynamic->d_tag == DT_SYMTAB)
        table.symbols = (const Elf64_Sym *)address;
      else if (dynamic->d_tag == DT_STRTAB)
        table.strings = (const char *)address;
      else if (dynamic->d_tag == DT_GNU_HASH)
        table.hashes = (const uint32_t *)address;
      else if (dynamic->d_tag == DT_VERSYM)
        table.versions = (const uint16_t *)address;
    }
  }
  if (!table.symbols || !table.strings || !table.hashes)
    return false;
  *ret_table = table;
  return true;
}

static uint32_t hash_of(const char *name)
{
  uint32_t hash = 5381;
  for (; *name; name++)
    hash = hash * 33 + (uint8_t)*name;
  return hash;
}

/* DT_GNU_HASH: how many buckets, the first symbol that is in it, how many words of 64 bits its filter has, a shift; the filter;
 * the buckets; a hash for each symbol, whose lowest bit ends a bucket. */
static const Elf64_Sym *look_up(const struct table *table, const char *name)
{
  uint32_t bucket_count = table->hashes[0], first = table->hashes[1], filter_size = table->hashes[2];
  const uint32_t *buckets = table->hashes + 4 + 2 * filter_size, *chain = buckets + bucket_count;
  uint32_t hash = hash_of(name);
  uint32_t i = bucket_count ? buckets[hash % bucket_count] : 0;
  if (i < first)
    return NULL;
  for (;; i++) {
    const Elf64_Sym *symbol = &table->symbols[i];
    bool is_default = !table->versions || !(table->versions[i] & VERSION_HIDDEN);
    if ((chain[i - first] | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF && is_default &&
        raw_same_text(table->strings + symbol->st_name, name))
      return symbol;
    if (chain[i - first] & 1)
      return NULL;
  }
}

static void take_symbols(const struct table *table, struct search *search)
{
  for (unsigned i = 0; i < search->count; i++) {
    const Elf64_Sym *symbol = search->missing >> i & 1 ? look_up(table, search->wanted[i].name) : NULL;
    if (!symbol)
      continue;
    *search->wanted[i].place = (void *)(table->base + symbol->st_value);
    search->missing &= ~(1ull << i);
  }
}

static bool begins(const char *text, const char *with)
{
  while (*with)
    if (*text++ != *with++)
      return false;
  return true;
}

static const char *file_name(const char *path)
{
  const char *name = path;
  for (const char *at = path; *at; at++)
    if (*at == '/')
      name = at + 1;
  return name;
}

static bool holds(const struct dl_phdr_info *info, uint64_t address)
{
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const Elf64_Phdr *part = &info->dlpi_phdr[i];
    if (part->p_type == PT_LOAD && address - (info->dlpi_addr + part->p_vaddr) < part->p_memsz)
      return true;
  }
  return false;
}

static bool is_shim(const struct dl_phdr_info *info)
{
  static const char own;
  return holds(info, (uint64_t)&own);
}

struct place {
  const char *object;
  uint64_t address;
};

static int look_whether_in(struct dl_phdr_info *info, size_t size, void *context)
{
  const struct place *place = context;
  return begins(file_name(info->dlpi_name), place->object) && holds(info, place->address);
}

bool symbols_lie_in(const char *object, const void *address)
{
  struct place place = {object, (uint64_t)address};
  return dl_iterate_phdr(look_whether_in, &place) != 0;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *context)
{
  struct search *search = context;
  struct table table;
  if (search->object ? !begins(file_name(info->dlpi_name), search->object) : !search->behind) {
    search->behind = search->behind || (!search->object && is_shim(info));
    return 0;
  }
  if (!read_table(info, &table))
    return 0;
  take_symbols(&table, search);
  search->found = true;
  return search->object || !search->missing;
}

static bool find(struct search *search)
{
  search->missing = search->count < 64 ? (1ull << search->count) - 1 : ~0ull;
  dl_iterate_phdr(look_at, search);
  return search->found;
}

bool symbols_of(const char *object, const struct symbol_wanted *wanted, unsigned count)
{
  struct search search = {.object = object, .wanted = wanted, .count = count};
  return find(&search);
}

void symbols_behind_shim(const struct symbol_wanted *wanted, unsigned count)
{
  struct search search = {.wanted = wanted, .count = count};
  find(&search);
}
