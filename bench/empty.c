/* SPDX-License-Identifier: Apache-2.0 */
/* empty region|key N: N empty atomic regions, or N idempotency keys, one after another. Prints the ns that they took. */
#include "control-api/perdure.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void make_regions(uint64_t count)
{
  for (uint64_t i = 0; i < count; i++)
    PERDURE_ATOMICALLY {
    }
}

static int make_keys(uint64_t count)
{
  char key[37];
  int error = 0;

  for (uint64_t i = 0; i < count && error == 0; i++)
    error = perdure_idempotency_key(key);
  return error;
}

int main(int argc, char **argv)
{
  if (argc != 3)
    return 2;
  uint64_t count = strtoull(argv[2], NULL, 10), began = now_ns();
  int error = 0;

  if (strcmp(argv[1], "region") == 0)
    make_regions(count);
  else
    error = make_keys(count);
  printf("%llu\n", (unsigned long long)(now_ns() - began));
  return error != 0;
}
