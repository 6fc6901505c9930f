/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines for people. */
#ifndef PERDURE_SUPERVISOR_RUN_INFO_H
#define PERDURE_SUPERVISOR_RUN_INFO_H

#include "supervisor/run_read.h"

#include <stddef.h>

/* Words, each with its NUL but for a last one that was cut, as a shell would take them; the caller frees. NULL: no
 * memory. */
char *run_info_quote_words(const char *words, size_t length);

/* What a store says of its run, but for how many entries there are, and whether it lives. On failure too the caller releases. */
int run_info_of_store(struct store *store, bool secrets, struct run_info *info, struct failure *failure);

#endif
