/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing many bytes with the vector registers, which are the program's and come back as they were. */
#ifndef PERDURE_SHIM_X86_64_HASH_WIDE_H
#define PERDURE_SHIM_X86_64_HASH_WIDE_H

#include <cpuid.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* journal_hash() of the same bytes. */
uint64_t hash_wide(const void *bytes, size_t size);
/* The same; only where hash_wide_has_avx2(). */
uint64_t hash_wide_avx2(const void *bytes, size_t size);

/* AVX2, and the kernel keeps its registers, and XGETBV tells whether they are in use. */
static inline bool hash_wide_has_avx2(void)
{
  unsigned a, b, c, d, kept;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
    return false;
  __asm__ volatile("xgetbv" : "=a"(kept), "=d"(d) : "c"(0));
  if ((kept & 6) != 6)
    return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
    return false;
  return __get_cpuid_count(13, 1, &a, &b, &c, &d) && (a & 1 << 2);
}

#endif
