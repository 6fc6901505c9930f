/* SPDX-License-Identifier: Apache-2.0 */
/* clock N: reads the clock N times. */
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
  long count = argc > 1 ? atol(argv[1]) : 0;
  struct timespec now;

  for (long i = 0; i < count; i++)
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
      return 1;
  return 0;
}
