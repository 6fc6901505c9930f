/* SPDX-License-Identifier: Apache-2.0 */
/* The Test Anything Protocol for the unit tests. One test program is one file: the state is its own.
 *
 *   int main(void)
 *   {
 *     tap_ok(1 + 1 == 2, "one and one are %d", 2);
 *     return tap_done();
 *   }
 */
#ifndef PERDURE_TESTS_UNIT_TAP_H
#define PERDURE_TESTS_UNIT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned tap_count, tap_failed;

/* A line under the last test, for people. */
static inline __attribute__((format(printf, 1, 2))) void tap_note(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  fputs("# ", stdout);
  vprintf(format, args);
  putchar('\n');
  fflush(stdout);
  va_end(args);
}

/* One test; its name is the promise it keeps. Returns `passed`. */
static inline __attribute__((format(printf, 2, 3))) bool tap_ok(bool passed, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  printf("%sok %u - ", passed ? "" : "not ", ++tap_count);
  vprintf(format, args);
  putchar('\n');
  fflush(stdout);
  va_end(args);
  if (!passed)
    tap_failed++;
  return passed;
}

/* Prints the plan; returns the program's exit status. */
static inline int tap_done(void)
{
  printf("1..%u\n", tap_count);
  return tap_failed ? 1 : 0;
}

#endif
