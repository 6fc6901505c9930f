/* SPDX-License-Identifier: Apache-2.0 */
/* committing N TIMEOUT_MS: commits to N replicas, and says what came of it, and how many there were. */
#include "control-api/perdure.h"

#include "must.h"

int main(int argc, char **argv)
{
  unsigned count = 99;
  must(argc == 3);
  int result = perdure_commit_counted((unsigned)atoi(argv[1]), strtoull(argv[2], NULL, 10) * 1000000u, &count);
  printf("%s, %u\n", result == 0 ? "committed" : result == PERDURE_ERROR_TIMEOUT ? "timeout" : strerror(-result), count);
  return 0;
}
