/* SPDX-License-Identifier: Apache-2.0 */
/* Fails under a policy of its own: failing ATTEMPTS; or under one that is put together, twice at once and then twice after 2 ms:
 * failing plan [NAME]. */
#include "control-api/perdure.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int plan(const char *name)
{
  static struct perdure_retry_plan quick, slow;
  int error = perdure_retry_plan_immediate(&quick) | perdure_retry_plan_count(&quick, 3) | perdure_retry_plan_periodic(&slow, 2000000) |
              perdure_retry_plan_count(&slow, 3) | perdure_retry_plan_and_then(&quick, &quick, &slow);
  if (name)
    error |= perdure_retry_plan_name(&quick, name);
  PERDURE_WITH_RETRY_PLAN(&quick)
    perdure_fail("nothing works");
  return error;
}

int main(int argc, char **argv)
{
  if (argc < 2)
    return 2;
  if (strcmp(argv[1], "plan") == 0)
    return plan(argv[2]);
  struct perdure_retry_policy policy = {(uint32_t)atoi(argv[1]), 1000, 1000, 1, 0, 0};
  write(1, "begun\n", 6);
  PERDURE_WITH_RETRY_POLICY(&policy)
    perdure_fail("nothing works");
  return 0;
}
