/* SPDX-License-Identifier: Apache-2.0 */
/* A run from elsewhere, to be looked at: its copy in a directory of this command's, which is gone when it ends. One at most. */
#ifndef PERDURE_CLI_RUN_COPY_H
#define PERDURE_CLI_RUN_COPY_H

#include "supervisor/run_place.h"

#include <stdbool.h>

int run_copy_of_archive(const char *file, const char *id, struct run_place *ret_place, struct failure *failure);
int run_copy_of_store(const char *url, const char *id, struct run_place *ret_place, struct failure *failure);
bool run_copy_is(const struct run_place *place);

#endif
