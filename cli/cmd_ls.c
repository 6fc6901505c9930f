/* SPDX-License-Identifier: Apache-2.0 */
/* perdure ls: all runs, the oldest first. A store that cannot be read is said on stderr, and does not
 * hide the others. */
#include "cli/command.h"
#include "cli/run_text.h"
#include "supervisor/store_look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct listed {
  struct run_place place;
  struct run_info info;
};

struct listing {
  const char *base;
  struct listed *runs;
  size_t count, room;
  bool secrets;
  int status;
};

/* One more at the end of the list, which is not counted yet; NULL: out of memory. */
static struct listed *make_room(struct listing *listing)
{
  if (listing->count == listing->room) {
    size_t room = listing->room > 0 ? 2 * listing->room : 16;
    struct listed *runs = realloc(listing->runs, room * sizeof *runs);

    if (runs == NULL)
      return NULL;
    listing->runs = runs;
    listing->room = room;
  }
  return &listing->runs[listing->count];
}

static int collect(const char *id, void *context)
{
  struct listing *listing = context;
  struct failure failure;
  struct listed *run = make_room(listing);

  if (run == NULL)
    return -ENOMEM;
  /* A directory without a run: one that never began, or is just being made or removed. */
  if (run_place_existing(listing->base, id, &run->place, &failure) < 0)
    return 0;
  switch (run_info_read(&run->place, listing->secrets, &run->info, &failure)) {
  case 0:
    listing->count++;
    break;
  case -ENOENT:
    break;
  default:
    listing->status = command_fail("%s", failure.text);
  }
  return 0;
}

/* A run that is here too is shown as it is here; one that comes twice, once. */
static int collect_there(const char *id, struct run_info *info, const struct failure *why, void *context)
{
  struct listing *listing = context;
  struct failure failure;
  struct listed *run = make_room(listing);
  bool known = false;

  if (info == NULL)
    listing->status = command_fail("%s", why->text);
  for (size_t i = 0; i < listing->count && !known; i++)
    known = strcmp(listing->runs[i].place.id, id) == 0;
  if (info != NULL && run != NULL && !known && run_place_find("/", id, &run->place, &failure) == 0) {
    run->info = *info;
    listing->count++;
  } else if (info != NULL) {
    run_info_release(info);
  }
  return run == NULL ? -ENOMEM : 0;
}

/* The directory's runs, unless --store asks for that one's alone; then those of $PERDURE_STORE that are not here, unless --dir asks for
 * the directory alone. A store that cannot be asked does not hide the directory. */
static int list(const struct command_line *line, struct listing *listing, char *base, struct failure *failure)
{
  const char *store = line->given[OPTION_DIR] ? line->value[OPTION_STORE] : command_store(line);
  int error = 0;

  if (!line->given[OPTION_STORE]) {
    error = run_place_base(line->value[OPTION_DIR], base, failure);
    if (error == 0)
      error = run_place_list(base, collect, listing, failure);
  }
  if (error == 0 && store != NULL) {
    error = store_look_all(store, listing->secrets, collect_there, listing, failure);
    if (error < 0 && error != -ENOMEM) {
      listing->status = command_fail("%s", failure->text);
      error = 0;
    }
  }
  return error;
}

static int by_age(const void *left, const void *right)
{
  const struct listed *a = left, *b = right;

  if (a->info.created_ns != b->info.created_ns)
    return a->info.created_ns < b->info.created_ns ? -1 : 1;
  return strcmp(a->place.id, b->place.id);
}

static void print_table(const struct listing *listing)
{
  int width = 2;

  for (size_t i = 0; i < listing->count; i++)
    if ((int)strlen(listing->runs[i].place.id) > width)
      width = (int)strlen(listing->runs[i].place.id);
  if (listing->count > 0)
    printf("%-*s  %-10s %8s %10s  %-19s  %s\n", width, "ID", "STATE", "ATTEMPTS", "ENTRIES", "BEGAN",
           "COMMAND");
  for (size_t i = 0; i < listing->count; i++) {
    const struct run_info *info = &listing->runs[i].info;
    char began[32];

    run_text_time(info->created_ns, began);
    printf("%-*s  %-10s %8" PRIu64 " %10" PRIu64 "  %-19s  %s\n", width, listing->runs[i].place.id,
           run_state_name(info->state), info->attempt_count, info->entry_count, began, info->command);
  }
}

static void print_json(const struct listing *listing)
{
  putchar('[');
  for (size_t i = 0; i < listing->count; i++) {
    fputs(i > 0 ? ",\n" : "", stdout);
    run_text_json(stdout, &listing->runs[i].place, &listing->runs[i].info);
  }
  puts("]");
}

int cmd_ls(const struct command_line *line)
{
  char base[PATH_MAX];
  struct listing listing = {.base = base, .secrets = line->given[OPTION_SECRETS]};
  struct failure failure;
  int error;

  if (!command_line_operands(line, 0, 0))
    return RUN_EXIT_FAILED;
  error = list(line, &listing, base, &failure);
  if (error == -ENOMEM)
    failure_set(&failure, error, "cannot list the runs: out of memory; free some");
  if (error < 0)
    return command_fail("%s", failure.text);
  if (listing.count > 0)
    qsort(listing.runs, listing.count, sizeof *listing.runs, by_age);
  if (line->given[OPTION_JSON])
    print_json(&listing);
  else
    print_table(&listing);
  for (size_t i = 0; i < listing.count; i++)
    run_info_release(&listing.runs[i].info);
  free(listing.runs);
  return command_finish_output(listing.status);
}
