/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERDURE_SUPERVISOR_RUN_PROGRAM_H
#define PERDURE_SUPERVISOR_RUN_PROGRAM_H

#include "supervisor/store.h"

/* The path to execute for command `name`, into PATH_MAX bytes. On failure *ret_status is 126 or 127,
 * as a shell would have it. */
int run_program_find(const char *name, char *ret_path, int *ret_status, struct failure *failure);

/* Is it a text without #!, which execve refuses and execvp(3) hands to /bin/sh? */
bool run_program_is_shell_text(const char *path);

#endif
