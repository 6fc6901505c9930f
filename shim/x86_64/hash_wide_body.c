/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the shim that use vector registers; only hash_wide.S calls them. Built twice: with SSE2
 * in the legacy encoding, which leaves the upper halves of wider registers alone, and with AVX2. */
#include "journal/hash.h"

#ifdef __AVX2__
#define hash_wide_body hash_wide_body_avx2
#endif

uint64_t hash_wide_body(const void *bytes, size_t size);

uint64_t hash_wide_body(const void *bytes, size_t size)
{
  return journal_hash(bytes, size);
}
