/* SPDX-License-Identifier: Apache-2.0 */
/* format_entry.h says how a line looks. */
#include "supervisor/format_entry.h"

#include "supervisor/change.h"
#include "supervisor/format_args.h"
#include "supervisor/format_exchange.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ERRNO_MAX 4095
/* A result this large is an address. */
#define RESULT_ADDRESS_MIN ((int64_t)1 << 32)

static const struct journal_segment *find_whole(const struct journal_entry *entry, unsigned type,
                                                size_t size)
{
  const struct journal_segment *segment = journal_find_segment(entry, type, -1);
  return segment != NULL && segment->length >= size ? segment : NULL;
}

void format_time(uint64_t time_ns, char ret_text[FORMAT_TIME_SIZE])
{
  time_t seconds = (time_t)(time_ns / 1000000000);
  struct tm local = {0};
  localtime_r(&seconds, &local);
  snprintf(ret_text, FORMAT_TIME_SIZE, "%02u:%02u:%02u.%09u", (unsigned)local.tm_hour % 100, (unsigned)local.tm_min % 100,
           (unsigned)local.tm_sec % 100, (unsigned)(time_ns % 1000000000));
}

static void add_result(struct text *text, const struct journal_entry *entry)
{
  int64_t result = entry->result;
  const char *name = result < 0 && result >= -ERRNO_MAX ? strerrorname_np((int)-result) : NULL;
  if (name != NULL)
    text_addf(text, " = -1 %s (%s)", name, strerrordesc_np((int)-result));
  else if (result >= RESULT_ADDRESS_MIN)
    text_addf(text, " = 0x%llx", (unsigned long long)result);
  else
    text_addf(text, " = %lld", (long long)result);
}

/* The canonical name of what was opened, when the program did not say it so. */
static void add_opened(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *full = journal_find_segment(entry, SEGMENT_FULL_PATH, 0);
  const struct journal_segment *passed = journal_find_segment(entry, SEGMENT_PATH, -1);
  if (full == NULL || entry->result < 0 ||
      (passed != NULL && passed->length == full->length &&
       memcmp(passed->data, full->data, full->length) == 0))
    return;
  text_add(text, " <");
  text_add_quoted(text, full->data, full->length);
  text_add(text, ">");
}

static void add_where_written(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *segment =
      find_whole(entry, SEGMENT_WRITTEN, sizeof(struct journal_written));
  if (segment == NULL)
    return;
  const struct journal_written *written = (const struct journal_written *)segment->data;
  if (written->offset >= 0)
    text_addf(text, written->append ? " appending at %lld" : " at %lld", (long long)written->offset);
}

static const char *class_word(const struct journal_entry *entry, const struct call_row *row)
{
  if (row == NULL)
    return "unknown call";
  switch ((enum call_class)row->class) {
  case CALL_CLASS_CHANGE_LOCAL:
    /* Recorded in one piece, it changed nothing outside: a file opened to be read, a pipe of the run. */
    if (entry->kind == JOURNAL_COMPLETE)
      return strcmp(row->handler, "open") == 0 ? "observe" : "local";
    return journal_has_channel(entry) ? "local" : "change";
  case CALL_CLASS_CHANGE_REMOTE:
    return "remote change";
  default:
    return row->class_name;
  }
}

static void add_what(struct text *text, const struct journal_entry *entry, const struct call_row *row)
{
  if (entry->arg_count & JOURNAL_FLAG_RESOLVED) {
    text_add(text, "  [resolved by recovery]");
    return;
  }
  text_addf(text, "  [%s", class_word(entry, row));
  if (entry->kind == JOURNAL_INTENT)
    text_add(text, entry->arg_count & JOURNAL_FLAG_UNFINISHED ? ": intent, unfinished" : ": intent");
  else if (entry->kind == JOURNAL_RESULT)
    text_add(text, entry->result < 0 && entry->result >= -ERRNO_MAX ? ": failed" : ": done");
  text_add(text, "]");
}

/* Nothing of the program that is executed is journaled: why. */
static void add_opaque(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *reason = journal_find_segment(entry, SEGMENT_OPAQUE, -1);
  if (reason != NULL)
    text_addf(text, " as one step, since %.*s", (int)reason->length, (const char *)reason->data);
}

static void add_call(struct text *text, const struct journal_entry *entry, const struct call_row *row)
{
  if (row != NULL)
    text_add(text, row->name);
  else
    text_addf(text, "call_%u", entry->call);
  text_add(text, "(");
  bool exchange = format_exchange_is(entry);
  unsigned count = exchange ? 0 : format_arg_count(entry, row);
  for (unsigned i = 0; i < count; i++) {
    if (i > 0)
      text_add(text, ", ");
    format_arg_add(text, entry, row, i);
  }
  if (exchange)
    format_exchange_add_args(text, entry);
  text_add(text, ")");
  if (exchange) {
    format_exchange_add_result(text, entry);
  } else if (entry->kind == JOURNAL_INTENT) {
    add_where_written(text, entry);
    add_opaque(text, entry);
  } else {
    add_result(text, entry);
    add_opened(text, entry);
  }
  add_what(text, entry, row);
}

static void add_process(struct text *text, const struct journal_entry *entry)
{
  if (journal_arg_count(entry) >= 2)
    text_addf(text, ", process %d of parent %d", (int)entry->args[0], (int)entry->args[1]);
}

static void add_start(struct text *text, const struct journal_entry *entry)
{
  text_add(text, "a program begins");
  add_process(text, entry);
  const struct journal_segment *directory = journal_find_segment(entry, SEGMENT_DIRECTORY, -1);
  if (directory != NULL) {
    text_add(text, ", in ");
    text_add_quoted(text, directory->data, directory->length);
  }
  text_add(text, "  [start]");
}

static void add_data(struct text *text, const struct journal_entry *entry, const struct call_row *row)
{
  const struct journal_segment *output = journal_find_segment(entry, SEGMENT_OUTPUT, -1);
  text_addf(text, "%u bytes of output for the %s that follows  [data]",
            output != NULL ? output->length : 0, row != NULL ? row->name : "call");
}

static void add_keep(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *segment = find_whole(entry, SEGMENT_OLD, sizeof(struct journal_old));
  if (segment != NULL) {
    const struct journal_old *old = (const struct journal_old *)segment->data;
    text_addf(text, "%llu old bytes of inode %llu at %llu",
              (unsigned long long)(segment->length - sizeof *old), (unsigned long long)old->inode,
              (unsigned long long)old->offset);
  }
  segment = find_whole(entry, SEGMENT_KEPT, sizeof(struct journal_kept));
  if (segment != NULL) {
    const struct journal_kept *kept = (const struct journal_kept *)segment->data;
    text_addf(text, "inode %llu as ", (unsigned long long)kept->inode);
    text_add_quoted(text, segment->data + sizeof *kept, segment->length - sizeof *kept);
  }
  text_add(text, "  [keep]");
}

static void add_note(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *words = journal_find_segment(entry, SEGMENT_TEXT, -1);
  if (words != NULL)
    text_add_quoted(text, words->data, words->length);
  text_add(text, "  [note]");
}

static void add_child(struct text *text, const struct journal_entry *entry)
{
  text_add(text, "a process begins as a copy of its parent");
  add_process(text, entry);
  text_add(text, "  [child]");
}

static void add_signal(struct text *text, const struct journal_entry *entry)
{
  const char *name = journal_arg_count(entry) > 0 ? sigabbrev_np((int)entry->args[0]) : NULL;
  text_addf(text, "the handler of SIG%s runs  [signal]", name != NULL ? name : "?");
}

static void add_resolve(struct text *text, const struct journal_entry *entry, const struct call_row *row)
{
  const struct journal_segment *segment =
      find_whole(entry, SEGMENT_RESOLUTION, sizeof(struct journal_resolution));
  text_addf(text, "a person says of the %s that began at %llu: ", row != NULL ? row->name : "call",
            (unsigned long long)entry_arg(entry, 0));
  const struct journal_resolution *resolution =
      segment != NULL ? (const struct journal_resolution *)segment->data : NULL;
  if (resolution == NULL)
    text_add(text, "?");
  else if (resolution->kind == JOURNAL_RESOLUTION_RETRY)
    text_add(text, "make it again");
  else if (resolution->kind == JOURNAL_RESOLUTION_RESPONSE)
    text_add(text, "this was the response");
  else
    text_addf(text, "it failed with %u", resolution->code);
  text_add(text, "  [resolve]");
}

size_t format_entry(const struct journal_entry *entry, uint64_t seq, char *ret_line, size_t size)
{
  return format_entry_marked(entry, seq, "", ret_line, size);
}

size_t format_entry_marked(const struct journal_entry *entry, uint64_t seq, const char *mark, char *ret_line, size_t size)
{
  const struct call_row *row = call_table_find(entry->call);
  char time[FORMAT_TIME_SIZE];
  struct text text;
  text_begin(&text, ret_line, size);
  format_time(entry->time_ns, time);
  text_addf(&text, "%s #%llu [%u] %s%s", time, (unsigned long long)seq, entry->stream, mark, *mark ? " " : "");
  switch ((enum journal_kind)entry->kind) {
  case JOURNAL_COMPLETE:
  case JOURNAL_INTENT:
  case JOURNAL_RESULT:
    add_call(&text, entry, row);
    break;
  case JOURNAL_DATA:
    add_data(&text, entry, row);
    break;
  case JOURNAL_KEEP:
    add_keep(&text, entry);
    break;
  case JOURNAL_START:
    add_start(&text, entry);
    break;
  case JOURNAL_EXIT:
    text_addf(&text, "the process ends with status %d  [exit]", (int)entry->result);
    break;
  case JOURNAL_ATTEMPT:
    text_addf(&text, "attempt %lld begins  [attempt]", (long long)entry->result);
    break;
  case JOURNAL_RESOLVE:
    add_resolve(&text, entry, row);
    break;
  case JOURNAL_NOTE:
    add_note(&text, entry);
    break;
  case JOURNAL_CHILD:
    add_child(&text, entry);
    break;
  case JOURNAL_SIGNAL:
    add_signal(&text, entry);
    break;
  }
  return text.length;
}
