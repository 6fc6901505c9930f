/* SPDX-License-Identifier: Apache-2.0 */
/* How a run's program is started. Taken from this process once, kept in the store, and the same to
 * the byte in every attempt: a longer environment would move the stack. */
#ifndef PERDURE_SUPERVISOR_RUN_RECIPE_H
#define PERDURE_SUPERVISOR_RUN_RECIPE_H

#include "supervisor/run_place.h"

#include <sys/resource.h>
#include <sys/stat.h>

struct run_limits {
  struct rlimit limits[RLIM_NLIMITS];
};

struct run_recipe {
  char *program;      /* as found; relative to cwd unless it begins with '/' */
  char **argv;        /* NULL-terminated; one block with its strings */
  char **environment; /* the user's, without perdure's control variables; one block likewise */
  char *cwd;
  char *shim;
  unsigned umask;
  struct run_limits limits;
};

/* Takes it from this process; limits and umask: as this process was started with. argv: the command.
 * Resolves the program like execvp(3): on failure *ret_status is 126 or 127. */
int run_recipe_take(char *const *argv, const char *shim, const struct run_limits *limits,
                    unsigned umask, struct run_recipe *ret_recipe, int *ret_status,
                    struct failure *failure);
/* Into the store's argument, environment and meta; inside a transaction. */
int run_recipe_store(const struct run_recipe *recipe, struct store *store, struct failure *failure);
int run_recipe_load(struct store *store, struct run_recipe *ret_recipe, struct failure *failure);
void run_recipe_release(struct run_recipe *recipe);

/* Whether the file at recipe->program is the one that the store's run was begun with. */
bool run_recipe_program_same(const struct run_recipe *recipe, struct store *store);

/* The program's environment: the user's and what the shim needs. One malloc'ed block. */
int run_environment_make(const struct run_recipe *recipe, const char *tail_path, char ***ret_environment,
                         struct failure *failure);

#endif
