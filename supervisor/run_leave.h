/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving what outlives the program: the processes live on, and what they do is no part of the run any more. */
#ifndef PERDURE_SUPERVISOR_RUN_LEAVE_H
#define PERDURE_SUPERVISOR_RUN_LEAVE_H

#include "journal/tail.h"

#include <stdbool.h>

/* Has every process of the run that lives come past its replay? Before that it needs the feed, and what it does has been done. */
bool run_leave_possible(const struct tail_header *header);
/* From here on nothing is appended, and nobody waits for the supervisor. Returns when none of them will open a file of the run
 * again, or, where one has died on the way, after a second. A crash before: the run is unfinished, and all of it is ended by
 * the next attempt. */
void run_leave(struct tail_header *header);

#endif
