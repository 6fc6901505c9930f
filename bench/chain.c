/* SPDX-License-Identifier: Apache-2.0 */
/* chain N: a program as small as /bin/true that executes itself N times, one image after another, so
 * that starting a program can be told from starting perdure. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
  char left[16];
  int count = argc > 1 ? atoi(argv[1]) : 0;

  if (count <= 0)
    return 0;
  snprintf(left, sizeof left, "%04d", count - 1);
  execv("/proc/self/exe", (char *[]){argv[0], left, NULL});
  perror("execv");
  return 1;
}
