/* SPDX-License-Identifier: Apache-2.0 */
/* The one hash of the format: XXH3-64, inlined, so that it works without a library in the program. */
#ifndef PERDURE_JOURNAL_HASH_H
#define PERDURE_JOURNAL_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* XXH3-64 of `size` bytes. */
static inline uint64_t journal_hash(const void *bytes, size_t size)
{
  return XXH3_64bits(bytes, size);
}

#endif
