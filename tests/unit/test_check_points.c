/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/check_points.h"

#include "tests/unit/tap.h"

/* Rising, within 1..total, first and last among them, steps that differ by at most one. */
static bool spread_evenly(uint64_t total, uint64_t wanted)
{
  uint64_t count = check_point_count(total, wanted), shortest = UINT64_MAX, longest = 0;

  if (check_point_at(total, wanted, 0) != 1 ||
      (count > 1 && check_point_at(total, wanted, count - 1) != total))
    return false;
  for (uint64_t i = 1; i < count; i++) {
    uint64_t before = check_point_at(total, wanted, i - 1), here = check_point_at(total, wanted, i);

    if (here <= before)
      return false;
    shortest = here - before < shortest ? here - before : shortest;
    longest = here - before > longest ? here - before : longest;
  }
  return count <= 1 || longest - shortest <= 1;
}

static void test_spread(void)
{
  bool even = true;

  for (uint64_t total = 1; total <= 60; total++)
    for (uint64_t wanted = 0; wanted <= total + 2; wanted++)
      even = even && spread_evenly(total, wanted);
  tap_ok(even, "points are spread evenly from the first to the last, none twice");
  tap_ok(check_point_count(7, 0) == 7 && check_point_count(7, 100) == 7 &&
             check_point_count(7, 3) == 3,
         "all points when none or too many are asked for");
  tap_ok(check_point_at(UINT64_MAX, 3, 2) == UINT64_MAX &&
             check_point_at(UINT64_MAX, 3, 1) == UINT64_MAX / 2 + 1,
         "a long run does not overflow");
}

/* All indices once; after the first n of them, none of the parts between is longer than twice the shortest possible. */
static bool spread_at_any_time(uint64_t count)
{
  bool seen[300] = {false};
  uint64_t turn = 0;

  for (uint64_t n = 1; n <= count; n++) {
    uint64_t index = check_point_next(count, &turn), longest = 0, last = 0, step = 1;

    if (index >= count || seen[index])
      return false;
    seen[index] = true;
    for (uint64_t i = 0; i <= count; i++)
      if (i == count || seen[i]) {
        longest = i - last > longest ? i - last : longest;
        last = i;
      }
    while (2 * step <= n)
      step *= 2;
    if (longest > (2 * count + step - 1) / step)
      return false;
  }
  return true;
}

static void test_order(void)
{
  bool spread = true;
  uint64_t turn = 0;

  for (uint64_t count = 1; count <= 300; count++)
    spread = spread && spread_at_any_time(count);
  tap_ok(spread, "whenever it ends, the points tried are spread over all");
  tap_ok(check_point_next(UINT64_MAX, &turn) == 0 && check_point_next(UINT64_MAX, &turn) == UINT64_MAX / 2 + 1,
         "the order of very many does not overflow");
}

/* Of the points `first`, `first` + step, ...: how many of 64 go to a file in the first trial. */
static unsigned to_file(uint64_t first, uint64_t step)
{
  unsigned count = 0;

  for (uint64_t i = 0; i < 64; i++)
    count += check_trial_to_file(first + i * step, CHECK_KILLED_ONCE);
  return count;
}

static void test_modes(void)
{
  bool both = true, balanced = true, second = true;

  for (uint64_t point = 1; point <= 1000; point++) {
    both = both && check_trial_to_file(point, CHECK_KILLED_ONCE) !=
                       check_trial_to_file(point, CHECK_KILLED_TWICE);
    second = second && check_second_point(point) >= 1;
  }
  for (uint64_t step = 1; step <= 16; step++)
    for (uint64_t first = 1; first <= 2; first++)
      balanced = balanced && to_file(first, step) >= 16 && to_file(first, step) <= 48;
  tap_ok(both, "every point is tried with a pipe and with a file");
  tap_ok(balanced, "neither odd points nor those of a spread sweep are all tried in the same way");
  tap_ok(second, "the second kill has a point too");
}

int main(void)
{
  test_spread();
  test_order();
  test_modes();
  return tap_done();
}
