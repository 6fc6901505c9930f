/* SPDX-License-Identifier: Apache-2.0 */
/* The last line of a terminal, kept for saying how far a run's commands are. */
#ifndef PERDURE_CLI_PROGRESS_LINE_H
#define PERDURE_CLI_PROGRESS_LINE_H

#include "supervisor/run.h"

/* run_options' progress(). What the program prints scrolls above the line, and stays as it is. NULL: the line goes away.
 * Nothing at all where stderr is no terminal, or one of fewer than three lines. */
void progress_line_show(const struct run_progress *progress, void *context);

#endif
