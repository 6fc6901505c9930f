/* SPDX-License-Identifier: Apache-2.0 */
/* perdure check: does a command survive being killed, wherever it is killed? */
#include "cli/command.h"
#include "cli/progress_bar.h"
#include "supervisor/check.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define JOBS_DEFAULT_MAX 4
#define JOBS_MAX 64
#define TIMEOUT_DEFAULT_S 60
#define TIMEOUT_MAX_S (24 * 60 * 60)

struct view {
  struct progress_bar bar;
  bool quiet;
};

static void show_progress(const struct check_progress *progress, void *context)
{
  struct view *view = context;
  char what[64];

  if (view->quiet)
    return;
  if (progress->points == 0)
    snprintf(what, sizeof what, "running it undisturbed");
  else
    snprintf(what, sizeof what, "%" PRIu64 " different", progress->different);
  progress_bar_show(&view->bar, progress->done, progress->points, what);
}

/* A number of 1 to `maximum`; *number stays if the option is not given. false: said on stderr. */
static bool parse_number(const struct command_line *line, enum option_id option, uint64_t maximum,
                         uint64_t *number)
{
  const char *text = line->value[option];
  uint64_t value;
  char *end;

  if (text == NULL)
    return true;
  value = strtoull(text, &end, 10);
  if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && value >= 1 && value <= maximum) {
    *number = value;
    return true;
  }
  command_fail("check: --%s %.60s: that is no number it can have; give %s, from 1 to %" PRIu64,
               option_rows[option].name, text, option_rows[option].argument, maximum);
  return false;
}

static bool parse_options(const struct command_line *line, struct check_options *options)
{
  uint64_t jobs = (uint64_t)get_nprocs(), timeout_s = TIMEOUT_DEFAULT_S, within_s = 0;
  const char *points = line->value[OPTION_POINTS], *sync = line->value[OPTION_SYNC];

  if (jobs > JOBS_DEFAULT_MAX)
    jobs = JOBS_DEFAULT_MAX;
  if (sync != NULL && run_sync_named(sync) < 0) {
    command_fail("check: --sync %.60s: there is no such degree; give %s", sync,
                 option_rows[OPTION_SYNC].argument);
    return false;
  }
  if (line->given[OPTION_DIR]) {
    command_fail(
        "check: --dir: a sweep has directories of its own; say with TMPDIR where they are made");
    return false;
  }
  if (points != NULL && line->value[OPTION_POINT] != NULL) {
    command_fail("check: --points and --point: they contradict each other; give one of them");
    return false;
  }
  if ((points != NULL && strcmp(points, "all") != 0 &&
       !parse_number(line, OPTION_POINTS, INT64_MAX, &options->points)) ||
      !parse_number(line, OPTION_POINT, INT64_MAX, &options->point) ||
      !parse_number(line, OPTION_JOBS, JOBS_MAX, &jobs) ||
      !parse_number(line, OPTION_TIMEOUT, TIMEOUT_MAX_S, &timeout_s) ||
      !parse_number(line, OPTION_WITHIN, TIMEOUT_MAX_S, &within_s))
    return false;
  options->command = line->operands;
  options->from = line->value[OPTION_FROM];
  options->compare = line->value[OPTION_COMPARE];
  options->sync = sync;
  options->jobs = (unsigned)jobs;
  options->timeout_s = (unsigned)timeout_s;
  options->within_s = (unsigned)within_s;
  options->keep = line->given[OPTION_KEEP];
  return true;
}

/* A word as a shell needs it. */
static void print_word(const char *word)
{
  static const char plain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";

  if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
    fputs(word, stdout);
    return;
  }
  putchar('\'');
  for (; *word != '\0'; word++)
    if (*word == '\'')
      fputs("'\\''", stdout);
    else
      putchar(*word);
  putchar('\'');
}

/* The command that tries one point again. */
static void print_again(const struct command_line *line, uint64_t point)
{
  static const enum option_id repeated[] = {OPTION_FROM, OPTION_COMPARE, OPTION_SYNC,
                                            OPTION_TIMEOUT};

  printf("perdure check --point %" PRIu64, point);
  for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++)
    if (line->value[repeated[i]] != NULL) {
      printf(" --%s ", option_rows[repeated[i]].name);
      print_word(line->value[repeated[i]]);
    }
  fputs(" --", stdout);
  for (int i = 0; i < line->operand_count; i++) {
    putchar(' ');
    print_word(line->operands[i]);
  }
  putchar('\n');
}

static void print_shown(const struct command_line *line, const struct check_shown *shown)
{
  printf("point %" PRIu64 ", killed there%s", shown->point,
         shown->trial == CHECK_KILLED_TWICE ? ", resumed, killed again" : "");
  if (shown->trial == CHECK_KILLED_TWICE)
    printf(" at point %" PRIu64, shown->second);
  printf(", stdout %s: %s\n", shown->to_file ? "a file" : "a pipe", shown->text);
  if (shown->kept[0] != '\0')
    printf("  what it left: %s\n  its journal: perdure log --dir %s/perdure check\n", shown->kept, shown->kept);
  fputs("  to repeat it: ", stdout);
  print_again(line, shown->point);
}

static void print_report(const struct command_line *line, const struct check_report *report)
{
  for (size_t i = 0; i < report->left_out_count; i++)
    printf("not compared, as it differs without perdure too: %s\n", report->left_out[i]);
  printf("without a crash: %s%s\n", report->uncrashed == NULL ? "same" : "different: ",
         report->uncrashed == NULL ? "" : report->uncrashed);
  for (size_t i = 0; i < report->shown_count; i++)
    print_shown(line, &report->shown[i]);
  if (report->different > report->shown_count)
    printf("and %" PRIu64 " more that are different\n", report->different - report->shown_count);
  printf("kill points: %" PRIu64 "%s\n", report->total,
         report->time_was_up              ? ", of which some are tried, until the time was up"
         : report->points < report->total ? ", of which only some are tried"
                                          : "");
  if (report->not_reached > 0)
    printf("not reached, because the run ended before: %" PRIu64 "\n", report->not_reached);
  if (report->scratch[0] != '\0')
    printf("kept: %s\n", report->scratch);
  printf("%" PRIu64 " points, %" PRIu64 " the same, %" PRIu64 " different\n", report->points,
         report->same, report->different);
}

/* Input that would be lost is said: each attempt needs the same, and a pipe gives it only once. */
static void say_unread_input(void)
{
  int waiting;

  if (lseek(STDIN_FILENO, 0, SEEK_CUR) < 0 && isatty(STDIN_FILENO) != 1 &&
      ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting > 0)
    command_fail("check: standard input is a pipe, and each attempt needs it from its beginning: "
                 "the command gets /dev/null; give it a file with <");
}

int cmd_check(const struct command_line *line)
{
  struct view view = {.quiet = line->given[OPTION_QUIET]};
  struct check_options options = {.progress = show_progress, .context = &view};
  struct check_report report;
  struct failure failure;
  int error, status;

  if (!command_line_operands(line, 1, -1) || !parse_options(line, &options))
    return RUN_EXIT_FAILED;
  say_unread_input();
  progress_bar_begin(&view.bar);
  error = check_sweep(&options, &report, &failure);
  progress_bar_end(&view.bar);
  if (error < 0) {
    run_advise_for(&failure, error);
    return command_fail("check: %s", failure.text);
  }
  if (report.signal != 0) {
    command_fail("check: ended by signal %d (%s)", report.signal, strsignal(report.signal));
    signal(report.signal, SIG_DFL);
    raise(report.signal);
  }
  print_report(line, &report);
  status = report.different > 0 || report.uncrashed != NULL;
  check_report_release(&report);
  return command_finish_output(status);
}
