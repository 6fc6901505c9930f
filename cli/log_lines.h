/* SPDX-License-Identifier: Apache-2.0 */
/* What `perdure log` prints: entries, with the regions that they lie in, and how attempts ended. */
#ifndef PERDURE_CLI_LOG_LINES_H
#define PERDURE_CLI_LOG_LINES_H

#include "journal/retry_rules.h"
#include "supervisor/region_marks.h"
#include "supervisor/run_read.h"
#include "supervisor/store_retry.h"

struct log_ended {
  unsigned number;
  char ended[32];
  char policy[RETRY_NAME_SIZE]; /* "": none */
  struct store_failed_attempt failed; /* its `ended` and its policy are those above */
};

struct log_lines {
  struct run_reader *reader;
  bool json, one_stream, terminal;
  uint32_t stream;
  struct run_rewound rewound;
  struct region_marks marks;
  struct log_ended *ended; /* attempts that have, in order */
  size_t ended_count;
  size_t ended_said;  /* so many of them have been looked at */
  unsigned attempt;   /* the newest one's number */
  bool attempt_began; /* since it was last looked at what the store says */
};

/* json, one_stream and stream are the caller's to set before. On failure there is nothing to release. */
int log_lines_open(struct log_lines *lines, struct run_reader *reader, struct failure *failure);
void log_lines_close(struct log_lines *lines);
/* All entries that there are. stdout's errors are the caller's to look for. */
int log_lines_print(struct log_lines *lines, struct failure *failure);
/* After the last entry: how the last attempt ended, and which regions are open. */
int log_lines_finish(struct log_lines *lines, bool live, struct failure *failure);

#endif
