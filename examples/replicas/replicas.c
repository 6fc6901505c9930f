/* SPDX-License-Identifier: Apache-2.0 */
/* Makes two deliveries, and goes on with each as far as it is safe: replicas. Both replicas of the journal have to have a delivery
 * before it is called safe; where one does not answer in time, it says how many have. */
#include "perdure.h"

#include <stdio.h>

#define PATIENCE_NS 500000000ull

static void deliver(const char *what)
{
  unsigned count;
  FILE *deliveries = fopen("deliveries", "a");
  if (!deliveries || fprintf(deliveries, "%s\n", what) < 0 || fclose(deliveries) != 0)
    abort();
  int result = perdure_commit_counted(2, PATIENCE_NS, &count);
  if (result == 0)
    printf("%s: safe, on %u replicas\n", what, count);
  else if (result == PERDURE_ERROR_TIMEOUT)
    printf("%s: delivered, and only on %u\n", what, count);
  else
    printf("%s: delivered, and there are no two replicas\n", what);
}

int main(void)
{
  deliver("letter");
  deliver("parcel");
  return 0;
}
