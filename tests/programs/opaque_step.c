/* SPDX-License-Identifier: Apache-2.0 */
/* opaque_step FILE WORD [STATUS]: appends WORD to FILE, and ends with STATUS. Linked statically: nothing can be
 * preloaded into it. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
  FILE *file = argc > 2 ? fopen(argv[1], "a") : NULL;
  if (file == NULL || fprintf(file, "%s\n", argv[2]) < 0 || fclose(file) != 0)
    return 1;
  return argc > 3 ? atoi(argv[3]) : 0;
}
