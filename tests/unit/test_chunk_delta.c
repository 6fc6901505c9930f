/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/chunk_delta.h"
#include "tests/unit/packed_entries.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

static struct packed_entries packed;
static uint8_t delta[sizeof packed.bytes + sizeof packed.bytes / 8 + 64];
static _Alignas(8) uint8_t restored[CHUNK_LENGTH_MAX];

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(random_state >> 33) % bound;
}

/* Entries of a few calls, with data that is sometimes alike, and a gap here and there. */
static void fill(unsigned count)
{
  uint8_t data[300];
  packed_clear(&packed);
  for (unsigned i = 0; i < count && packed.length + 400 < sizeof packed.bytes; i++) {
    for (unsigned at = 0; at < sizeof data; at++)
      data[at] = random_below(4) ? 7 : (uint8_t)random_below(256);
    packed_add(&packed, 1 + random_below(2), (uint16_t)random_below(5), JOURNAL_COMPLETE, random_below(3),
               SEGMENT_OUTPUT, random_below(3) ? data : NULL, random_below(sizeof data));
    packed.position += random_below(9) ? 0 : 8 * random_below(100);
  }
}

static size_t encoded(void)
{
  size_t size = chunk_delta_encode(packed.bytes, packed.length, delta);
  assert(size <= chunk_delta_size_max(packed.length));
  return size;
}

static bool comes_back(size_t size)
{
  memset(restored, 0xee, packed.length);
  return chunk_delta_length(delta, size) == packed.length &&
         chunk_delta_decode(delta, size, restored) == packed.length &&
         memcmp(restored, packed.bytes, packed.length) == 0;
}

static void test_round_trips(void)
{
  bool all = true;
  for (unsigned round = 0; round < 300; round++) {
    packed.position = 8 * random_below(1000000);
    fill(1 + round);
    all = comes_back(encoded()) && all;
  }
  tap_ok(all, "entries come back as they were, with gaps between them and data of any length");
}

static void test_alike(void)
{
  packed_clear(&packed);
  for (unsigned i = 0; i < 500; i++)
    packed_add(&packed, 1, 228, JOURNAL_COMPLETE, 0, SEGMENT_OUTPUT, "0123456789abcdef", 16);
  size_t size = encoded();
  tap_note("%zu bytes of entries, %zu stored", packed.length, size);
  tap_ok(comes_back(size) && size < packed.length / 2, "entries of one sort take less than half");
}

/* Every length and every changed byte: decoding ends inside its bounds and gives whole entries only. */
static bool harmless(const uint8_t *bytes, size_t size)
{
  size_t room = chunk_delta_length(bytes, size);
  uint8_t *exact_input = malloc(size + 1), *exact = malloc(room + 1);
  assert(exact_input != NULL && exact != NULL);
  memcpy(exact_input, bytes, size);
  size_t length = chunk_delta_decode(exact_input, size, exact), at = 0;
  while (at < length)
    at += ((const struct journal_entry *)(exact + at))->size;
  free(exact_input);
  free(exact);
  return length <= room && at == length;
}

static void test_damage(void)
{
  packed.position = 4096;
  fill(40);
  size_t size = encoded();
  bool cut = true, changed = true;
  for (size_t length = 0; length < size; length++)
    cut = harmless(delta, length) && chunk_delta_decode(delta, length, restored) < packed.length && cut;
  tap_ok(cut, "bytes that are cut anywhere give fewer entries, and nothing is read past them");
  for (size_t at = 0; at < size; at++)
    for (unsigned bit = 0; bit < 8; bit++) {
      delta[at] ^= (uint8_t)(1u << bit);
      changed = harmless(delta, size) && changed;
      delta[at] ^= (uint8_t)(1u << bit);
    }
  tap_ok(changed, "bytes with any bit changed are decoded within their bounds");
  memcpy(delta + size, "more", 4);
  tap_ok(chunk_delta_decode(delta, size + 4, restored) < packed.length, "more bytes than entries are noticed");
}

int main(void)
{
  test_round_trips();
  test_alike();
  test_damage();
  return tap_done();
}
