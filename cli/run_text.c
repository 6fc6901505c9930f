/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_text.h"

#include "cli/command.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

void run_text_time(int64_t time_ns, char ret_text[32])
{
  time_t seconds = time_ns / 1000000000;
  struct tm broken;

  ret_text[0] = '\0';
  if (localtime_r(&seconds, &broken) != NULL)
    strftime(ret_text, 32, "%F %T", &broken);
}

static void print_member(FILE *stream, const char *name, const char *text)
{
  fprintf(stream, ",\"%s\":", name);
  command_json_string(stream, text, strlen(text));
}

void run_text_json(FILE *stream, const struct run_place *place, const struct run_info *info)
{
  fprintf(stream, "{\"id\":\"%s\",\"state\":\"%s\",\"live\":%s", place->id, run_state_name(info->state),
          info->live ? "true" : "false");
  if (info->supervisor_pid > 0)
    fprintf(stream, ",\"supervisor_pid\":%d", (int)info->supervisor_pid);
  if (info->state == RUN_STATE_FINISHED)
    fprintf(stream, ",\"exit_status\":%d", info->exit_status);
  fprintf(stream, ",\"attempts\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"created_ns\":%" PRId64
          ",\"sync\":\"%s\"", info->attempt_count, info->entry_count, info->created_ns,
          run_sync_name(info->sync));
  if (info->store != NULL) {
    print_member(stream, "store", info->store);
    print_member(stream, "owner", info->owner);
    fprintf(stream, ",\"epoch\":%" PRIu64, info->epoch);
  } else {
    print_member(stream, "directory", place->directory);
  }
  print_member(stream, "cwd", info->cwd);
  print_member(stream, "command", info->command);
  fputc('}', stream);
}
