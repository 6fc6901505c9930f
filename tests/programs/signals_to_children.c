/* SPDX-License-Identifier: Apache-2.0 */
/* signals_to_children N: N children, one after another, each sent a signal as soon as it is made, for which it has a
 * handler until it executes another program. Whenever it comes, it ends the child: none sleeps on. */
#include "must.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#define HANDLED 7

static void on_signal(int number)
{
  (void)number;
  _exit(HANDLED);
}

int main(int argc, char **argv)
{
  must(argc == 2);
  must(signal(SIGUSR1, on_signal) != SIG_ERR);
  for (int i = 0; i < atoi(argv[1]); i++) {
    int status;
    pid_t child = fork();
    if (child == 0) {
      execl("/bin/sleep", "sleep", "1", NULL);
      _exit(1);
    }
    must(child > 0 && kill(child, SIGUSR1) == 0 && waitpid(child, &status, 0) == child);
    bool by_handler = WIFEXITED(status) && WEXITSTATUS(status) == HANDLED;
    must(by_handler || (WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1));
  }
  return 0;
}
