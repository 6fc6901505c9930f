/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERDURE_SUPERVISOR_RUN_PROGRESS_H
#define PERDURE_SUPERVISOR_RUN_PROGRESS_H

#include "supervisor/run_attempt.h"

struct run_progress_thread;
/* Tells the options' progress() while the program runs. NULL: nobody wants to know, or it cannot be told, which is no reason
 * to run nothing. */
struct run_progress_thread *run_progress_start(const struct run_attempt *attempt);
/* Returns after the last call of progress(). NULL: nothing to stop. */
void run_progress_stop(struct run_progress_thread *thread);

#endif
