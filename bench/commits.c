/* SPDX-License-Identifier: Apache-2.0 */
/* commits N COUNT: COUNT commits to N replicas, each behind one more entry of the journal. Prints the ns that they took. */
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

int main(int argc, char **argv)
{
  if (argc != 3)
    return 2;
  unsigned replicas = (unsigned)atoi(argv[1]);
  long count = atol(argv[2]);
  int error = 0;
  uint64_t began = now_ns();

  for (long i = 0; i < count && error == 0; i++) {
    now_ns();
    error = perdure_commit(replicas, 0);
  }
  printf("%llu\n", (unsigned long long)(now_ns() - began));
  if (error != 0)
    fprintf(stderr, "commit: %s\n", strerror(-error));
  return error != 0;
}
