/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a server that refuses the first two times: flaky SERVER. The policy says how often and how late libcurl's request is sent
 * again; the program itself has no loop. */
#include "../request.h"
#include "perdure.h"

int main(int argc, char **argv)
{
  static const struct perdure_retry_policy policy = {
      .max_attempts = 8,
      .min_delay_ns = 20000000,
      .max_delay_ns = 60000000,
      .multiplier = 2,
      .max_jitter_factor = 0.1,
      .statuses = PERDURE_RETRY_503,
  };
  struct answer answer;
  long status = 0;
  if (argc != 2)
    return 2;
  PERDURE_WITH_RETRY_POLICY(&policy) {
    status = post(argv[1], "/flaky/2", "please", NULL, &answer);
  }
  printf("%ld %s", status, answer.text);
  return status == 200 ? 0 : 1;
}
