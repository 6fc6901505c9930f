/* SPDX-License-Identifier: Apache-2.0 */
/* boundary_prepare DIRECTORY: makes this machine's boundary images there. */
#include "supervisor/boundary.h"

#include <stdio.h>

int main(int argc, char **argv)
{
  struct failure failure = {""};
  if (argc == 2 && boundary_prepare(argv[1], &failure) == 0)
    return 0;
  fprintf(stderr, "boundary_prepare: %s\n", failure.text);
  return 1;
}
