/* SPDX-License-Identifier: Apache-2.0 */
/* How far a long piece of work is, on stderr: a bar on a terminal, else a line every tenth. */
#ifndef PERDURE_CLI_PROGRESS_BAR_H
#define PERDURE_CLI_PROGRESS_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct progress_bar {
  bool terminal;
  int64_t began_ms, shown_ms;
  uint64_t tenths; /* lines said so far */
};

void progress_bar_begin(struct progress_bar *bar);
/* `what` says what is going on; a total of 0: it cannot be counted. */
void progress_bar_show(struct progress_bar *bar, uint64_t done, uint64_t total, const char *what);
/* Takes the bar off the terminal. */
void progress_bar_end(const struct progress_bar *bar);

#endif
