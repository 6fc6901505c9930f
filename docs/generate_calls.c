/* SPDX-License-Identifier: Apache-2.0 */
/* Writes docs/calls.md: `generate_calls FILE`. The page is written beside FILE and renamed, so that a
 * crash leaves the old page or the new one, and at worst FILE.new. */
#include "docs/calls_page.h"

#include <limits.h>

int main(int argc, char **argv)
{
  char new_path[PATH_MAX];
  if (argc != 2 || (size_t)snprintf(new_path, sizeof new_path, "%s.new", argv[1]) >= sizeof new_path) {
    fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  FILE *file = fopen(new_path, "we");
  if (!file) {
    perror(new_path);
    return 1;
  }
  calls_page_write(file);
  int failed = ferror(file);
  if (fclose(file) != 0 || failed || rename(new_path, argv[1]) != 0) {
    perror(argv[1]);
    remove(new_path);
    return 1;
  }
  return 0;
}
