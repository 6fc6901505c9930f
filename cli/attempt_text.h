/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attempt in words, for retries and log. */
#ifndef PERDURE_CLI_ATTEMPT_TEXT_H
#define PERDURE_CLI_ATTEMPT_TEXT_H

#include "supervisor/store_retry.h"

#include <stdio.h>

/* How it ended, and what the retry policy said: "killed by signal 9 (Killed)  at call 7, failure 1 of 3: again after
 * 100 ms". */
void attempt_text_end(FILE *stream, const struct store_failed_attempt *failed);
/* The same as members of a JSON object, without braces: "attempt", "ended", "status", "time_ns", and where the policy was
 * asked "place", "failure", "max_attempts", "delay_ns" (null: no further attempt). */
void attempt_text_json(FILE *stream, const struct store_failed_attempt *failed);

#endif
