/* SPDX-License-Identifier: Apache-2.0 */
/* Makes an index of a text and then asks it: cache TEXT WORD... The index is a cache: it is worth nothing when it is lost, and
 * nothing to be journaled. What follows from it is. */
#include "perdure.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each word of the text and its line, one pair to a line of the index. */
static void make_index(const char *text, const char *index)
{
  FILE *in = fopen(text, "r"), *out = fopen(index, "w");
  char word[64];
  unsigned line = 1;
  int c, length = 0;
  if (!in || !out)
    abort();
  while ((c = getc(in)) != EOF) {
    if (isalnum(c) && length < (int)sizeof word - 1) {
      word[length++] = (char)c;
      continue;
    }
    if (length)
      fprintf(out, "%.*s %u\n", length, word, line);
    length = 0;
    line += c == '\n';
  }
  if (fclose(out) != 0)
    abort();
  fclose(in);
}

static unsigned count(const char *index, const char *word)
{
  FILE *in = fopen(index, "r");
  char found[64];
  unsigned line, times = 0;
  if (!in)
    abort();
  while (fscanf(in, "%63s %u", found, &line) == 2)
    times += strcmp(found, word) == 0;
  fclose(in);
  return times;
}

int main(int argc, char **argv)
{
  if (argc < 3)
    return 2;
  PERDURE_WITH_PERSISTENCE(PERDURE_PERSIST_NOTHING) {
    make_index(argv[1], "index");
  }
  for (int i = 2; i < argc; i++) {
    FILE *report = fopen("report", "a");
    if (!report || fprintf(report, "%s: %u\n", argv[i], count("index", argv[i])) < 0 || fclose(report) != 0)
      abort();
  }
  return 0;
}
