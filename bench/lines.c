/* SPDX-License-Identifier: Apache-2.0 */
/* lines FILE N: N lines by fprintf. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
  if (argc != 3)
    return 2;
  long count = atol(argv[2]);
  FILE *file = fopen(argv[1], "we");

  for (long i = 0; file != NULL && i < count; i++)
    if (fprintf(file, "%ld transferred %ld.%02ld from %s\n", i, i % 977, i % 100, "savings") < 0)
      break;
  if (file == NULL || ferror(file) || fclose(file) != 0) {
    perror(argv[1]);
    return 1;
  }
  return 0;
}
