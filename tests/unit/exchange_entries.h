/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange's entries, for the tests. */
#ifndef PERDURE_TESTS_UNIT_EXCHANGE_ENTRIES_H
#define PERDURE_TESTS_UNIT_EXCHANGE_ENTRIES_H

#include "journal/call_table.h"
#include "tests/unit/entries.h"

static inline uint64_t build_exchange(struct built_journal *journal, uint32_t stream, uint64_t flags,
                                      const char *method, const char *url, const char *body)
{
  build(journal, stream, CALL_ID_EXCHANGE, JOURNAL_INTENT, 0);
  build_arg(journal, flags);
  build_segment(journal, SEGMENT_REQUEST, 0, method, strlen(method));
  build_segment(journal, SEGMENT_REQUEST, 1, url, strlen(url));
  build_segment(journal, SEGMENT_REQUEST, 2, "", 0);
  if (body)
    build_segment(journal, SEGMENT_REQUEST, 3, body, strlen(body));
  return build_end(journal);
}

/* returned: what the callback before returned. exchange: its INTENT's position, or the latest. */
static inline uint64_t build_callback(struct built_journal *journal, uint32_t stream, unsigned callback,
                                      const char *bytes, uint64_t returned, uint64_t exchange)
{
  build(journal, stream, CALL_ID_CALLBACK, JOURNAL_COMPLETE, 0);
  BUILD_ARGS(journal, callback, 0, 0, returned);
  if (exchange != JOURNAL_EXCHANGE_LATEST)
    build_arg(journal, exchange);
  if (bytes)
    build_segment(journal, SEGMENT_OUTPUT, 0, bytes, strlen(bytes));
  return build_end(journal);
}

/* Adds one value to a segment that is being built; returns its length there. */
static inline size_t build_info(struct built_journal *journal, uint32_t number, const void *value, size_t length)
{
  struct journal_info *info = build_room(journal, sizeof *info + journal_padded(length));
  info->info = number;
  info->length = (uint32_t)length;
  memcpy(info->data, value, length);
  return sizeof *info + journal_padded(length);
}

static inline uint64_t build_exchange_result(struct built_journal *journal, uint32_t stream, int64_t code,
                                             uint64_t status, uint64_t size, uint64_t exchange)
{
  build(journal, stream, CALL_ID_EXCHANGE, JOURNAL_RESULT, code);
  if (exchange != JOURNAL_EXCHANGE_LATEST)
    build_arg(journal, exchange);
  size_t place = journal->length, length = 0;
  build_room(journal, sizeof(struct journal_segment));
  length += build_info(journal, 0x200002, &status, sizeof status);
  length += build_info(journal, 0x600008, &size, sizeof size);
  struct journal_segment *segment = (struct journal_segment *)(journal->bytes + place);
  segment->type = SEGMENT_INFO;
  segment->length = (uint32_t)length;
  return build_end(journal);
}

#endif
