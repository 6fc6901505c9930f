/* SPDX-License-Identifier: Apache-2.0 */
/* The page that is checked in against the one that the table gives. Argument 1: docs/calls.md. */
#include "docs/calls_page.h"
#include "tests/unit/tap.h"

#include <stdlib.h>
#include <string.h>

/* 0 when both are the same, else the number of the first line that differs. */
static unsigned first_difference(const char *made, FILE *file)
{
  char *line = NULL;
  size_t room = 0;
  unsigned number = 0;
  ssize_t length;
  while ((length = getline(&line, &room, file)) > 0) {
    number++;
    if (strncmp(made, line, (size_t)length) != 0) {
      tap_note("line %u is \"%.*s\"", number, (int)strcspn(line, "\n"), line);
      tap_note("and should be \"%.*s\"", (int)strcspn(made, "\n"), made);
      free(line);
      return number;
    }
    made += length;
  }
  free(line);
  return *made ? number + 1 : 0;
}

int main(int argc, char **argv)
{
  if (argc != 2) {
    fprintf(stderr, "usage: %s docs/calls.md\n", argv[0]);
    return 2;
  }
  char *made = NULL;
  size_t size;
  FILE *memory = open_memstream(&made, &size);
  if (!memory) {
    perror("open_memstream");
    return 2;
  }
  calls_page_write(memory);
  fclose(memory);
  tap_ok(strstr(made, "| `openat` |") && strstr(made, "| `io_uring_setup` |"), "the page has the calls");
  FILE *file = fopen(argv[1], "re");
  if (tap_ok(file != NULL, "the page is checked in")) {
    unsigned line = first_difference(made, file);
    tap_ok(line == 0, "docs/calls.md is what the table says; if not, run make docs");
    fclose(file);
  }
  free(made);
  return tap_done();
}
