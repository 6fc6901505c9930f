/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands share: saying, finding the run, finding the shim. */
#include "cli/command.h"

#include "cli/progress_line.h"
#include "cli/run_copy.h"
#include "journal/tail.h"
#include "supervisor/redis_address.h"
#include "supervisor/retry.h"
#include "supervisor/retry_rules_parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* PERDURE_LIBDIR: where the shim is installed, relative to the prefix; the build says it. */
#define SHIM_NAME "libperdure-shim.so"

static void say_line(const char *text)
{
  char line[4200];
  int length = snprintf(line, sizeof line, "perdure: %s\n", text);
  ssize_t written;

  if (length >= (int)sizeof line) {
    length = (int)sizeof line - 1;
    line[length - 1] = '\n';
  }
  written = write(STDERR_FILENO, line, (size_t)length);
  (void)written; /* nowhere else to say it */
}

int command_fail(const char *format, ...)
{
  char text[4096];
  va_list arguments;

  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  say_line(text);
  return RUN_EXIT_FAILED;
}

const char *command_store(const struct command_line *line)
{
  const char *environment = getenv("PERDURE_STORE");

  if (line->value[OPTION_STORE] != NULL)
    return line->value[OPTION_STORE];
  return environment != NULL && environment[0] != '\0' ? environment : NULL;
}

int command_where(const struct command_line *line, const char *id, struct run_place *ret_place, const char **ret_store,
                  struct failure *failure)
{
  const char *store = option_belongs(OPTION_STORE, line->command) ? command_store(line) : NULL;
  char base[PATH_MAX];
  int error = 0;

  *ret_store = NULL;
  if (!line->given[OPTION_STORE] || !option_belongs(OPTION_STORE, line->command)) {
    error = run_place_base(line->value[OPTION_DIR], base, failure);
    if (error == 0)
      error = run_place_existing(base, id, ret_place, failure);
    if (error != -ENOENT || store == NULL || line->given[OPTION_DIR])
      return error;
  }
  error = run_place_find("/", id, ret_place, failure);
  if (error == 0)
    *ret_store = store;
  return error;
}

int command_place(const struct command_line *line, const char *id, struct run_place *ret_place,
                  struct failure *failure)
{
  const char *store;
  int error;

  if (line->given[OPTION_ARCHIVE] && line->given[OPTION_STORE])
    return failure_set(failure, -EINVAL, "--archive and --store: a run is read from one of them; give that one");
  if (line->given[OPTION_ARCHIVE])
    return run_copy_of_archive(line->value[OPTION_ARCHIVE], id, ret_place, failure);
  error = command_where(line, id, ret_place, &store, failure);
  return error == 0 && store != NULL ? run_copy_of_store(store, id, ret_place, failure) : error;
}

int command_reader(const struct command_line *line, const struct run_place *place, uint64_t first_seq,
                   struct run_reader **ret_reader, struct failure *failure)
{
  struct run_reader *reader;
  int error = run_reader_open(place, first_seq, &reader, failure);

  if (error < 0)
    return error;
  if (!line->given[OPTION_SECRETS])
    error = run_reader_hide(reader, failure);
  if (error < 0)
    run_reader_close(reader);
  else
    *ret_reader = reader;
  return error;
}

void command_shim(char *ret_path)
{
  const char *given = getenv("PERDURE_SHIM");
  char directory[PATH_MAX];
  ssize_t length;
  char *slash;

  if (given != NULL && given[0] != '\0' && realpath(given, ret_path) != NULL)
    return;
  if (given != NULL && given[0] != '\0') {
    snprintf(ret_path, PATH_MAX, "%s", given); /* starting says that it is not there */
    return;
  }
  length = readlink("/proc/self/exe", directory, sizeof directory - 1);
  directory[length > 0 ? length : 0] = '\0';
  slash = strrchr(directory, '/');
  if (slash != NULL)
    *slash = '\0';
  if (snprintf(ret_path, PATH_MAX, "%s/" SHIM_NAME, directory) < PATH_MAX &&
      access(ret_path, F_OK) == 0)
    return; /* side by side in the build folder */
  slash = strrchr(directory, '/');
  if (slash != NULL)
    *slash = '\0';
  if (snprintf(ret_path, PATH_MAX, "%s/" PERDURE_LIBDIR "/" SHIM_NAME, directory) >= PATH_MAX)
    strcpy(ret_path, SHIM_NAME);
}

struct voice {
  bool quiet, verbose;
};

static void say(enum run_loudness loudness, const char *line, void *context)
{
  const struct voice *voice = context;

  if (loudness == SAY_ERROR || (loudness == SAY_NOTICE && !voice->quiet) ||
      (loudness == SAY_DETAIL && voice->verbose))
    say_line(line);
}

static bool parse_crash_at(uint64_t *ret_point)
{
  const char *text = getenv("PERDURE_CRASH_AT");
  char *end;

  *ret_point = 0;
  if (text == NULL || text[0] == '\0')
    return true;
  *ret_point = strtoull(text, &end, 10);
  if (*end == '\0' && text[0] != '-')
    return true;
  command_fail("PERDURE_CRASH_AT is '%.60s': it is no number; give a kill point, from 1", text);
  return false;
}

static bool parse_number(const char *text, unsigned maximum, unsigned *ret_number)
{
  char *end;
  unsigned long value = strtoul(text, &end, 10);

  *ret_number = (unsigned)value;
  return text[0] >= '0' && text[0] <= '9' && *end == '\0' && value <= maximum;
}

/* What is said about another store. false: said on stderr. */
static bool store_options(const struct command_line *line, struct run_options *options)
{
  const char *replicas = line->value[OPTION_MIN_REPLICAS];
  const char *lease = line->value[OPTION_LEASE], *loss = line->value[OPTION_ON_STORE_LOSS];
  struct redis_address address;
  struct failure failure;
  uint64_t lease_ns = 0;
  unsigned count = 0;

  options->store = command_store(line);
  options->replicas = line->value[OPTION_REPLICA];
  options->stop_on_store_loss = loss && strcmp(loss, "stop") == 0;
  if (options->store && redis_address_parse(options->store, &address, &failure) < 0)
    command_fail("%s", failure.text);
  else if (replicas && !parse_number(replicas, TAIL_REPLICAS_MAX, &count))
    command_fail("--min-replicas %.60s: give a number up to %u", replicas, TAIL_REPLICAS_MAX);
  else if (lease && (!retry_duration_parse(lease, &lease_ns) || lease_ns < 100000000u || lease_ns > 3600000000000u))
    command_fail("--lease %.60s: give a time from 100ms to 60m", lease);
  else if (loss && strcmp(loss, "wait") != 0 && !options->stop_on_store_loss)
    command_fail("--on-store-loss %.60s: give wait or stop", loss);
  else {
    options->before_remote = replicas ? count + 1 : 0;
    options->lease_ms = (unsigned)(lease_ns / 1000000);
    return true;
  }
  return false;
}

/* What is said about retries. false: said on stderr. */
static bool retry_options(const struct command_line *line, struct run_options *options)
{
  static char text[RETRY_FILE_MAX + 1];
  static struct retry_rules rules;
  const char *path = line->value[OPTION_RETRY_POLICY];
  struct retry_policy policy;
  struct failure failure;

  if (options->retry != NULL && retry_policy_parse(options->retry, &policy, &failure) < 0) {
    command_fail("%s", failure.text);
    return false;
  }
  if (path == NULL)
    return true;
  FILE *file = fopen(path, "re");
  size_t length = file != NULL ? fread(text, 1, sizeof text, file) : 0;
  int error = file == NULL || ferror(file) ? errno : 0;

  if (file != NULL)
    fclose(file);
  if (error != 0)
    command_fail("--retry-policy %.200s: %s; give a file that can be read", path, strerror(error));
  else if (length == sizeof text || memchr(text, '\0', length) != NULL)
    command_fail("--retry-policy %.200s: this is no text of up to %u bytes; give another file", path, RETRY_FILE_MAX);
  else if (text[length] = '\0', retry_rules_parse(text, path, &rules, &failure) < 0)
    command_fail("%s", failure.text);
  else {
    options->retry_rules = text;
    return true;
  }
  return false;
}

bool command_run_options(const struct command_line *line, const char *shim,
                         struct run_options *ret_options)
{
  static struct voice voice;
  const char *sync = line->value[OPTION_SYNC], *output = line->value[OPTION_OUTPUT];
  struct run_options options = {
    .id = line->value[OPTION_ID], .directory = line->value[OPTION_DIR], .shim = shim,
    .sync = sync != NULL ? run_sync_named(sync) : -1,
    .output = output != NULL ? run_output_named(output) : -1,
    .not_idempotent = line->given[OPTION_NOT_IDEMPOTENT],
    .keyless = line->given[OPTION_NO_IDEMPOTENCY_KEY],
    .retry = line->given[OPTION_NO_RETRY] ? "none" : line->value[OPTION_RETRY],
    .retry_exit = line->given[OPTION_RETRY_EXIT],
    .detach = line->given[OPTION_DETACH],
    .from_failure = line->given[OPTION_FROM_FAILURE],
    .replayable = line->given[OPTION_REPLAYABLE],
    .say = say, .progress = line->given[OPTION_PROGRESS] ? progress_line_show : NULL, .context = &voice,
  };

  voice = (struct voice){.quiet = line->given[OPTION_QUIET], .verbose = line->given[OPTION_VERBOSE]};
  if (sync != NULL && options.sync < 0)
    command_fail("--sync %.60s: there is no such degree; give %s", sync, option_rows[OPTION_SYNC].argument);
  else if (output != NULL && options.output < 0)
    command_fail("--output %.60s: there is no such policy; give %s", output,
                 option_rows[OPTION_OUTPUT].argument);
  else if (retry_options(line, &options) && store_options(line, &options) && parse_crash_at(&options.crash_at)) {
    *ret_options = options;
    return true;
  }
  return false;
}

/* Length of the UTF-8 character at `text`; 0: it is none. */
static size_t utf8_length(const unsigned char *text, size_t available)
{
  size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
                  : (text[0] & 0xf0) == 0xe0 ? 3 : text[0] >= 0xf0 && text[0] < 0xf5 ? 4 : 0;

  if (length > available)
    return 0;
  for (size_t i = 1; i < length; i++)
    if ((text[i] & 0xc0) != 0x80)
      return 0;
  return length;
}

void command_json_string(FILE *stream, const char *text, size_t length)
{
  putc('"', stream);
  while (length > 0) {
    unsigned char c = (unsigned char)*text;
    size_t step = utf8_length((const unsigned char *)text, length);

    if (step == 0)
      fputs("\\ufffd", stream);
    else if (c == '"' || c == '\\')
      fprintf(stream, "\\%c", c);
    else if (c == '\n')
      fputs("\\n", stream);
    else if (c < ' ' || c == 0x7f)
      fprintf(stream, "\\u%04x", c);
    else
      fwrite(text, 1, step, stream);
    step = step == 0 ? 1 : step;
    text += step;
    length -= step;
  }
  putc('"', stream);
}

int command_finish_output(int status)
{
  if (fflush(stdout) == 0 && !ferror(stdout))
    return status;
  return command_fail("cannot write to standard output: %s; give it a place with room", strerror(errno));
}

bool command_to(const struct command_line *line, uint64_t *ret_seq)
{
  const char *text = line->value[OPTION_TO];
  char *end;

  if (text == NULL)
    return true;
  uint64_t seq = strtoull(text, &end, 10);
  if (seq == 0 || *end != '\0' || text[0] < '0' || text[0] > '9') {
    command_fail("--to %.60s: it is no entry's number: they count from 1; `perdure log %.127s` prints them", text,
                 line->operands[0]);
    return false;
  }
  *ret_seq = seq;
  return true;
}
