/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks that are cut: the entries that are left are the same. */
#include "supervisor/chunk_cut.h"

#include "supervisor/chunk_delta.h"
#include "tests/unit/packed_entries.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <stdlib.h>

#define COUNT 9
#define FIRST_SEQ 101

static struct failure failure;

static void test_cut(struct store_chunk whole, const struct packed_entries *packed, uint64_t first_seq)
{
  static _Alignas(8) uint8_t left[1 << 16];
  struct store_chunk chunk = whole;
  void *bytes = NULL;
  int error = chunk_cut(&chunk, first_seq, &bytes, &failure);
  size_t before = 0;
  for (uint64_t seq = FIRST_SEQ; seq < first_seq; seq++)
    before += ((const struct journal_entry *)(packed->bytes + before))->size;
  size_t length = error == 0 ? chunk_delta_decode(chunk.bytes, chunk.length, left) : 0;
  tap_ok(error == 0 && chunk.first_seq == first_seq && chunk.entry_count == FIRST_SEQ + COUNT - first_seq &&
           chunk.first_position == before && chunk.end_position == whole.end_position && length == packed->length - before &&
           memcmp(left, packed->bytes + before, length) == 0,
         "from entry %d of %d on", (int)(first_seq - FIRST_SEQ) + 1, COUNT);
  free(bytes);
}

int main(void)
{
  static struct packed_entries packed;
  static uint8_t delta[1 << 17];
  for (int i = 0; i < COUNT; i++)
    packed_add(&packed, 1, 2, JOURNAL_COMPLETE, i, SEGMENT_OUTPUT, i % 2 ? "bytes of it" : NULL, 11);
  struct store_chunk whole = {.first_seq = FIRST_SEQ, .end_position = packed.position, .entry_count = COUNT, .bytes = delta,
                              .length = chunk_delta_encode(packed.bytes, packed.length, delta)};
  for (uint64_t seq = FIRST_SEQ + 1; seq < FIRST_SEQ + COUNT; seq++)
    test_cut(whole, &packed, seq);
  delta[whole.length - 3] ^= 1;
  struct store_chunk chunk = whole;
  void *bytes = NULL;
  tap_ok(chunk_cut(&chunk, FIRST_SEQ + COUNT - 1, &bytes, &failure) == -EBADMSG && !bytes && chunk.first_seq == FIRST_SEQ &&
           strstr(failure.text, "damaged"),
         "an entry that is damaged is said, and nothing is cut");
  return tap_done();
}
