/* SPDX-License-Identifier: Apache-2.0 */
/* perdure verify: is a run's journal whole, and does its program still do what it says? */
#include "cli/command.h"
#include "supervisor/blob.h"
#include "supervisor/drain.h"
#include "supervisor/run_lock.h"

#include <inttypes.h>
#include <unistd.h>

static void say_defect(const char *line, void *context)
{
  printf("%s: %s\n", (const char *)context, line);
}

static int verify_stored(const struct run_place *place, bool quiet)
{
  char path[PATH_MAX], tail[PATH_MAX];
  struct failure failure;
  struct store *store;
  uint64_t position, entry_count = 0;
  int64_t defects;
  int error;

  run_place_path(place, "run.db", path);
  run_place_path(place, "tail", tail);
  error = store_open(path, true, &store, &failure);
  if (error < 0) {
    run_advise_for(&failure, error);
    return command_fail("%s", failure.text);
  }
  /* Of a live run the tail moves under us: its store alone is checked. */
  defects = verify_journal(store, run_lock_owner(place) != 0 ? NULL : tail, say_defect,
                           (void *)place->id, &failure);
  if (defects == 0)
    defects = blobs_verify(store, place->directory, say_defect, (void *)place->id, &failure);
  if (defects == 0 && store_end(store, &position, &entry_count, &failure) < 0)
    defects = -1;
  store_close(store);
  if (defects < 0)
    return command_fail("%s", failure.text);
  if (defects == 0 && !quiet)
    printf("%s: %" PRIu64 " entries, no defect\n", place->id, entry_count);
  else if (defects > 0)
    printf("%s: %" PRId64 " defect%s\n", place->id, defects, defects == 1 ? "" : "s");
  return command_finish_output(defects > 0 ? 1 : 0);
}

static int verify_replay(const struct command_line *line, const struct run_place *place)
{
  struct run_options options;
  struct failure failure;
  char shim[PATH_MAX];
  bool same;

  command_shim(shim);
  if (!command_run_options(line, shim, &options))
    return RUN_EXIT_FAILED;
  options.id = place->id;
  options.crash_at = 0;
  if (run_verify_replay(&options, &same, &failure) < 0)
    return command_fail("%s", failure.text);
  if (same && !line->given[OPTION_QUIET])
    printf("%s: every call came again as it is recorded\n", place->id);
  return command_finish_output(same ? 0 : 1);
}

int cmd_verify(const struct command_line *line)
{
  struct run_place place;
  struct failure failure;

  if (!command_line_operands(line, 1, 1))
    return RUN_EXIT_FAILED;
  if (command_place(line, line->operands[0], &place, &failure) < 0)
    return command_fail("%s", failure.text);
  return line->given[OPTION_REPLAY] ? verify_replay(line, &place)
                                    : verify_stored(&place, line->given[OPTION_QUIET]);
}
