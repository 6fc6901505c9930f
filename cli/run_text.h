/* SPDX-License-Identifier: Apache-2.0 */
/* A run's state and times in words, for ls and status. */
#ifndef PERDURE_CLI_RUN_TEXT_H
#define PERDURE_CLI_RUN_TEXT_H

#include "supervisor/run_read.h"

#include <stdio.h>

/* Local time, "2025-01-31 12:00:00". */
void run_text_time(int64_t time_ns, char ret_text[32]);
/* The run as one JSON object, without a newline. */
void run_text_json(FILE *stream, const struct run_place *place, const struct run_info *info);

#endif
