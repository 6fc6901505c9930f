/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a compiler calls unasked, for copies and comparisons of structures. libc's use
 * vector registers, which belong to the program: inside the shim these are used instead, as they are hidden
 * and in the same object. No loop here may be one that the compiler makes such a call of. */
#include "shim/raw.h"

#define HIDDEN __attribute__((visibility("hidden"), used))

void *memcpy(void *restrict to, const void *restrict from, size_t size) HIDDEN;
void *memmove(void *to, const void *from, size_t size) HIDDEN;
void *memset(void *to, int byte, size_t size) HIDDEN;
int memcmp(const void *left, const void *right, size_t size) HIDDEN;
size_t strlen(const char *text) HIDDEN;

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
  raw_copy(to, from, size);
  return to;
}

void *memmove(void *to, const void *from, size_t size)
{
  if ((uintptr_t)to - (uintptr_t)from >= size) {
    raw_copy(to, from, size);
    return to;
  }
  uint8_t *last_to = (uint8_t *)to + size - 1;
  const uint8_t *last_from = (const uint8_t *)from + size - 1;
  __asm__ volatile("std\n\trep movsb\n\tcld"
                   : "+D"(last_to), "+S"(last_from), "+c"(size)
                   :
                   : "memory", "cc");
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
  for (size_t i = 0; i < size; i++) {
    if (a[i] != b[i])
      return a[i] - b[i];
  }
  return 0;
}

size_t strlen(const char *text)
{
  return raw_length(text);
}
