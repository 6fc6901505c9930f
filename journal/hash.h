/* SPDX-License-Identifier: Apache-2.0 */
/* The one hash of the format: XXH3-64, inlined, so that it works without a library in the program. */
#ifndef PERDURE_JOURNAL_HASH_H
#define PERDURE_JOURNAL_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
/* Words are read by plain loads: the shim is built without the compiler's own memcpy, and a call for
 * each word would cost more than the hash. */
#define XXH_FORCE_MEMORY_ACCESS 1
#include <xxhash.h>

/* XXH3-64 of `size` bytes. */
static inline uint64_t journal_hash(const void *bytes, size_t size)
{
  return XXH3_64bits(bytes, size);
}

#endif
