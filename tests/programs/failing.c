/* SPDX-License-Identifier: Apache-2.0 */
/* Fails under a policy of its own: failing ATTEMPTS. */
#include "control-api/perdure.h"

#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
  struct perdure_retry_policy policy = {(uint32_t)atoi(argv[1]), 1000, 1000, 1, 0, 0};
  write(1, "begun\n", 6);
  PERDURE_WITH_RETRY_POLICY(&policy)
    perdure_fail("nothing works");
  return 0;
}
