/* SPDX-License-Identifier: Apache-2.0 */
/* The bar. It writes only to stderr. */
#include "cli/progress_bar.h"

#include "supervisor/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define BETWEEN_MS 100 /* a terminal is not to be written to more often */

void progress_bar_begin(struct progress_bar *bar)
{
  *bar = (struct progress_bar){
    .terminal = isatty(STDERR_FILENO) == 1, .began_ms = clock_ns(CLOCK_MONOTONIC) / 1000000, .shown_ms = INT64_MIN / 2,
  };
}

static void show_bar(const struct progress_bar *bar, uint64_t done, uint64_t total,
                     const char *what, int64_t now_ms)
{
  char filled[BAR_WIDTH + 1];
  int64_t left_s;

  if (total == 0) {
    fprintf(stderr, "\r\033[K%s", what);
    return;
  }
  for (uint64_t i = 0; i < BAR_WIDTH; i++)
    filled[i] = i < done * BAR_WIDTH / total ? '#' : '.';
  filled[BAR_WIDTH] = '\0';
  fprintf(stderr, "\r\033[K[%s] %" PRIu64 "/%" PRIu64 ", %s", filled, done, total, what);
  if (done > 0) {
    left_s = (now_ms - bar->began_ms) * (int64_t)(total - done) / (int64_t)done / 1000;
    fprintf(stderr, ", %" PRId64 ":%02" PRId64 " left", left_s / 60, left_s % 60);
  }
}

void progress_bar_show(struct progress_bar *bar, uint64_t done, uint64_t total, const char *what)
{
  int64_t now_ms = clock_ns(CLOCK_MONOTONIC) / 1000000;

  if (done == 0)
    bar->began_ms = now_ms; /* what came before it does not tell how long the rest takes */
  if (bar->terminal) {
    if (now_ms - bar->shown_ms < BETWEEN_MS && done > 0)
      return;
    bar->shown_ms = now_ms;
    show_bar(bar, done, total, what, now_ms);
  } else if (total > 0 && done * 10 / total > bar->tenths) {
    bar->tenths = done * 10 / total;
    fprintf(stderr, "%" PRIu64 "%% of %" PRIu64 ", %s\n", bar->tenths * 10, total, what);
  }
}

void progress_bar_end(const struct progress_bar *bar)
{
  if (bar->terminal)
    fputs("\r\033[K", stderr);
}
