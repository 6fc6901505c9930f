/* SPDX-License-Identifier: Apache-2.0 */
/* The shim's own variables in the program's environment: taken out when an image starts, so that the
 * program sees the environment that it was given; put back for an exec. */
#ifndef PERDURE_SHIM_ENVIRONMENT_H
#define PERDURE_SHIM_ENVIRONMENT_H

#include "shim/engine.h"

/* The value of `name` in `environment`, or NULL. */
const char *environment_value(char *const *environment, const char *name);
/* Removes what perdure run added, in place. Remembers LD_PRELOAD's first part (the shim). */
void environment_take_out_ours(char **environment);
/* A copy of `environment` with LD_PRELOAD, GLIBC_TUNABLES and PERDURE_RUN as an image needs them, in memory of
 * its own. 0 or -errno. */
int64_t environment_with_ours(char *const *environment, char ***ret_environment);
void environment_release(char **environment);

/* Why a program cannot be run with the shim; NULL: it can, or the kernel will say itself that it cannot be
 * started. */
struct obstacle {
  const char *reason;  /* "it is ..." */
  const char *refusal; /* words before the program's path */
};
const struct obstacle *program_obstacle(int dirfd, const char *path);

#endif
