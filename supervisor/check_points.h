/* SPDX-License-Identifier: Apache-2.0 */
/* Which kill points a sweep visits, and how each is tried. Pure. */
#ifndef PERDURE_SUPERVISOR_CHECK_POINTS_H
#define PERDURE_SUPERVISOR_CHECK_POINTS_H

#include <stdbool.h>
#include <stdint.h>

/* What a trial does to the run. Each point gets all of them. */
enum check_trial {
  CHECK_KILLED_ONCE,  /* killed at the point, resumed to the end */
  CHECK_KILLED_TWICE, /* the resumed attempt is killed too */
  CHECK_TRIAL_COUNT,
};

/* How many of `total` kill points are visited when `wanted` are asked for (0: all). */
uint64_t check_point_count(uint64_t total, uint64_t wanted);
/* The kill point, from 1, that is visited as number `index`, from 0, of check_point_count(). Spread
 * evenly: rising, none twice, the first and the last among them (one alone: the first). */
uint64_t check_point_at(uint64_t total, uint64_t wanted, uint64_t index);

/* The order in which they are tried: each call gives another index below `count`, all of them in `count` calls, those of
 * the first so many spread over the whole at any time. *turn: 0 before the first. */
uint64_t check_point_next(uint64_t count, uint64_t *turn);

/* The kill point of a trial's attempt after the one killed at `point`. */
uint64_t check_second_point(uint64_t point);

/* Is the program's output a file, kept over the attempts, in this trial? Otherwise a new pipe for
 * each attempt. Every point gets both. Which of the trials gets which is not tied to the point
 * being odd: odd points lie before an effect, even ones after it. */
bool check_trial_to_file(uint64_t point, enum check_trial trial);

#endif
