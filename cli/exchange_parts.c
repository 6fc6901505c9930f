/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange with all that is recorded of it, read from a run's journal. Writes nothing. */
#include "cli/exchange_text.h"

#include "supervisor/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct part {
  char *bytes;
  size_t length;
};

struct reading {
  struct exchanges exchanges;
  struct part sent_header, sent_body, header, body;
  bool starved; /* of memory */
};

/* At most `max` bytes in all. */
static void add(struct reading *reading, struct part *part, const struct journal_segment *segment, size_t max)
{
  size_t length = segment != NULL ? segment->length : 0;

  if (part->length >= max)
    return;
  if (length > max - part->length)
    length = max - part->length;
  char *grown = realloc(part->bytes, part->length + length + 1);
  if (grown == NULL) {
    reading->starved = true;
    return;
  }
  if (length > 0)
    memcpy(grown + part->length, segment->data, length);
  part->bytes = grown;
  part->length += length;
  grown[part->length] = '\0';
}

static void add_callback(struct reading *reading, const struct exchange *exchange,
                         const struct journal_entry *entry)
{
  const struct journal_segment *bytes = journal_find_segment(entry, SEGMENT_OUTPUT, 0);
  bool body = entry_arg(entry, 0) == JOURNAL_CALLBACK_WRITE;
  uint64_t given_before = exchange->given_size - (body ? journal_given_length(entry) : 0);

  /* What has turned out to be a line of the header, or comes again, goes. */
  if (reading->body.length > given_before)
    reading->body.length = (size_t)given_before;
  if (body)
    add(reading, &reading->body, bytes, EXCHANGE_BODY_SHOWN_MAX);
  else if (entry_arg(entry, 0) == JOURNAL_CALLBACK_HEADER)
    add(reading, &reading->header, bytes, SIZE_MAX);
}

/* Adds the next entry; when it is one of the exchange with `position`, its parts too. */
static int add_entry(struct reading *reading, const struct journal_entry *entry, uint64_t seq,
                     uint64_t position, size_t *ret_index, struct failure *failure)
{
  if (exchanges_add(&reading->exchanges, entry, seq, ret_index) < 0)
    return failure_set(failure, -ENOMEM, "out of memory; free some");
  if (*ret_index == EXCHANGE_NONE)
    return 0;
  const struct exchange *exchange = &reading->exchanges.list[*ret_index];
  if (exchange->position == position && entry->kind == JOURNAL_INTENT) {
    add(reading, &reading->sent_header, journal_find_segment(entry, SEGMENT_REQUEST, 2), SIZE_MAX);
    add(reading, &reading->sent_body, journal_find_segment(entry, SEGMENT_REQUEST, 3),
        EXCHANGE_BODY_SHOWN_MAX);
  } else if (exchange->position == position && entry->kind == JOURNAL_COMPLETE) {
    add_callback(reading, exchange, entry);
  }
  return reading->starved ? failure_set(failure, -ENOMEM, "out of memory; free some") : 0;
}

static int open_reader(const struct run_place *place, bool secrets, struct run_reader **ret_reader,
                       struct failure *failure)
{
  int error = run_reader_open(place, 1, ret_reader, failure);

  if (error == 0 && !secrets) {
    error = run_reader_hide(*ret_reader, failure);
    if (error < 0)
      run_reader_close(*ret_reader);
  }
  return error;
}

/* Walks the journal; stops at entry `until` (0: none), whose exchange is *ret_index. */
static int walk(const struct run_place *place, bool secrets, uint64_t until, uint64_t position,
                struct reading *reading, size_t *ret_index, struct failure *failure)
{
  const struct journal_entry *entry;
  struct run_reader *reader;
  uint64_t seq;
  int error = open_reader(place, secrets, &reader, failure);

  *ret_index = EXCHANGE_NONE;
  if (error < 0)
    return error;
  while ((error = run_reader_next(reader, &entry, &seq, failure)) == 0 && entry != NULL) {
    size_t index;

    error = add_entry(reading, entry, seq, position, &index, failure);
    if (error < 0)
      break;
    if (seq == until) {
      *ret_index = index;
      break;
    }
  }
  run_reader_close(reader);
  return error;
}

static void release(struct reading *reading)
{
  exchanges_release(&reading->exchanges);
  free(reading->sent_header.bytes);
  free(reading->sent_body.bytes);
  free(reading->header.bytes);
  free(reading->body.bytes);
}

static void hand_over(struct reading *reading, uint64_t position, struct exchange_parts *ret_parts)
{
  size_t index = 0;

  while (reading->exchanges.list[index].position != position)
    index++;
  struct exchange *exchange = &reading->exchanges.list[index];
  *ret_parts = (struct exchange_parts){
    .exchange = *exchange, .replayed = exchange_replayed(&reading->exchanges, exchange),
    .sent_header = reading->sent_header.bytes, .sent_header_length = reading->sent_header.length,
    .sent_body = reading->sent_body.bytes, .sent_body_length = reading->sent_body.length,
    .header = reading->header.bytes, .header_length = reading->header.length,
    .body = reading->body.bytes, .body_length = reading->body.length,
  };
  exchange->method = exchange->url = NULL;
  exchanges_release(&reading->exchanges);
}

int exchange_parts_read(const struct run_place *place, uint64_t seq, bool secrets,
                        struct exchange_parts *ret_parts, bool *ret_found, struct failure *failure)
{
  struct reading reading = {0};
  uint64_t position;
  size_t index;
  int error = walk(place, secrets, seq, UINT64_MAX, &reading, &index, failure);

  *ret_found = error == 0 && index != EXCHANGE_NONE;
  position = *ret_found ? reading.exchanges.list[index].position : 0;
  release(&reading);
  if (!*ret_found)
    return error;
  reading = (struct reading){0};
  error = walk(place, secrets, 0, position, &reading, &index, failure);
  if (error == 0)
    hand_over(&reading, position, ret_parts);
  else
    release(&reading);
  return error;
}

void exchange_parts_release(struct exchange_parts *parts)
{
  free(parts->exchange.method);
  free(parts->exchange.url);
  free(parts->sent_header);
  free(parts->sent_body);
  free(parts->header);
  free(parts->body);
}
