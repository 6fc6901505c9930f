/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler may call by itself. libc's own would use vector registers, and may be in the
 * middle of being replaced. */
#include "shim/raw.h"

__attribute__((visibility("hidden"))) void *memcpy(void *to, const void *from, size_t size);
__attribute__((visibility("hidden"))) void *memset(void *to, int byte, size_t size);
__attribute__((visibility("hidden"))) int memcmp(const void *left, const void *right, size_t size);
_Noreturn __attribute__((visibility("hidden"))) void __assert_fail(const char *, const char *, unsigned,
                                                                   const char *);

void *memcpy(void *to, const void *from, size_t size)
{
  raw_copy(to, from, size);
  return to;
}

void *memset(void *to, int byte, size_t size)
{
  raw_fill(to, (uint8_t)byte, size);
  return to;
}

int memcmp(const void *left, const void *right, size_t size)
{
  const volatile uint8_t *a = left, *b = right;
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i])
      return a[i] < b[i] ? -1 : 1;
  return 0;
}
