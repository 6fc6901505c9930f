/* SPDX-License-Identifier: Apache-2.0 */
/* The program's environment: the user's variables in their order, with LD_PRELOAD, GLIBC_TUNABLES and
 * PERDURE_RUN set in place, or behind them. The same input gives the same bytes. Writes nothing. */
#include "supervisor/run_recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHIM_NAME "libperdure-shim.so"
#define RSEQ_OFF "glibc.pthread.rseq=0"

/* Must be loaded before everything else. */
static bool is_sanitizer(const char *name, size_t length)
{
  static const char *const runtimes[] = {"libasan.", "libtsan.", "libubsan.", "liblsan.", "libhwasan.",
                                         "libclang_rt."};
  const char *slash = memrchr(name, '/', length);
  const char *base = slash != NULL ? slash + 1 : name;

  for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
    if (strncmp(base, runtimes[i], strlen(runtimes[i])) == 0)
      return true;
  return false;
}

static bool is_shim(const char *name, size_t length)
{
  size_t shim_length = strlen(SHIM_NAME);

  return length >= shim_length && memcmp(name + length - shim_length, SHIM_NAME, shim_length) == 0;
}

static void print_matching(FILE *stream, const char *list, bool sanitizers, const char **separator)
{
  while (*list != '\0') {
    size_t length = strcspn(list, ": ");

    if (length > 0 && !is_shim(list, length) && is_sanitizer(list, length) == sanitizers) {
      fprintf(stream, "%s%.*s", *separator, (int)length, list);
      *separator = ":";
    }
    list += length;
    list += strspn(list, ": ");
  }
}

static void print_preload(FILE *stream, const char *user, const char *shim)
{
  const char *separator = "";

  fputs("LD_PRELOAD=", stream);
  print_matching(stream, user, true, &separator);
  fprintf(stream, "%s%s", separator, shim);
  separator = ":";
  print_matching(stream, user, false, &separator);
}

static void print_tunables(FILE *stream, const char *user)
{
  fputs("GLIBC_TUNABLES=" RSEQ_OFF, stream);
  while (*user != '\0') {
    size_t length = strcspn(user, ":");

    if (length > 0 && strncmp(user, "glibc.pthread.rseq=", strlen("glibc.pthread.rseq=")) != 0)
      fprintf(stream, ":%.*s", (int)length, user);
    user += length;
    user += strspn(user, ":");
  }
}

static const char *value_of(const char *variable, const char *name)
{
  size_t length = strlen(name);

  return strncmp(variable, name, length) == 0 && variable[length] == '=' ? variable + length + 1 : NULL;
}

/* All variables, one after another, each with its NUL; their number. */
static size_t print_all(FILE *stream, const struct run_recipe *recipe, const char *tail_path)
{
  bool preload = false, tunables = false;
  size_t count = 0;
  const char *value;

  for (size_t i = 0; recipe->environment[i] != NULL; i++, count++) {
    if (!preload && (value = value_of(recipe->environment[i], "LD_PRELOAD")) != NULL) {
      print_preload(stream, value, recipe->shim);
      preload = true;
    } else if (!tunables && (value = value_of(recipe->environment[i], "GLIBC_TUNABLES")) != NULL) {
      print_tunables(stream, value);
      tunables = true;
    } else {
      fputs(recipe->environment[i], stream);
    }
    fputc('\0', stream);
  }
  if (!preload) {
    print_preload(stream, "", recipe->shim);
    fputc('\0', stream);
    count++;
  }
  if (!tunables) {
    print_tunables(stream, "");
    fputc('\0', stream);
    count++;
  }
  fprintf(stream, "PERDURE_RUN=%s", tail_path);
  fputc('\0', stream);
  return count + 1;
}

int run_environment_make(const struct run_recipe *recipe, const char *tail_path, char ***ret_environment,
                         struct failure *failure)
{
  char *text = NULL, **environment, *at;
  size_t size = 0, count;
  FILE *stream;

  if (strpbrk(recipe->shim, ": ") != NULL)
    return failure_set(failure, -EINVAL, "cannot preload %s: LD_PRELOAD splits at ':' and ' '; "
                       "install perdure under a path without them", recipe->shim);
  stream = open_memstream(&text, &size);
  if (stream == NULL)
    return failure_set(failure, -ENOMEM, "cannot make the environment: out of memory; free some");
  count = print_all(stream, recipe, tail_path);
  if (fclose(stream) != 0) {
    free(text);
    return failure_set(failure, -ENOMEM, "cannot make the environment: out of memory; free some");
  }
  environment = malloc((count + 1) * sizeof *environment + size);
  if (environment == NULL) {
    free(text);
    return failure_set(failure, -ENOMEM, "cannot make the environment: out of memory; free some");
  }
  at = memcpy(environment + count + 1, text, size);
  for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
    environment[i] = at;
  environment[count] = NULL;
  free(text);
  *ret_environment = environment;
  return 0;
}
