/* SPDX-License-Identifier: Apache-2.0 */
/* clock N: reads the clock N times, and says how many ns that took by the first and the last. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t read_ns(void)
{
  struct timespec now;

  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
    abort();
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
  long count = argc > 1 ? atol(argv[1]) : 0;
  int64_t first = 0, last = 0;

  for (long i = 0; i < count; i++) {
    last = read_ns();
    if (i == 0)
      first = last;
  }
  printf("%" PRId64 "\n", last - first);
  return 0;
}
