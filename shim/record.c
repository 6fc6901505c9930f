/* SPDX-License-Identifier: Apache-2.0 */
/* Putting entries together and appending them.
 *
 * Killed at any line: tail_append leaves a whole entry or a gap, and what runs before and after it is
 * told apart by INTENT and RESULT. */
#include "shim/blob.h"
#include "shim/engine.h"
#include "shim/region.h"
#include "shim/replicas.h"
#include "shim/unjournaled.h"

#include <assert.h>
#include <errno.h>

/* Longest output that goes into the entry itself; the rest goes ahead of it in DATA entries. */
#define OUTPUT_INLINE_MAX (256u << 10)

void draft_begin(struct draft *draft, const struct call *call, unsigned kind, int64_t result)
{
  draft->tail = (struct tail_draft){
      .stream = engine_thread.stream,
      .call = call->id,
      .kind = (uint8_t)kind,
      .result = result,
      .signature = call->signature,
      .time_ns = engine_now_ns(),
      .args = call->args,
      .arg_count = call_arg_count(call),
      .parts = draft->parts,
  };
  if (!call->shape || kind == JOURNAL_RESULT)
    return;
  for (unsigned i = 0; i < draft->tail.arg_count; i++) {
    unsigned argument = CALL_ARG_KIND(call->shape->args[i]);
    if ((argument == ARG_PATH || argument == ARG_STR) && call->args[i])
      draft_add(draft, SEGMENT_PATH, i, (const void *)call->args[i], call->string_length[i]);
    else if (argument == ARG_IN && kind == JOURNAL_INTENT && call->args[i])
      draft_add(draft, SEGMENT_INPUT, i, (const void *)call->args[i], CALL_ARG_SIZE(call->shape->args[i]));
  }
}

void draft_add2(struct draft *draft, unsigned type, unsigned arg, const void *data, size_t length,
                const void *data2, size_t length2)
{
  assert(draft->tail.part_count < PART_MAX);
  draft->parts[draft->tail.part_count++] = (struct tail_part){
      .type = (uint16_t)type,
      .arg = (uint8_t)arg,
      .data = data,
      .length = (uint32_t)length,
      .data2 = data2,
      .length2 = (uint32_t)length2,
  };
}

void draft_add(struct draft *draft, unsigned type, unsigned arg, const void *data, size_t length)
{
  draft_add2(draft, type, arg, data, length, NULL, 0);
}

/* Appends `length` bytes as DATA entries, for the entry that follows in this stream. */
static void append_data(const struct draft *draft, unsigned arg, const uint8_t *data, size_t length)
{
  while (length && !engine_thread.unjournaled) {
    size_t part = length < JOURNAL_PAYLOAD_SIZE_MAX ? length : JOURNAL_PAYLOAD_SIZE_MAX;
    struct tail_part piece = {
        .type = SEGMENT_OUTPUT, .arg = (uint8_t)arg, .data = data, .length = (uint32_t)part};
    struct tail_draft entry = draft->tail;
    entry.kind = JOURNAL_DATA;
    entry.arg_count = 0;
    entry.parts = &piece;
    entry.part_count = 1;
    tail_append(&engine.tail, &entry);
    data += part;
    length -= part;
  }
}

void draft_add_output(struct draft *draft, const struct call *call, unsigned arg, const void *data,
                      size_t length)
{
  if (length > OUTPUT_INLINE_MAX) {
    size_t ahead = length - length % OUTPUT_INLINE_MAX;
    append_data(draft, arg, data, ahead);
    data = (const uint8_t *)data + ahead;
    length -= ahead;
  }
  draft_add(draft, SEGMENT_OUTPUT, arg, data, length);
}

/* All pieces of an iovec as one output, `length` bytes of it. */
static void add_vector(struct draft *draft, unsigned arg, const struct io_vector *pieces,
                       uint64_t count, uint64_t length)
{
  for (uint64_t i = 0; i < count && length; i++) {
    uint64_t part = pieces[i].length < length ? pieces[i].length : length;
    length -= part;
    if (length)
      append_data(draft, arg, pieces[i].base, part);
    else
      draft_add_output(draft, NULL, arg, pieces[i].base, part);
  }
}

void draft_add_outputs(struct draft *draft, const struct call *call)
{
  int64_t result = draft->tail.result;
  unsigned count = call_arg_count(call);
  if (raw_is_error(result))
    return;
  for (unsigned i = 0; i < count; i++) {
    uint32_t arg = call->shape->args[i];
    unsigned kind = CALL_ARG_KIND(arg), other = CALL_ARG_OTHER(arg);
    uint64_t size = CALL_ARG_SIZE(arg);
    const void *data = (const void *)call->args[i];
    if (!data || kind < ARG_OUT)
      continue;
    switch (kind) {
    case ARG_OUT:
      draft_add(draft, SEGMENT_OUTPUT, i, data, size);
      break;
    case ARG_OUT_RESULT:
      draft_add_output(draft, call, i, data, (uint64_t)result * size);
      break;
    case ARG_OUT_ARG:
    case ARG_INOUT_ARG:
      draft_add_output(draft, call, i, data, call->args[other] * size);
      break;
    case ARG_OUT_IOV:
      add_vector(draft, i, data, call->args[other], (uint64_t)result);
      break;
    case ARG_OUT_VALUE:
      if (call->args[other]) {
        const uint32_t *length = (const uint32_t *)call->args[other];
        draft_add_output(draft, call, i, data, *length < call->value_room ? *length : call->value_room);
        draft_add(draft, SEGMENT_OUTPUT, other, length, sizeof *length);
      }
      break;
    }
  }
}

uint64_t draft_append(struct draft *draft)
{
  if (__builtin_expect(engine_thread.unjournaled, 0) && !unjournaled_keeps(draft->tail.kind))
    return TAIL_NOWHERE;
  return tail_append(&engine.tail, &draft->tail);
}

void record_complete(const struct call *call, int64_t result)
{
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  draft_add_outputs(&draft, call);
  draft_append(&draft);
}

/* Of the entry that this thread has appended there. */
static uint32_t entry_size(uint64_t position)
{
  const struct journal_entry *entry =
      (const struct journal_entry *)(engine.tail.ring + (position & (engine.tail.header->ring_size - 1)));
  return entry->size;
}

static void make_durable(uint64_t start, uint64_t end)
{
  blobs_sync();
  int result = tail_sync_to(&engine.tail, start, end);
  if (result < 0)
    engine_failed(TAIL_REPORT_FAILED, "the journal cannot be written to disk: ", "msync", result);
}

void record_make_all_durable(void)
{
  uint64_t end = atomic_load(&engine.tail.header->head);
  make_durable(end, end);
}

/* Until `position` is durable; a failing disk ends the process rather than the promise. */
void record_make_durable(uint64_t position)
{
  if (position == TAIL_NOWHERE)
    return;
  make_durable(position, position + entry_size(position));
}

void record_before_remote(uint64_t position)
{
  if (position == TAIL_NOWHERE)
    return;
  uint64_t end = position + entry_size(position);
  int asked = replicas_ask_before_remote(end);
  if (engine.tail.header->sync != TAIL_SYNC_NONE)
    record_make_durable(position);
  replicas_before_remote(end, asked);
}

void record_intent(struct draft *draft, const struct call *call)
{
  crash_point();
  uint64_t position = draft_append(draft);
  bool later = call->keep && region_open() && (!call->keep_settled || region_settled() != call->keep_settled);
  if (__builtin_expect(later, 0)) {
    call->keep(call, call->keep_context);
    if (engine.tail.header->sync == TAIL_SYNC_ALL)
      record_make_all_durable();
  }
  if (call->shape->class == CALL_CLASS_CHANGE_REMOTE || call->remote)
    record_before_remote(position);
  else if (engine.tail.header->sync == TAIL_SYNC_ALL)
    record_make_durable(position);
  crash_point();
}

void record_result(const struct call *call, int64_t result)
{
  crash_point();
  struct draft draft;
  draft_begin(&draft, call, JOURNAL_RESULT, result);
  draft.tail.arg_count = 0;
  draft_add_outputs(&draft, call);
  draft_append(&draft);
}

void record_note(uint32_t once, const char *text)
{
  if (atomic_fetch_or(&engine.tail.header->noted, once) & once)
    return;
  struct call call = {.id = CALL_ID_JOURNAL};
  struct draft draft;
  draft_begin(&draft, &call, JOURNAL_NOTE, 0);
  draft.tail.signature = 0;
  draft_add(&draft, SEGMENT_TEXT, 0, text, raw_length(text));
  draft_append(&draft);
}
