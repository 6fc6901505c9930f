/* SPDX-License-Identifier: Apache-2.0 */
/* An atomic region was unfinished when the program died: its files go back. */
#ifndef PERDURE_SUPERVISOR_REGION_UNDO_H
#define PERDURE_SUPERVISOR_REGION_UNDO_H

#include "supervisor/recover.h"

/* Takes back, the latest first, what the entries behind position `begin` say in their UNDO segments, but for those that
 * the analysis leaves out, because they were taken back before. kept_directory: the
 * run's kept/. Nobody of the run may live. Killed inside, it goes on where it was the next time: how far it has
 * come is in the store after each step. -errno: a file cannot be put back, failure names it; put right what is
 * in the way, and do it again. *ret_count: how many changes there were to take back. */
int region_undo(struct store *store, const struct analysis *analysis, uint64_t begin, const char *kept_directory,
                uint64_t *ret_count, struct failure *failure);

#endif
