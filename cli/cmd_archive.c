/* SPDX-License-Identifier: Apache-2.0 */
/* perdure archive: finished runs go from a store to files. */
#include "cli/command.h"
#include "supervisor/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct archiving {
  const char *url, *directory;
  bool quiet;
  int status;
  char **ids; /* of the store; collected before the first one is removed from it */
  size_t count;
};

static void archive_one(struct archiving *archiving, const char *id)
{
  char path[PATH_MAX];
  struct failure failure;

  if (archive_run(archiving->url, id, archiving->directory, path, &failure) < 0)
    archiving->status = command_fail("%s", failure.text);
  else if (!archiving->quiet)
    printf("%s: %s\n", id, path);
}

static int collect(const char *id, void *context)
{
  struct archiving *archiving = context;
  char **ids = realloc(archiving->ids, (archiving->count + 1) * sizeof *ids);

  if (ids != NULL)
    archiving->ids = ids;
  if (ids == NULL || (ids[archiving->count] = strdup(id)) == NULL)
    return -ENOMEM;
  archiving->count++;
  return 0;
}

int cmd_archive(const struct command_line *line)
{
  struct archiving archiving = {.url = command_store(line), .directory = line->value[OPTION_INTO], .quiet = line->given[OPTION_QUIET]};
  struct failure failure;
  char path[PATH_MAX];

  if (archiving.url == NULL || archiving.directory == NULL)
    return command_fail("archive: --store and --into have to be given; usage: perdure archive %s", line->command->usage);
  if (realpath(archiving.directory, path) == NULL)
    return command_fail("--into %.200s: %s; give a directory that is there", archiving.directory, strerror(errno));
  archiving.directory = path;
  for (int i = 0; i < line->operand_count; i++)
    archive_one(&archiving, line->operands[i]);
  if (line->operand_count == 0 && archive_runs(archiving.url, "finished", collect, &archiving, &failure) < 0)
    archiving.status = command_fail("%s", failure.text);
  for (size_t i = 0; i < archiving.count; i++) {
    archive_one(&archiving, archiving.ids[i]);
    free(archiving.ids[i]);
  }
  free(archiving.ids);
  return command_finish_output(archiving.status);
}
