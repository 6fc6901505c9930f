/* SPDX-License-Identifier: Apache-2.0 */
/* format_entry.h says what the object holds. */
#include "supervisor/format_entry.h"

#include "supervisor/format_args.h"
#include "supervisor/format_exchange.h"

#include <string.h>
#include <time.h>

#define ERRNO_MAX 4095
#define OUTPUT_SHOWN 256

static void add_time(struct text *text, uint64_t time_ns)
{
  time_t seconds = (time_t)(time_ns / 1000000000);
  struct tm utc = {0};
  char date[64];
  gmtime_r(&seconds, &utc);
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
  text_addf(text, "\"time\":\"%s.%09uZ\"", date, (unsigned)(time_ns % 1000000000));
}

static void add_call(struct text *text, const struct journal_entry *entry, const struct call_row *row)
{
  text_addf(text, ",\"stream\":%u,\"call\":", entry->stream);
  if (row != NULL)
    text_addf(text, "\"%s\",\"class\":\"%s\"", row->name, row->class_name);
  else
    text_add(text, "null,\"class\":null");
  text_addf(text, ",\"call_id\":%u,\"kind\":\"%s\",\"flags\":[", entry->call,
            journal_kind_name(entry->kind));
  bool resolved = (entry->arg_count & JOURNAL_FLAG_RESOLVED) != 0;
  bool unfinished = (entry->arg_count & JOURNAL_FLAG_UNFINISHED) != 0;
  text_addf(text, "%s%s%s]", resolved ? "\"resolved\"" : "", resolved && unfinished ? "," : "",
            unfinished ? "\"unfinished\"" : "");
}

/* raw is a string: programs that read JSON numbers as doubles would lose its low bits. */
static void add_args(struct text *text, const struct journal_entry *entry, const struct call_row *row)
{
  char decoded[16384];
  text_add(text, ",\"args\":[");
  unsigned count = format_arg_count(entry, row);
  for (unsigned i = 0; i < count; i++) {
    struct text one;
    text_begin(&one, decoded, sizeof decoded);
    format_arg_add(&one, entry, row, i);
    text_addf(text, "%s{\"raw\":\"0x%llx\",\"text\":", i > 0 ? "," : "",
              (unsigned long long)entry->args[i]);
    text_add_json_string(text, decoded);
    text_add(text, "}");
  }
  text_add(text, "]");
}

static void add_result(struct text *text, const struct journal_entry *entry)
{
  if (entry->kind == JOURNAL_INTENT) {
    text_add(text, ",\"result\":null,\"error\":null");
    return;
  }
  int64_t result = entry->result;
  bool failed = result < 0 && result >= -ERRNO_MAX;
  const char *name = failed ? strerrorname_np((int)-result) : NULL;
  text_addf(text, ",\"result\":%lld,\"error\":", (long long)result);
  if (name != NULL)
    text_addf(text, "\"%s\",\"error_text\":\"%s\"", name, strerrordesc_np((int)-result));
  else
    text_add(text, "null");
}

/* All segments of one type, as an array of strings. */
static void add_strings(struct text *text, const struct journal_entry *entry, unsigned type,
                        const char *key)
{
  const struct journal_segment *segment = journal_find_segment(entry, type, -1);
  if (segment == NULL)
    return;
  text_addf(text, ",\"%s\":[", key);
  for (bool first = true; segment != NULL; segment = journal_next_segment(entry, segment)) {
    if (segment->type != type)
      continue;
    if (!first)
      text_add(text, ",");
    text_add_json(text, segment->data, segment->length);
    first = false;
  }
  text_add(text, "]");
}

/* method and url, or the callback's name. */
static void add_exchange(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *method = journal_find_segment(entry, SEGMENT_REQUEST, 0);
  const struct journal_segment *url = journal_find_segment(entry, SEGMENT_REQUEST, 1);
  if (method != NULL) {
    text_add(text, ",\"method\":");
    text_add_json(text, method->data, method->length);
  }
  if (url != NULL) {
    text_add(text, ",\"url\":");
    text_add_json(text, url->data, url->length);
  }
  if (entry->kind == JOURNAL_COMPLETE && journal_arg_count(entry) > 0)
    text_addf(text, ",\"callback\":\"%s\"", journal_callback_name((unsigned)entry->args[0]));
}

static void add_output(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *output = journal_find_segment(entry, SEGMENT_OUTPUT, -1);
  if (output == NULL)
    return;
  text_addf(text, ",\"output_size\":%u,\"output\":", output->length);
  text_add_json(text, output->data, output->length < OUTPUT_SHOWN ? output->length : OUTPUT_SHOWN);
}

static void add_segments(struct text *text, const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_first_segment(entry);
  const uint8_t *end = (const uint8_t *)entry + entry->size;
  text_add(text, ",\"segments\":[");
  if ((const uint8_t *)segment >= end)
    segment = NULL;
  for (bool first = true; segment != NULL; segment = journal_next_segment(entry, segment)) {
    text_addf(text, "%s{\"type\":\"%s\",\"arg\":%u,\"size\":%u}", first ? "" : ",",
              journal_segment_name(segment->type), segment->arg, segment->length);
    first = false;
  }
  text_add(text, "]");
}

size_t format_entry_json(const struct journal_entry *entry, uint64_t seq, char *ret_json, size_t size)
{
  const struct call_row *row = call_table_find(entry->call);
  struct text text;
  text_begin(&text, ret_json, size);
  text_addf(&text, "{\"seq\":%llu,\"position\":%llu,\"time_ns\":%llu,", (unsigned long long)seq,
            (unsigned long long)entry->position, (unsigned long long)entry->time_ns);
  add_time(&text, entry->time_ns);
  add_call(&text, entry, row);
  add_args(&text, entry, row);
  add_result(&text, entry);
  add_strings(&text, entry, SEGMENT_PATH, "paths");
  add_strings(&text, entry, SEGMENT_FULL_PATH, "full_paths");
  add_strings(&text, entry, SEGMENT_TEXT, "text");
  if (format_exchange_is(entry))
    add_exchange(&text, entry);
  add_output(&text, entry);
  add_segments(&text, entry);
  text_addf(&text, ",\"signature\":\"0x%016llx\"}", (unsigned long long)entry->signature);
  return text.length;
}
