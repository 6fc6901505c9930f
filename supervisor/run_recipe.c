/* SPDX-License-Identifier: Apache-2.0 */
/* Taking, keeping and reading back how a program is started. Stored in one transaction, before the
 * program is started for the first time: a crash before its end leaves a run that never began. */
#include "supervisor/run_recipe.h"

#include "supervisor/run_program.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For perdure, not for the program. */
static const char *const control_variables[] = {"PERDURE_CRASH_AT=", "PERDURE_RUN=", "PERDURE_SHIM="};

static int fail_memory(struct failure *failure)
{
  return failure_set(failure, -ENOMEM, "cannot start the program: out of memory; free some");
}

/* before[] then strings[], without control variables if `filter`, in one block. */
static char **copy_strings(char *const *before, char *const *strings, bool filter)
{
  char *const *lists[] = {before, strings};
  size_t count = 0, size = 0;
  char **copy, *at;

  for (size_t list = 0; list < 2; list++)
    for (size_t i = 0; lists[list] != NULL && lists[list][i] != NULL; i++, count++)
      size += strlen(lists[list][i]) + 1;
  copy = malloc((count + 1) * sizeof *copy + size);
  if (copy == NULL)
    return NULL;
  at = (char *)(copy + count + 1);
  count = 0;
  for (size_t list = 0; list < 2; list++)
    for (size_t i = 0; lists[list] != NULL && lists[list][i] != NULL; i++) {
      bool keep = true;

      for (size_t k = 0; filter && k < sizeof control_variables / sizeof *control_variables; k++)
        if (strncmp(lists[list][i], control_variables[k], strlen(control_variables[k])) == 0)
          keep = false;
      if (!keep)
        continue;
      copy[count++] = at;
      at = stpcpy(at, lists[list][i]) + 1;
    }
  copy[count] = NULL;
  return copy;
}

static int take_program(char *const *argv, struct run_recipe *recipe, int *ret_status,
                        struct failure *failure)
{
  char path[PATH_MAX];
  int error = run_program_find(argv[0], path, ret_status, failure);

  if (error < 0)
    return error;
  if (run_program_is_shell_text(path)) {
    char *const shell[] = {(char *)"/bin/sh", path, NULL};

    recipe->argv = copy_strings(shell, argv + 1, false);
    recipe->program = strdup("/bin/sh");
  } else {
    recipe->argv = copy_strings(NULL, argv, false);
    recipe->program = strdup(path);
  }
  return recipe->argv == NULL || recipe->program == NULL ? fail_memory(failure) : 0;
}

int run_recipe_take(char *const *argv, const char *shim, const struct run_limits *limits,
                    unsigned umask, struct run_recipe *ret_recipe, int *ret_status,
                    struct failure *failure)
{
  struct run_recipe recipe = {0};
  int error = take_program(argv, &recipe, ret_status, failure);

  if (error == 0 && (recipe.cwd = getcwd(NULL, 0)) == NULL)
    error = failure_set(failure, -errno, "the working directory is gone: %s; go to another one",
                        strerror(errno));
  if (error == 0) {
    recipe.environment = copy_strings(NULL, environ, true);
    recipe.shim = strdup(shim);
    if (recipe.environment == NULL || recipe.shim == NULL)
      error = fail_memory(failure);
  }
  if (error < 0) {
    run_recipe_release(&recipe);
    return error;
  }
  recipe.umask = umask;
  recipe.limits = *limits;
  *ret_recipe = recipe;
  return 0;
}

/* What tells one version of a program's file from another. */
static void identity_of(const char *path, char *ret_text, size_t size)
{
  struct stat status;

  if (stat(path, &status) < 0)
    snprintf(ret_text, size, "gone");
  else
    snprintf(ret_text, size, "%ju:%ju:%jd:%jd.%09ld", (uintmax_t)status.st_dev,
             (uintmax_t)status.st_ino, (intmax_t)status.st_size, (intmax_t)status.st_mtim.tv_sec,
             status.st_mtim.tv_nsec);
}

bool run_recipe_program_same(const struct run_recipe *recipe, struct store *store)
{
  struct failure ignored;
  char now[128], *then;
  bool same;

  if (store_meta_text(store, "program_identity", &then, &ignored) < 0)
    return true;
  identity_of(recipe->program, now, sizeof now);
  same = strcmp(now, then) == 0;
  free(then);
  return same;
}

static void limits_print(const struct run_limits *limits, char *ret_text)
{
  for (int i = 0; i < (int)RLIM_NLIMITS; i++)
    ret_text += sprintf(ret_text, "%s%ju:%ju", i > 0 ? " " : "", (uintmax_t)limits->limits[i].rlim_cur,
                        (uintmax_t)limits->limits[i].rlim_max);
}

static int limits_parse(const char *text, struct run_limits *ret_limits)
{
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
    uintmax_t current, maximum;
    int length;

    if (sscanf(text, "%ju:%ju%n", &current, &maximum, &length) != 2)
      return -EBADMSG;
    ret_limits->limits[i] = (struct rlimit){.rlim_cur = current, .rlim_max = maximum};
    text += length;
  }
  return 0;
}

int run_recipe_store(const struct run_recipe *recipe, struct store *store, struct failure *failure)
{
  char limits[RLIM_NLIMITS * 48], identity[128];
  const struct { const char *key, *value; } texts[] = {
    {"program", recipe->program}, {"program_identity", identity}, {"cwd", recipe->cwd},
    {"shim", recipe->shim}, {"limits", limits},
  };
  int error = 0;

  limits_print(&recipe->limits, limits);
  identity_of(recipe->program, identity, sizeof identity);
  for (size_t i = 0; error == 0 && i < sizeof texts / sizeof *texts; i++)
    error = store_meta_set_text(store, texts[i].key, texts[i].value, failure);
  if (error == 0)
    error = store_meta_set_number(store, "umask", recipe->umask, failure);
  if (error == 0)
    error = store_strings_set(store, "argument", recipe->argv, failure);
  if (error == 0)
    error = store_strings_set(store, "environment", recipe->environment, failure);
  return error;
}

int run_recipe_load(struct store *store, struct run_recipe *ret_recipe, struct failure *failure)
{
  struct run_recipe recipe = {0};
  char *limits = NULL;
  int64_t mask = 0;
  int error = store_meta_text(store, "program", &recipe.program, failure);

  if (error == 0)
    error = store_meta_text(store, "cwd", &recipe.cwd, failure);
  if (error == 0)
    error = store_meta_text(store, "shim", &recipe.shim, failure);
  if (error == 0)
    error = store_meta_text(store, "limits", &limits, failure);
  if (error == 0)
    error = store_meta_number(store, "umask", &mask, failure);
  if (error == 0)
    error = store_strings(store, "argument", &recipe.argv, failure);
  if (error == 0)
    error = store_strings(store, "environment", &recipe.environment, failure);
  if (error == 0 && limits_parse(limits, &recipe.limits) < 0)
    error = failure_set(failure, -EBADMSG, "the store says nonsense about limits: '%.100s'; run "
                        "`perdure verify`", limits);
  free(limits);
  if (error < 0) {
    run_recipe_release(&recipe);
    return error;
  }
  recipe.umask = (unsigned)mask;
  *ret_recipe = recipe;
  return 0;
}

void run_recipe_release(struct run_recipe *recipe)
{
  free(recipe->program);
  free(recipe->argv);
  free(recipe->environment);
  free(recipe->cwd);
  free(recipe->shim);
  *recipe = (struct run_recipe){0};
}
