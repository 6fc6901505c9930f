/* SPDX-License-Identifier: Apache-2.0 */
/* deny_executable_memory COMMAND...: runs a command that may not make memory executable afterwards, as
 * hardened services are run. Exit status 77 where the kernel (before 6.3) has no such thing. */
#include <sys/prctl.h>
#include <unistd.h>

#define SET_MDWE 65 /* PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: newer than Debian 12's headers */
#define REFUSE_EXEC_GAIN 1

int main(int argc, char **argv)
{
  if (prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
    return 77;
  execvp(argv[1], argv + 1);
  return 127;
}
