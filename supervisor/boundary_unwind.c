/* SPDX-License-Identifier: Apache-2.0 */
/* Reads .eh_frame_hdr, the .eh_frame entries that it lists, and the language-specific data that they
 * point to. Every read is checked against the object's segments. Writes nothing. */
#include "supervisor/boundary_unwind.h"

#include <errno.h>
#include <string.h>

/* DWARF pointer encodings: the low half is the format, the high half what it is relative to. */
enum {
  FORMAT_POINTER = 0x00, FORMAT_ULEB = 0x01, FORMAT_U16 = 0x02, FORMAT_U32 = 0x03, FORMAT_U64 = 0x04,
  FORMAT_SLEB = 0x09, FORMAT_S16 = 0x0a, FORMAT_S32 = 0x0b, FORMAT_S64 = 0x0c,
  RELATIVE_HERE = 0x10, RELATIVE_TABLE = 0x30, ENCODING_INDIRECT = 0x80, ENCODING_OMITTED = 0xff,
};

/* Where the next bytes are read. `bad` sticks: all later reads give 0. */
struct reader {
  const struct elf_file *file;
  uint64_t address;
  bool bad;
};

static uint64_t read_unsigned(struct reader *reader, size_t size)
{
  uint64_t value = 0;
  const void *bytes = reader->bad ? NULL : elf_file_at(reader->file, reader->address, size);
  if (!bytes) {
    reader->bad = true;
    return 0;
  }
  memcpy(&value, bytes, size);
  reader->address += size;
  return value;
}

static uint64_t read_leb(struct reader *reader, bool is_signed)
{
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint64_t byte = read_unsigned(reader, 1);
    value |= (byte & 0x7f) << shift;
    if (byte & 0x80)
      continue;
    if (is_signed && byte & 0x40 && shift + 7 < 64)
      value |= ~0ull << (shift + 7);
    return value;
  }
  reader->bad = true;
  return 0;
}

/* A value in that encoding; `raw`: without adding what it is relative to. */
static uint64_t read_encoded(struct reader *reader, unsigned encoding, uint64_t table, bool raw)
{
  uint64_t here = reader->address, value;
  switch (encoding & 0x0f) {
  case FORMAT_POINTER: case FORMAT_U64: case FORMAT_S64: value = read_unsigned(reader, 8); break;
  case FORMAT_ULEB: value = read_leb(reader, false); break;
  case FORMAT_SLEB: value = read_leb(reader, true); break;
  case FORMAT_U16: value = read_unsigned(reader, 2); break;
  case FORMAT_U32: value = read_unsigned(reader, 4); break;
  case FORMAT_S16: value = (uint64_t)(int16_t)read_unsigned(reader, 2); break;
  case FORMAT_S32: value = (uint64_t)(int32_t)read_unsigned(reader, 4); break;
  default: reader->bad = true; return 0;
  }
  if (raw || value == 0)
    return value;
  switch (encoding & 0x70) {
  case 0: return value;
  case RELATIVE_HERE: return value + here;
  case RELATIVE_TABLE: return value + table;
  default: reader->bad = true; return 0;
  }
}

/* What a common information entry says of its frame description entries. */
struct cie {
  unsigned pointer_encoding, lsda_encoding;
  bool has_augmentation;
};

static int cie_read(const struct elf_file *file, uint64_t address, struct cie *ret_cie)
{
  struct reader reader = {.file = file, .address = address};
  struct cie cie = {.pointer_encoding = FORMAT_POINTER, .lsda_encoding = ENCODING_OMITTED};
  uint64_t length = read_unsigned(&reader, 4);
  uint64_t id = read_unsigned(&reader, 4);
  uint64_t version = read_unsigned(&reader, 1);
  if (reader.bad || length == 0 || length == 0xffffffff || id != 0 || (version != 1 && version != 3))
    return -ENOEXEC;
  char augmentation[8] = "";
  for (size_t i = 0; i < sizeof augmentation; i++) {
    augmentation[i] = (char)read_unsigned(&reader, 1);
    if (!augmentation[i])
      break;
  }
  if (augmentation[sizeof augmentation - 1])
    return -ENOEXEC;
  read_leb(&reader, false);
  read_leb(&reader, true);
  if (version == 1)
    read_unsigned(&reader, 1);
  else
    read_leb(&reader, false);
  if (augmentation[0] == 'z') {
    cie.has_augmentation = true;
    read_leb(&reader, false);
    for (const char *letter = augmentation + 1; *letter; letter++) {
      if (*letter == 'R')
        cie.pointer_encoding = (unsigned)read_unsigned(&reader, 1);
      else if (*letter == 'L')
        cie.lsda_encoding = (unsigned)read_unsigned(&reader, 1);
      else if (*letter == 'P')
        read_encoded(&reader, (unsigned)read_unsigned(&reader, 1), 0, true);
      else if (*letter != 'S' && *letter != 'B')
        return -ENOEXEC;
    }
  } else if (augmentation[0]) {
    return -ENOEXEC;
  }
  if (reader.bad)
    return -ENOEXEC;
  *ret_cie = cie;
  return 0;
}

static int landing_pads_walk(const struct elf_file *file, uint64_t address, uint64_t function,
                             boundary_unwind_visit *landing_pad, void *context)
{
  struct reader reader = {.file = file, .address = address};
  unsigned encoding = (unsigned)read_unsigned(&reader, 1);
  uint64_t base =
      encoding == ENCODING_OMITTED ? function : read_encoded(&reader, encoding, 0, false);
  encoding = (unsigned)read_unsigned(&reader, 1);
  if (encoding != ENCODING_OMITTED)
    read_leb(&reader, false);
  encoding = (unsigned)read_unsigned(&reader, 1);
  uint64_t size = read_leb(&reader, false);
  uint64_t end = reader.address + size;
  while (!reader.bad && reader.address < end) {
    read_encoded(&reader, encoding, 0, true);
    read_encoded(&reader, encoding, 0, true);
    uint64_t pad = read_encoded(&reader, encoding, 0, true);
    read_leb(&reader, false);
    if (pad && !reader.bad)
      landing_pad(context, base + pad);
  }
  return reader.bad ? -ENOEXEC : 0;
}

static int fde_walk(const struct elf_file *file, uint64_t address, boundary_unwind_visit *function,
                    boundary_unwind_visit *landing_pad, void *context)
{
  struct reader reader = {.file = file, .address = address};
  uint64_t length = read_unsigned(&reader, 4);
  uint64_t distance = read_unsigned(&reader, 4);
  struct cie cie;
  if (reader.bad || length == 0 || length == 0xffffffff || distance == 0)
    return -ENOEXEC;
  int result = cie_read(file, address + 4 - distance, &cie);
  if (result < 0)
    return result;
  uint64_t begin = read_encoded(&reader, cie.pointer_encoding, 0, false);
  read_encoded(&reader, cie.pointer_encoding, 0, true);
  uint64_t data_size = cie.has_augmentation ? read_leb(&reader, false) : 0;
  uint64_t lsda = 0;
  if (data_size && cie.lsda_encoding != ENCODING_OMITTED) {
    if (cie.lsda_encoding & ENCODING_INDIRECT)
      return -ENOEXEC;
    lsda = read_encoded(&reader, cie.lsda_encoding, 0, false);
  }
  if (reader.bad)
    return -ENOEXEC;
  function(context, begin);
  return lsda ? landing_pads_walk(file, lsda, begin, landing_pad, context) : 0;
}

int boundary_unwind_walk(const struct elf_file *file, boundary_unwind_visit *function,
                         boundary_unwind_visit *landing_pad, void *context)
{
  const Elf64_Phdr *segment = elf_file_segment_of(file, PT_GNU_EH_FRAME);
  if (!segment)
    return -ENOEXEC;
  uint64_t table = segment->p_vaddr;
  struct reader reader = {.file = file, .address = table};
  uint64_t version = read_unsigned(&reader, 1);
  unsigned frame_encoding = (unsigned)read_unsigned(&reader, 1);
  unsigned count_encoding = (unsigned)read_unsigned(&reader, 1);
  unsigned entry_encoding = (unsigned)read_unsigned(&reader, 1);
  read_encoded(&reader, frame_encoding, table, false);
  uint64_t count = read_encoded(&reader, count_encoding, table, true);
  if (reader.bad || version != 1)
    return -ENOEXEC;
  for (uint64_t i = 0; i < count; i++) {
    read_encoded(&reader, entry_encoding, table, false);
    uint64_t fde = read_encoded(&reader, entry_encoding, table, false);
    if (reader.bad)
      return -ENOEXEC;
    int result = fde_walk(file, fde, function, landing_pad, context);
    if (result < 0)
      return result;
  }
  return 0;
}
