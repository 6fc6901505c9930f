/* SPDX-License-Identifier: Apache-2.0 */
/* The crash sweep: a command is killed at every kill point, resumed, and must end as if nothing had
 * happened.
 *
 *   check_sweep    the scratch directory, the lanes, handing out the points, the report
 *   check_lane     one lane: a process that tries point after point in the same directories
 *   check_trial    one trial: kill, resume, until the command ends by itself
 *   check_attempt  one process, to its end, with all that it starts
 *   check_compare, check_mask   how outcomes differ, and what says nothing
 *   check_tree, check_copy      the files
 *   check_points   which points, pure
 *
 * In the scratch directory:
 *   from/                 DIR as it was in the beginning
 *   lane-K/work/          the copy of it that the command runs in; always at the same path, because
 *                         programs print and hash their paths
 *   lane-K/perdure/       perdure's directory, with the run `check`
 *   lane-K/bare/          what the command leaves without perdure
 *   lane-K/pipe/, file/   what it leaves under perdure and undisturbed, stdout a pipe and a file
 *   point-N-trial-T/      of a difference: work/, perdure/, stdout, stderr
 *
 * Nothing outside of the scratch directory is written, unless the command does it. A crash at any
 * line leaves that directory behind.
 */
#ifndef PERDURE_SUPERVISOR_CHECK_H
#define PERDURE_SUPERVISOR_CHECK_H

#include "supervisor/check_points.h"
#include "supervisor/store.h"

#include <limits.h>

/* So many differences are reported in full, and kept. */
#define CHECK_SHOWN_MAX 20

struct check_progress {
  uint64_t points, done, different; /* points 0: the undisturbed runs are going on */
};

struct check_options {
  char *const *command;
  const char *from;    /* directory; NULL: the working directory */
  const char *compare; /* shell command whose output is compared instead of the files; NULL: none */
  const char *sync;    /* for `perdure run`; NULL: its default */
  uint64_t points;     /* how many are visited; 0: all */
  uint64_t point;      /* only this one; 0: as `points` says */
  unsigned jobs;       /* lanes */
  unsigned timeout_s;  /* of one attempt */
  unsigned within_s;   /* from the beginning: no further point is tried then; 0: all of them are */
  bool keep;           /* the scratch directory, also without differences */
  void (*progress)(const struct check_progress *progress, void *context);
  void *context;
};

struct check_shown {
  uint64_t point;
  enum check_trial trial;
  bool to_file;      /* else stdout was a pipe */
  uint64_t second;   /* where the resumed attempt was to be killed too; 0: nowhere */
  char *text;        /* the first difference */
  char *kept;        /* the directory it lies in; "" if it could not be kept */
};

struct check_report {
  uint64_t total; /* kill points of the undisturbed run */
  uint64_t points, same, different;
  bool time_was_up; /* before all points that were asked for were tried */
  uint64_t not_reached; /* among them: the run ended before the point */
  char *uncrashed;      /* how the undisturbed run differs from the bare one; NULL: it does not */
  char **left_out;      /* not compared, because it differs between bare runs; NULL-terminated */
  size_t left_out_count, shown_count;
  struct check_shown shown[CHECK_SHOWN_MAX]; /* by point */
  char scratch[PATH_MAX]; /* "": removed */
  int signal;             /* that asked to end; 0: the sweep went through */
};

/* Sweeps. 0: the report says what came out, or which signal asked to end. The caller's process has
 * no other children. */
int check_sweep(const struct check_options *options, struct check_report *ret_report,
                struct failure *failure);
void check_report_release(struct check_report *report);

#endif
