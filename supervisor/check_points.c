/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing kill points. Writes nothing. */
#include "supervisor/check_points.h"

#include <assert.h>

/* A resumed attempt counts its own live points from 1. The second kill is to fall right after the
 * journal is used up, where what was unfinished is done again. */
#define SECOND_POINTS 12

uint64_t check_point_count(uint64_t total, uint64_t wanted)
{
  return wanted == 0 || wanted > total ? total : wanted;
}

uint64_t check_point_at(uint64_t total, uint64_t wanted, uint64_t index)
{
  uint64_t count = check_point_count(total, wanted);

  assert(index < count);
  if (index == 0)
    return 1;
  /* In 128 bits: a run has fewer than 2^64 points, their product may be more. */
  return 1 + (uint64_t)((unsigned __int128)index * (total - 1) / (count - 1));
}

/* The turn's bits the other way round (van der Corput's sequence); what that makes too large is left out. */
uint64_t check_point_next(uint64_t count, uint64_t *turn)
{
  unsigned bits = count > 1 ? 64 - (unsigned)__builtin_clzll(count - 1) : 0;
  uint64_t index;

  assert(count > 0);
  do {
    index = 0;
    for (unsigned bit = 0; bit < bits; bit++)
      index |= (*turn >> bit & 1) << (bits - 1 - bit);
    ++*turn;
  } while (index >= count);
  return index;
}

uint64_t check_second_point(uint64_t point)
{
  return 1 + point * 7 % SECOND_POINTS;
}

bool check_trial_to_file(uint64_t point, enum check_trial trial)
{
  /* Which half of the circle the point falls on when each is the golden ratio further than the one
   * before: half of them for every step between points. */
  bool upper = (point * 0x9e3779b97f4a7c15u) >> 63 != 0;

  return trial == CHECK_KILLED_ONCE ? !upper : upper;
}
