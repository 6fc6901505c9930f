/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing what passes through the engine. Short runs of bytes in general registers; long ones with
 * SSE2, in a function that puts the program's vector registers back (hash_wide.S). */
#include "journal/hash.h"
#include "shim/engine.h"

/* hash_wide.S: calls hash_wide_body with all xmm registers saved around it. */
uint64_t hash_wide(const void *bytes, size_t size);

#define WIDE_MIN 512

uint64_t hash_bytes(const void *bytes, size_t size)
{
  return size < WIDE_MIN ? journal_hash(bytes, size) : hash_wide(bytes, size);
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
