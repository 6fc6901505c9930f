/* SPDX-License-Identifier: Apache-2.0 */
/* must(): how the programs of this folder check themselves. Each works in its working directory, which
 * make_inputs has filled, prints and leaves the same whenever it runs, and ends with 1 when something
 * is not as it must be. */
#ifndef PERDURE_TESTS_PROGRAMS_MUST_H
#define PERDURE_TESTS_PROGRAMS_MUST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define must(condition) ((condition) ? (void)0 : must_fail(#condition, __FILE__, __LINE__))

static inline _Noreturn void must_fail(const char *condition, const char *file, int line)
{
  int error = errno;
  fflush(stdout);
  dprintf(2, "%s:%d: not so: %s (errno: %s)\n", file, line, condition, strerror(error));
  _exit(1);
}

/* Calls that are younger than the oldest kernel: they work, or are not there. */
#define must_or_older(condition) must((condition) || errno == ENOSYS)

/* All of `text` by one write. */
static inline void put(int fd, const char *text)
{
  must(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* `fd` holds `text` at `offset`, and the file ends there. */
static inline void must_hold(int fd, off_t offset, const char *text)
{
  char bytes[512];
  ssize_t size = pread(fd, bytes, sizeof bytes, offset);
  must(size == (ssize_t)strlen(text));
  must(memcmp(bytes, text, (size_t)size) == 0);
}

#endif
