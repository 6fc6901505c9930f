/* SPDX-License-Identifier: Apache-2.0 */
/* A lane of the sweep, and what it says to the sweep. */
#ifndef PERDURE_SUPERVISOR_CHECK_LANE_H
#define PERDURE_SUPERVISOR_CHECK_LANE_H

#include "supervisor/check.h"
#include "supervisor/check_attempt.h"

enum check_message_kind {
  CHECK_MESSAGE_READY, /* the undisturbed runs are done; `number` kill points; `text`: difference */
  CHECK_MESSAGE_LEFT_OUT, /* `text` differs between bare runs */
  CHECK_MESSAGE_POINT,    /* point `number` is tried; `text`: difference */
  CHECK_MESSAGE_FAILED,   /* `text` says why; the lane ends */
};

/* One packet from a lane. To a lane: a uint64_t, the next point. */
struct check_message {
  enum check_message_kind kind;
  uint64_t number;
  bool same, reached; /* reached: the run did not end before the point */
  enum check_trial trial;
  char text[2048];
  char kept[PATH_MAX];
};

/* What one lane works with. All paths are absolute. */
struct check_lane {
  const struct check_options *options;
  const char *scratch;
  int socket;
  const char *stdin_path;
  off_t stdin_offset;
  char root[PATH_MAX], from[PATH_MAX], work[PATH_MAX], perdure[PATH_MAX], stdout_file[PATH_MAX];
  struct check_mask mask;
  struct check_outcome bare;
  struct check_outcome undisturbed[2]; /* by to_file */
  unsigned kept_count;
};

/* Runs lane `number`, in a process of its own that ends with the returned exit status. */
int check_lane_run(const struct check_options *options, const char *scratch, unsigned number,
                   int socket);

/* check_trial.c */

/* DIRECTORY/NAME into PATH_MAX bytes. */
void check_lane_path(const char *directory, const char *name, char *ret_path);
/* Runs the command without perdure in a fresh copy, which is then moved to lane-K/NAME. */
int check_bare_run(struct check_lane *lane, const char *name, struct check_outcome *ret_outcome,
                   struct failure *failure);
/* The same under perdure, undisturbed, moved to lane-K/pipe or file. *ret_points: kill points;
 * ret_last_line: perdure's own last line, cut to `size`. */
int check_undisturbed_run(struct check_lane *lane, bool to_file, struct check_outcome *ret_outcome,
                          uint64_t *ret_points, char *ret_last_line, size_t size,
                          struct failure *failure);

/* lane-K/CHECK_CAME is what the last trial left if it ended by itself; else lane-K/work is. */
#define CHECK_CAME "came"

/* What came of a trial. */
struct check_trial_end {
  bool ended;   /* by itself: `outcome` is there, and last_line has perdure's own last line */
  bool reached; /* the run did not end before the point */
  struct check_outcome outcome;
  char last_line[512];
  char text[1024]; /* not ended: what happened instead */
};
int check_trial_run(struct check_lane *lane, uint64_t point, enum check_trial trial,
                    struct check_trial_end *ret_end, struct failure *failure);

#endif
