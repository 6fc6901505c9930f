/* SPDX-License-Identifier: Apache-2.0 */
/* The line lies below the terminal's scrolling region (DECSTBM), and each showing is one write that leaves the cursor where it
 * was (DECSC, DECRC): a program that has printed half a line, or waits for an answer behind a question, is not disturbed.
 * Killed with the line there, the terminal keeps one line less for scrolling until the next such line ends, or `reset`. */
#include "cli/progress_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SHOWN_MAX 512

/* Of the one terminal that there is. */
static struct {
  unsigned rows, columns; /* that the region was made for; 0: there is none */
  char text[SHOWN_MAX];   /* that the line says */
} shown;

static void put(const char *bytes, int length)
{
  ssize_t written = length > 0 ? write(STDERR_FILENO, bytes, (size_t)length) : 0;
  (void)written; /* the next one comes soon */
}

static void take_away(void)
{
  char bytes[64];

  if (shown.rows > 0)
    put(bytes, snprintf(bytes, sizeof bytes, "\0337\033[r\033[%u;1H\033[2K\0338", shown.rows));
  shown.rows = 0;
}

/* Makes sure that the cursor is above the last line, in the column where it was. */
static void reserve(const struct winsize *size)
{
  char bytes[64];

  put(bytes, snprintf(bytes, sizeof bytes, "\033D\0337\033[1;%ur\0338\033[1A", size->ws_row - 1u));
  shown.rows = size->ws_row;
  shown.columns = size->ws_col;
  shown.text[0] = '\0';
}

static void make_text(const struct run_progress *progress, char *text, size_t size, unsigned columns)
{
  snprintf(text, size, "perdure: %" PRIu64 " command%s done%s%s", progress->done, progress->done == 1 ? "" : "s",
           progress->running[0] != '\0' ? ", running: " : "", progress->running);
  if (columns > 0 && strlen(text) >= columns)
    text[columns - 1] = '\0';
  /* One column a byte: others than these are not counted as such everywhere. */
  for (char *c = text; *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
      *c = '?';
}

void progress_line_show(const struct run_progress *progress, void *context)
{
  char text[SHOWN_MAX], bytes[SHOWN_MAX + 64];
  struct winsize size;

  (void)context;
  if (isatty(STDERR_FILENO) != 1 || ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0)
    return;
  if (progress == NULL || size.ws_row < 3) {
    take_away();
    return;
  }
  if (size.ws_row != shown.rows || size.ws_col != shown.columns) {
    take_away();
    reserve(&size);
  }
  make_text(progress, text, sizeof text, size.ws_col);
  if (strcmp(text, shown.text) == 0)
    return;
  strcpy(shown.text, text);
  put(bytes, snprintf(bytes, sizeof bytes, "\0337\033[%u;1H\033[2K%s\0338", shown.rows, text));
}
