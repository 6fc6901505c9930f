/* SPDX-License-Identifier: Apache-2.0 */
/* The one function of the shim that uses vector registers (SSE2 in the legacy encoding, which leaves
 * the upper halves of wider registers alone). Only hash_wide.S calls it. */
#include "journal/hash.h"

uint64_t hash_wide_body(const void *bytes, size_t size);

uint64_t hash_wide_body(const void *bytes, size_t size)
{
  return journal_hash(bytes, size);
}
