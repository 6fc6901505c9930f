/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/run_replicas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Directories are remembered as lines. */
static int add_lines(struct run_attempt *attempt, const char *lines, bool given, struct failure *failure)
{
  char *copy = strdup(lines), *rest = NULL;
  int error = copy ? 0 : failure_set(failure, -ENOMEM, "cannot read --replica: out of memory");
  for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; error == 0 && line; line = strtok_r(NULL, "\n", &rest)) {
    char *path = NULL;
    if (attempt->replica_count == TAIL_REPLICAS_MAX)
      error = failure_set(failure, -E2BIG, "--replica: a run has up to %u; give fewer", TAIL_REPLICAS_MAX);
    else if (given)
      error = replica_directory(line, &path, failure);
    else if (!(path = strdup(line))) /* it may be gone: its thread says so */
      error = failure_set(failure, -ENOMEM, "cannot read the run's replicas: out of memory");
    for (unsigned i = 0; error == 0 && i < attempt->replica_count; i++)
      if (strcmp(attempt->replica_paths[i], path) == 0)
        error = failure_set(failure, -EINVAL, "--replica %.200s: it is given twice; give another directory", path);
    bool own = error == 0 && strcmp(path, attempt->place.base) == 0;
    if (own && given)
      error = failure_set(failure, -EINVAL, "--replica %.200s: that is where the run's own store lies; give another directory", path);
    /* A replica that the run goes on from is no replica any more. */
    if (error == 0 && !own)
      attempt->replica_paths[attempt->replica_count++] = path;
    else
      free(path);
  }
  free(copy);
  return error;
}

int run_replicas_find(struct run_attempt *attempt, struct store *local, struct failure *failure)
{
  struct failure ignored;
  char *recorded = NULL;
  int error = 0;
  run_replicas_forget(attempt);
  attempt->born_ns = 0;
  if (local)
    store_meta_number(local, "created_ns", &attempt->born_ns, &ignored);
  if (attempt->options->replicas)
    return add_lines(attempt, attempt->options->replicas, true, failure);
  if (local && store_meta_text(local, "replicas", &recorded, &ignored) == 0)
    error = add_lines(attempt, recorded, false, failure);
  free(recorded);
  return error;
}

int run_replicas_reset(struct run_attempt *attempt, struct failure *failure)
{
  int error = 0;
  for (unsigned i = 0; error == 0 && i < attempt->replica_count; i++)
    error = replica_reset(attempt->replica_paths[i], attempt->place.id, attempt->born_ns, failure);
  return error;
}

int run_replicas_remember(struct run_attempt *attempt, struct failure *failure)
{
  size_t length = 1;
  for (unsigned i = 0; i < attempt->replica_count; i++)
    length += strlen(attempt->replica_paths[i]) + 1;
  if (length == 1)
    return 0;
  char *lines = calloc(1, length), *end = lines;
  if (!lines)
    return failure_set(failure, -ENOMEM, "cannot remember the run's replicas: out of memory");
  for (unsigned i = 0; i < attempt->replica_count; i++)
    end = stpcpy(stpcpy(end, attempt->replica_paths[i]), "\n");
  int error = store_meta_set_text(attempt->store, "replicas", lines, failure);
  free(lines);
  return error;
}

static void say_for_attempt(enum run_loudness loudness, const char *line, void *context)
{
  const struct run_attempt *attempt = context;

  attempt->options->say(loudness, line, attempt->options->context);
}

int run_replicas_start(struct run_attempt *attempt, const char *store_path, struct failure *failure)
{
  int error = 0;
  for (unsigned i = 0; error == 0 && i < attempt->replica_count; i++) {
    const struct replica_options options = {
      .directory = attempt->replica_paths[i], .run_id = attempt->place.id, .number = i,
      .acknowledgements = &attempt->acknowledgements, .say = say_for_attempt, .context = attempt,
    };
    error = replica_start(&options, attempt->store, store_path, attempt->tail.header, &attempt->replicas[i], failure);
  }
  return error;
}

void run_replicas_halt(struct run_attempt *attempt)
{
  for (unsigned i = 0; i < attempt->replica_count; i++)
    replica_halt(attempt->replicas[i]);
}

void run_replicas_finish(struct run_attempt *attempt)
{
  for (unsigned i = 0; i < attempt->replica_count; i++) {
    replica_finish(attempt->replicas[i], attempt->store);
    attempt->replicas[i] = NULL;
  }
}

void run_replicas_forget(struct run_attempt *attempt)
{
  while (attempt->replica_count > 0)
    free(attempt->replica_paths[--attempt->replica_count]);
}
