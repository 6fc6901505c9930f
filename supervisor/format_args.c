/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes arguments by the kinds in their call's row: nothing here knows a call by name but where the
 * meaning of one argument hangs on another. Trusts no length in a segment. */
#include "supervisor/format_args.h"

#include "supervisor/flag_names.h"
#include "supervisor/format_address.h"

#include <fcntl.h>
#include <string.h>

static bool is_call(const struct call_row *row, const char *name)
{
  return strcmp(row->name, name) == 0;
}

/* open's mode counts only when a file may be made; fcntl's third argument only for some commands. */
static unsigned used_arg_count(const struct journal_entry *entry, const struct call_row *row,
                               unsigned count)
{
  if ((is_call(row, "open") && count == 3) || (is_call(row, "openat") && count == 4)) {
    uint64_t flags = entry->args[count - 2];
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? count : count - 1;
  }
  if (is_call(row, "fcntl") && count == 3) {
    switch ((int)entry->args[1]) {
    case F_GETFD:
    case F_GETFL:
    case F_GETOWN:
    case F_GETPIPE_SZ:
    case F_GET_SEALS:
      return 2;
    }
  }
  return count;
}

unsigned format_arg_count(const struct journal_entry *entry, const struct call_row *row)
{
  unsigned count = journal_arg_count(entry);
  if (row == NULL)
    return count;
  while (count > 0 && CALL_ARG_KIND(row->args[count - 1]) == ARG_NONE)
    count--;
  return used_arg_count(entry, row, count);
}

static void add_address(struct text *text, uint64_t value)
{
  if (value == 0)
    text_add(text, "NULL");
  else
    text_addf(text, "0x%llx", (unsigned long long)value);
}

static void add_number(struct text *text, uint64_t value)
{
  int64_t number = (int64_t)value;
  if (number > -4096 && number < ((int64_t)1 << 48))
    text_addf(text, "%lld", (long long)number);
  else if (value <= UINT32_MAX || number > 0)
    text_addf(text, "0x%llx", (unsigned long long)value);
  else
    text_addf(text, "%lld", (long long)number);
}

static void add_preview(struct text *text, const struct journal_segment *segment, uint64_t full_length)
{
  size_t shown = segment->length < FORMAT_PREVIEW_SIZE ? segment->length : FORMAT_PREVIEW_SIZE;
  text_add_quoted(text, segment->data, shown);
  if (shown < full_length)
    text_add(text, "...");
}

static const struct journal_segment *find_whole(const struct journal_entry *entry, unsigned type,
                                                int arg, size_t size)
{
  const struct journal_segment *segment = journal_find_segment(entry, type, arg);
  return segment != NULL && segment->length >= size ? segment : NULL;
}

/* Bytes that the call read. A structure of fixed size is not text. */
static void add_output(struct text *text, const struct journal_entry *entry, unsigned arg, unsigned kind)
{
  const struct journal_segment *output = journal_find_segment(entry, SEGMENT_OUTPUT, (int)arg);
  const struct journal_segment *segment =
      find_whole(entry, SEGMENT_REFERENCE, (int)arg, sizeof(struct journal_reference));
  if (output != NULL && (kind == ARG_OUT || kind == ARG_INOUT_ARG))
    text_addf(text, "{%u bytes}", output->length);
  else if (output != NULL)
    add_preview(text, output, output->length);
  else if (segment != NULL) {
    const struct journal_reference *reference = (const struct journal_reference *)segment->data;
    text_addf(text, "{%llu bytes of inode %llu at %llu}", (unsigned long long)reference->length,
              (unsigned long long)reference->inode, (unsigned long long)reference->offset);
  } else if ((segment = find_whole(entry, SEGMENT_ZEROS, (int)arg, sizeof(uint64_t))) != NULL) {
    uint64_t zeros;
    memcpy(&zeros, segment->data, sizeof zeros);
    text_addf(text, "{%llu zeros}", (unsigned long long)zeros);
  } else
    add_address(text, entry->args[arg]);
}

/* How many bytes the program gave, where an argument or a segment says so; else what is shown. */
static uint64_t input_length(const struct journal_entry *entry, const struct call_row *row,
                             unsigned arg, uint64_t shown)
{
  const struct journal_segment *written =
      find_whole(entry, SEGMENT_WRITTEN, -1, sizeof(struct journal_written));
  if (written != NULL)
    return ((const struct journal_written *)written->data)->length;
  unsigned other = CALL_ARG_OTHER(row->args[arg]);
  if (CALL_ARG_KIND(row->args[arg]) == ARG_IN_ARG && other < journal_arg_count(entry))
    return entry->args[other] * CALL_ARG_SIZE(row->args[arg]);
  return shown;
}

static void add_input(struct text *text, const struct journal_entry *entry, const struct call_row *row,
                      unsigned arg)
{
  const struct journal_segment *input = journal_find_segment(entry, SEGMENT_INPUT, (int)arg);
  if (input != NULL)
    add_preview(text, input, input_length(entry, row, arg, input->length));
  else
    add_address(text, entry->args[arg]);
}

static void add_path(struct text *text, const struct journal_entry *entry, unsigned arg)
{
  const struct journal_segment *path = journal_find_segment(entry, SEGMENT_PATH, (int)arg);
  if (path != NULL)
    text_add_quoted(text, path->data, path->length);
  else
    add_address(text, entry->args[arg]);
}

static enum flag_set set_of(const struct journal_entry *entry, const struct call_row *row, unsigned arg)
{
  if (arg == 2 && is_call(row, "fcntl")) {
    if ((int)entry->args[1] == F_SETFL)
      return FLAG_SET_open_flags;
    if ((int)entry->args[1] == F_SETFD)
      return FLAG_SET_descriptor_flags;
  }
  return flag_set_of(row->name, arg);
}

void format_arg_add(struct text *text, const struct journal_entry *entry, const struct call_row *row,
                    unsigned arg)
{
  uint64_t value = entry->args[arg];
  if (row == NULL) {
    add_number(text, value);
    return;
  }
  const struct journal_segment *named;
  enum flag_set set = set_of(entry, row, arg);
  if (set != FLAG_SET_none) {
    flag_names_add(text, set, value);
    return;
  }
  unsigned kind = CALL_ARG_KIND(row->args[arg]);
  switch (kind) {
  case ARG_NONE:
  case ARG_VAL:
  case ARG_CLOCK:
    add_number(text, value);
    break;
  case ARG_FD:
  case ARG_PID:
    text_addf(text, "%d", (int)value);
    break;
  case ARG_DIRFD:
    if ((int)value == AT_FDCWD)
      text_add(text, "AT_FDCWD");
    else
      text_addf(text, "%d", (int)value);
    break;
  case ARG_PATH:
  case ARG_STR:
    add_path(text, entry, arg);
    break;
  case ARG_ADDR:
    if ((named = journal_find_segment(entry, SEGMENT_ADDRESS, (int)arg)) != NULL)
      format_address_add(text, named->data, named->length);
    else if (is_call(row, "fcntl") && value < 4096)
      add_number(text, value);
    else
      add_input(text, entry, row, arg);
    break;
  case ARG_IN:
  case ARG_IN_ARG:
  case ARG_IN_IOV:
    add_input(text, entry, row, arg);
    break;
  default:
    add_output(text, entry, arg, kind);
  }
}
