/* SPDX-License-Identifier: Apache-2.0 */
/* Names of states, output policies and degrees of sync, from their lists; words for failures. */
#include "supervisor/run.h"

#include "journal/tail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RUN_STATE(NAME, name, why) [RUN_STATE_##NAME] = name,
static const char *const states[] = {
#include "supervisor/run_states.def"
};
#undef RUN_STATE

#define RUN_OUTPUT(NAME, name, why) [RUN_OUTPUT_##NAME] = name,
static const char *const outputs[] = {
#include "supervisor/run_output.def"
};
#undef RUN_OUTPUT

#define SYNC(id, NAME, name, why) [id] = #name,
static const char *const syncs[] = {
#include "journal/sync.def"
};
#undef SYNC

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *name_of(const char *const *names, size_t count, unsigned number)
{
  return number < count ? names[number] : "?";
}

static int number_of(const char *const *names, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0)
      return (int)i;
  return -1;
}

const char *run_state_name(enum run_state state)
{
  return name_of(states, COUNT(states), state);
}

int run_state_named(const char *name)
{
  return number_of(states, COUNT(states), name);
}

const char *run_output_name(enum run_output output)
{
  return name_of(outputs, COUNT(outputs), output);
}

int run_output_named(const char *name)
{
  return number_of(outputs, COUNT(outputs), name);
}

const char *run_sync_name(unsigned sync)
{
  return name_of(syncs, COUNT(syncs), sync);
}

int run_sync_named(const char *name)
{
  return number_of(syncs, COUNT(syncs), name);
}

void run_advise(struct failure *failure, const char *advice)
{
  size_t length = strlen(failure->text);

  if (strchr(failure->text, ';') == NULL)
    snprintf(failure->text + length, sizeof failure->text - length, "; %s", advice);
}

void run_advise_for(struct failure *failure, int error)
{
  switch (-error) {
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
    run_advise(failure, "free some space there, and try again; nothing is lost");
    return;
  case EACCES:
  case EPERM:
  case EROFS:
    run_advise(failure, "look at its permissions, or give another directory with --dir or PERDURE_DIR");
    return;
  case ENOMEM:
    run_advise(failure, "free some memory, and try again");
    return;
  case EBADMSG:
  case ENOENT:
    run_advise(failure, "restore it from a copy, or give the run up with `perdure rm`");
    return;
  case EBUSY:
    run_advise(failure, "try again when that has ended");
    return;
  default:
    run_advise(failure, "put that right, and try again");
  }
}
