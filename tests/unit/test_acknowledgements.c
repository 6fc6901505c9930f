/* SPDX-License-Identifier: Apache-2.0 */
/* How many have what of the journal, against counting it out. */
#include "tests/unit/tap.h"

#include "supervisor/acknowledgements.h"

#include <stdlib.h>

/* Has anybody who counts all below `end`, n times over? */
static bool have(const struct acknowledgements *all, unsigned n, uint64_t end)
{
  unsigned directories = 0, replicas = 0;
  for (unsigned i = 0; i < all->directory_count; i++)
    directories += all->directories[i] >= end;
  if (!all->has_primary)
    return directories >= n;
  if (all->primary[0] < end)
    return false;
  while (replicas < TAIL_REPLICAS_MAX && all->primary[replicas + 1] >= end)
    replicas++;
  return directories + replicas >= n;
}

static bool sum_is_right(const struct acknowledgements *all)
{
  uint64_t sum[TAIL_REPLICAS_MAX + 1];
  acknowledgements_sum(all, sum);
  for (unsigned n = 0; n <= TAIL_REPLICAS_MAX; n++)
    for (uint64_t end = 1; end <= 12; end++)
      if (have(all, n, end) != (sum[n] >= end))
        return false;
  return true;
}

static void random_case(unsigned *seed, struct acknowledgements *ret_all)
{
  *ret_all = (struct acknowledgements){.has_primary = rand_r(seed) % 2, .directory_count = (unsigned)rand_r(seed) % 6};
  uint64_t end = (uint64_t)rand_r(seed) % 11;
  for (unsigned i = 0; i < ret_all->directory_count; i++)
    ret_all->directories[i] = (uint64_t)rand_r(seed) % 11;
  /* More replicas never have more. */
  for (unsigned n = 0; n <= TAIL_REPLICAS_MAX; n++) {
    ret_all->primary[n] = end;
    end -= end && rand_r(seed) % 3 == 0 ? 1 + (uint64_t)rand_r(seed) % end : 0;
  }
}

int main(void)
{
  unsigned seed = 7, wrong = 0;
  for (unsigned i = 0; i < 4000; i++) {
    struct acknowledgements all;
    random_case(&seed, &all);
    wrong += !sum_is_right(&all);
  }
  tap_ok(wrong == 0, "4000 cases of a store's replicas and directories are summed up as counted");

  struct acknowledgements alone = {.directory_count = 0};
  uint64_t sum[TAIL_REPLICAS_MAX + 1];
  acknowledgements_sum(&alone, sum);
  tap_ok(sum[0] == UINT64_MAX && sum[1] == 0, "with nobody, no replicas have all, and one has nothing");
  return tap_done();
}
