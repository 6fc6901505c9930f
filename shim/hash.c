/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing what passes through the engine. Short runs of bytes in general registers; long ones with
 * SSE2 or AVX2, in functions that put the program's vector registers back (x86_64/hash_wide.S). */
#include "journal/hash.h"
#include "shim/engine.h"
#include "shim/x86_64/hash_wide.h"

#define WIDE_MIN 512

enum { WIDTH_UNKNOWN, WIDTH_SSE2, WIDTH_AVX2 };

uint64_t hash_bytes(const void *bytes, size_t size)
{
  static _Atomic uint8_t width; /* asked once, since a hypervisor answers cpuid slowly */
  if (size < WIDE_MIN)
    return journal_hash(bytes, size);
  if (width == WIDTH_UNKNOWN)
    width = hash_wide_has_avx2() ? WIDTH_AVX2 : WIDTH_SSE2;
  return width == WIDTH_AVX2 ? hash_wide_avx2(bytes, size) : hash_wide(bytes, size);
}

uint64_t hash_vector_whole(const struct io_vector *pieces, uint64_t count)
{
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  for (uint64_t i = 0; i < count; i++)
    XXH3_64bits_update(&state, pieces[i].base, pieces[i].length);
  return XXH3_64bits_digest(&state);
}
