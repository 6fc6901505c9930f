/* SPDX-License-Identifier: Apache-2.0 */
/* What code inside the program may use instead of libc: system calls by the plain instruction, which
 * no boundary redirects, and memory functions that touch general registers only.
 *
 * raw_syscallN() returns what the kernel returns: a result, or a negative errno. errno is not
 * touched. No function here calls another object, so all may be used while libc's text is being
 * replaced, between fork and exec, and in a signal handler.
 */
#ifndef PERDURE_SHIM_RAW_H
#define PERDURE_SHIM_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* The largest errno that the kernel returns; results in [-RAW_ERRNO_MAX, -1] are errors. */
#define RAW_ERRNO_MAX 4095

static inline bool raw_is_error(int64_t result)
{
  return (uint64_t)result >= (uint64_t)-RAW_ERRNO_MAX;
}

static inline int64_t raw_syscall6(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                   uint64_t e, uint64_t f)
{
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  register uint64_t r9 __asm__("r9") = f;
  int64_t result = number;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static inline int64_t raw_syscall5(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                   uint64_t e)
{
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  int64_t result = number;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}

static inline int64_t raw_syscall4(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
  register uint64_t r10 __asm__("r10") = d;
  int64_t result = number;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}

static inline int64_t raw_syscall3(int64_t number, uint64_t a, uint64_t b, uint64_t c)
{
  int64_t result = number;
  __asm__ volatile("syscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
  return result;
}

static inline int64_t raw_syscall2(int64_t number, uint64_t a, uint64_t b)
{
  int64_t result = number;
  __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b) : "rcx", "r11", "memory");
  return result;
}

static inline int64_t raw_syscall1(int64_t number, uint64_t a)
{
  int64_t result = number;
  __asm__ volatile("syscall" : "+a"(result) : "D"(a) : "rcx", "r11", "memory");
  return result;
}

static inline int64_t raw_syscall0(int64_t number)
{
  int64_t result = number;
  __asm__ volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
  return result;
}

/* As memcpy: the two must not overlap. */
static inline void raw_copy(void *to, const void *from, size_t size)
{
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

/* As memset. */
static inline void raw_fill(void *to, uint8_t byte, size_t size)
{
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
}

static inline bool raw_equal(const void *left, const void *right, size_t size)
{
  const volatile uint8_t *a = left, *b = right;
  for (size_t i = 0; i < size; i++) {
    if (a[i] != b[i])
      return false;
  }
  return true;
}

/* As strlen. The asm keeps the compiler from making a call to strlen of it. */
static inline size_t raw_length(const char *text)
{
  size_t length = 0;
  while (text[length]) {
    length++;
    __asm__ volatile("" : "+r"(length));
  }
  return length;
}

static inline bool raw_same_text(const char *left, const char *right)
{
  size_t i = 0;
  while (left[i] && left[i] == right[i])
    i++;
  return left[i] == right[i];
}

#endif
