/* SPDX-License-Identifier: Apache-2.0 */
/* A line is TIME #SEQ [STREAM] MARK CALL. MARK is '~' for what was taken back, and a column for each atomic region that
 * is open: '{' begins it, '}' ends it. On a terminal what was taken back is struck out too. */
#include "cli/log_lines.h"

#include "cli/attempt_text.h"
#include "supervisor/format_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 32u
#define STRUCK "\x1b[9m"
#define NOT_STRUCK "\x1b[29m"

/* ---- what the store knows ---- */

struct collected {
  struct log_lines *lines;
  bool failed;
};

static void collect_ended(const struct store_failed_attempt *failed, void *context)
{
  struct collected *collected = context;
  struct log_lines *lines = collected->lines;
  struct log_ended *grown = realloc(lines->ended, (lines->ended_count + 1) * sizeof *grown);

  collected->failed = collected->failed || grown == NULL;
  if (grown == NULL)
    return;
  lines->ended = grown;
  struct log_ended *ended = &grown[lines->ended_count++];
  *ended = (struct log_ended){.number = failed->number, .failed = *failed};
  snprintf(ended->ended, sizeof ended->ended, "%s", failed->ended);
  snprintf(ended->policy, sizeof ended->policy, "%s", failed->retry.policy != NULL ? failed->retry.policy : "");
}

static int load_ended(struct log_lines *lines, struct failure *failure)
{
  struct collected collected = {.lines = lines};

  lines->ended_count = 0;
  int error = store_retry_each(run_reader_store(lines->reader), collect_ended, &collected, failure);
  return error == 0 && collected.failed ? failure_set(failure, -ENOMEM, "out of memory; free some") : error;
}

int log_lines_open(struct log_lines *lines, struct run_reader *reader, struct failure *failure)
{
  lines->reader = reader;
  lines->terminal = isatty(STDOUT_FILENO);
  int error = run_rewound_load(run_reader_store(reader), &lines->rewound, failure);
  if (error == 0)
    error = load_ended(lines, failure);
  if (error < 0)
    log_lines_close(lines);
  return error;
}

void log_lines_close(struct log_lines *lines)
{
  run_rewound_release(&lines->rewound);
  region_marks_release(&lines->marks);
  free(lines->ended);
  lines->ended = NULL;
  lines->ended_count = 0;
}

/* ---- attempts ---- */

static void print_ended(const struct log_lines *lines, const struct log_ended *ended)
{
  struct store_failed_attempt failed = ended->failed;
  char time[FORMAT_TIME_SIZE];

  failed.ended = ended->ended;
  failed.retry.policy = ended->policy[0] != '\0' ? ended->policy : NULL;
  if (lines->json) {
    fputs("{\"event\":\"attempt_ended\",", stdout);
    attempt_text_json(stdout, &failed);
    puts("}");
    return;
  }
  format_time((uint64_t)failed.ended_ns, time);
  printf("%s attempt %u: ", time, failed.number);
  attempt_text_end(stdout, &failed);
  putchar('\n');
}

/* Those below `number` that have not been said. One that went as it should is in the entries. */
static void print_ended_below(struct log_lines *lines, unsigned number)
{
  for (; lines->ended_said < lines->ended_count && lines->ended[lines->ended_said].number < number; lines->ended_said++) {
    const struct log_ended *ended = &lines->ended[lines->ended_said];

    if (!lines->one_stream && strcmp(ended->ended, "exited") != 0)
      print_ended(lines, ended);
  }
}

/* ---- what the store has come to know since ---- */

/* Lines that are printed cannot be struck out any more. */
static void say_taken_back(const struct log_lines *lines, const struct run_range *range)
{
  for (size_t i = 0; i < lines->marks.count; i++) {
    if (lines->marks.open[i].position != range->begin)
      continue;
    uint64_t seq = lines->marks.open[i].seq;
    if (lines->json)
      printf("{\"event\":\"taken_back\",\"region\":%" PRIu64 ",\"until_position\":%" PRIu64 "}\n", seq, range->end);
    else
      printf("~ what came in the region of #%" PRIu64 " is taken back  [taken back]\n", seq);
  }
}

static int renew(struct log_lines *lines, struct failure *failure)
{
  struct run_rewound before = lines->rewound;

  lines->attempt_began = false;
  lines->rewound = (struct run_rewound){0};
  int error = run_rewound_load(run_reader_store(lines->reader), &lines->rewound, failure);
  for (size_t i = 0; error == 0 && !lines->one_stream && i < lines->rewound.count; i++) {
    const struct run_range *range = &lines->rewound.list[i];
    bool known = false;
    for (size_t j = 0; j < before.count; j++)
      known = known || (before.list[j].begin == range->begin && before.list[j].end == range->end);
    if (!known)
      say_taken_back(lines, range);
  }
  run_rewound_release(&before);
  if (error == 0)
    error = load_ended(lines, failure);
  print_ended_below(lines, lines->attempt);
  return error;
}

/* ---- entries ---- */

static void print_text(const struct log_lines *lines, const struct journal_entry *entry, uint64_t seq,
                       const struct region_mark *mark, bool taken_back)
{
  static char line[FORMAT_ENTRY_SIZE_MAX];
  char columns[COLUMNS_MAX], marked[COLUMNS_MAX + 2];
  bool struck = taken_back && lines->terminal;

  size_t length = region_marks_draw(&lines->marks, mark, columns, sizeof columns);
  snprintf(marked, sizeof marked, "%s%s%s", taken_back ? "~" : "", taken_back && length > 0 ? " " : "", columns);
  format_entry_marked(entry, seq, marked, line, sizeof line);
  printf("%s%s%s%s\n", struck ? STRUCK : "", line, struck ? NOT_STRUCK : "", taken_back ? "  [taken back]" : "");
}

static void print_json(const struct log_lines *lines, const struct journal_entry *entry, uint64_t seq,
                       const struct region_mark *mark, bool taken_back)
{
  static char line[FORMAT_ENTRY_SIZE_MAX];
  size_t length = format_entry_json(entry, seq, line, sizeof line);

  if (length == 0 || length >= sizeof line || (lines->marks.count == 0 && !taken_back)) {
    puts(line);
    return;
  }
  line[length - 1] = '\0'; /* its brace */
  printf("%s,\"taken_back\":%s,\"regions\":[", line, taken_back ? "true" : "false");
  for (size_t i = 0; i < lines->marks.count; i++)
    printf("%s%" PRIu64, i > 0 ? "," : "", lines->marks.open[i].seq);
  putchar(']');
  if (mark->edge != REGION_EDGE_NONE)
    printf(",\"region_%s\":%" PRIu64, mark->edge == REGION_EDGE_BEGIN ? "begins" : "ends", mark->edge_seq);
  puts("}");
}

/* An attempt took place, and a note was written, whatever was taken back around it. */
static bool is_taken_back(const struct log_lines *lines, const struct journal_entry *entry)
{
  return entry->kind != JOURNAL_ATTEMPT && entry->kind != JOURNAL_NOTE &&
         run_rewound_has(&lines->rewound, entry->position);
}

/* How the one before ended stands there first, unless that is found out with this one's beginning. */
static int before_attempt(struct log_lines *lines, unsigned number, struct failure *failure)
{
  int error = lines->ended_count + 1 < number ? load_ended(lines, failure) : 0;

  lines->attempt_began = true;
  lines->attempt = number;
  print_ended_below(lines, number);
  return error;
}

/* The attempt, and what it took back, is in the store by then. */
static bool is_of_program(const struct journal_entry *entry)
{
  return entry->kind != JOURNAL_ATTEMPT && !(entry->arg_count & JOURNAL_FLAG_RESOLVED);
}

static int print_entry(struct log_lines *lines, const struct journal_entry *entry, uint64_t seq,
                       struct failure *failure)
{
  struct region_mark mark;
  int error = lines->attempt_began && is_of_program(entry) ? renew(lines, failure) : 0;

  if (error < 0)
    return error;
  bool taken_back = is_taken_back(lines, entry);
  if (entry->kind == JOURNAL_ATTEMPT && (error = before_attempt(lines, (unsigned)entry->result, failure)) < 0)
    return error;
  if (region_marks_add(&lines->marks, entry, seq, taken_back, &mark) < 0)
    return failure_set(failure, -ENOMEM, "out of memory; free some");
  if (!lines->one_stream || entry->stream == lines->stream)
    (lines->json ? print_json : print_text)(lines, entry, seq, &mark, taken_back);
  region_marks_close(&lines->marks, &mark);
  return 0;
}

int log_lines_print(struct log_lines *lines, struct failure *failure)
{
  const struct journal_entry *entry;
  uint64_t seq;
  int error;

  while ((error = run_reader_next(lines->reader, &entry, &seq, failure)) == 0 && entry != NULL && !ferror(stdout))
    if ((error = print_entry(lines, entry, seq, failure)) < 0)
      return error;
  return error;
}

/* ---- behind the last entry ---- */

int log_lines_finish(struct log_lines *lines, bool live, struct failure *failure)
{
  int error = load_ended(lines, failure);

  if (error < 0)
    return error;
  print_ended_below(lines, UINT32_MAX);
  for (size_t i = 0; !lines->one_stream && i < lines->marks.count; i++) {
    const struct open_region *region = &lines->marks.open[i];

    if (region->taken_back)
      continue;
    if (lines->json)
      printf("{\"event\":\"region_%s\",\"region\":%" PRIu64 "}\n", live ? "open" : "unfinished", region->seq);
    else
      printf("the region of #%" PRIu64 " is %s\n", region->seq,
             live ? "open  [open]" : "unfinished: the next attempt takes it back, and runs it again  [unfinished]");
  }
  return 0;
}
