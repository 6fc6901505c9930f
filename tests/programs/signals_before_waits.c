/* SPDX-License-Identifier: Apache-2.0 */
/* signals_before_waits N: N signals that come before a read of a pipe that nobody writes to, between calls or, every second
 * time, before yet another call. A program alone sees each before it reads. */
#include "must.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
  (void)number;
  handled = 1;
}

static void send_signals(int asked, pid_t parent, _Atomic int *sent)
{
  char byte;
  while (read(asked, &byte, 1) == 1) {
    must(kill(parent, SIGUSR1) == 0);
    atomic_fetch_add(sent, 1);
  }
  _exit(0);
}

int main(int argc, char **argv)
{
  const struct sigaction action = {.sa_handler = on_signal};
  int asked[2], never[2];
  char byte;
  _Atomic int *sent = mmap(NULL, sizeof *sent, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(argc == 2 && sent != MAP_FAILED && pipe(asked) == 0 && pipe(never) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
  pid_t parent = getpid(), child = fork();
  must(child >= 0);
  if (child == 0) {
    close(asked[1]);
    send_signals(asked[0], parent, sent);
  }
  for (int i = 0; i < atoi(argv[1]); i++) {
    handled = 0;
    must(write(asked[1], "x", 1) == 1);
    while (atomic_load(sent) == i)
      ;
    /* Another processor is told of it a moment later. */
    for (volatile int moment = 0; moment < 20000 && !handled; moment++)
      ;
    if (handled)
      continue;
    if (i % 2)
      time(NULL);
    must(read(never[0], &byte, 1) == -1 && errno == EINTR && handled);
  }
  close(asked[1]);
  int status;
  must(waitpid(child, &status, 0) == child && status == 0);
  return 0;
}
