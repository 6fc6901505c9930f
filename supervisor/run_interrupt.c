/* SPDX-License-Identifier: Apache-2.0 */
/* run_interrupt.h says what it does. Writes nothing: what is written down is its supervisor's. */
#include "supervisor/run_interrupt.h"

#include "supervisor/run_lock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

static void ignore(int signal)
{
  (void)signal;
}

/* The handler never runs, the signal being blocked: it is there to be seen. */
void run_interrupt_expect(void)
{
  const struct sigaction action = {.sa_handler = ignore};
  sigset_t mask;

  sigemptyset(&mask);
  sigaddset(&mask, RUN_INTERRUPT_SIGNAL);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  sigaction(RUN_INTERRUPT_SIGNAL, &action, NULL);
}

/* Has the process a handler for it? Of one that has none it would be the end. (What is blocked cannot be told: a process
 * that waits for a signal has it unblocked.) */
static bool expects(pid_t pid)
{
  unsigned long long caught = 0;
  char path[64], line[256];

  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "re");
  if (file == NULL)
    return false;
  while (fgets(line, sizeof line, file) != NULL && sscanf(line, "SigCgt: %llx", &caught) != 1)
    continue;
  fclose(file);
  return (caught >> (RUN_INTERRUPT_SIGNAL - 1) & 1) != 0;
}

static int fail_not_live(const struct run_place *place, struct failure *failure)
{
  return failure_set(failure, -ESRCH, "run %s does not run: nobody supervises it; `perdure status %s` says how it stands",
                     place->id, place->id);
}

/* pidfd: of a process that holds the owner's lock. Whatever pid becomes meanwhile, the signal is for that one. */
static int ask(const struct run_place *place, pid_t pid, int pidfd, struct failure *failure)
{
  if (!expects(pid))
    return run_lock_owner(place) == 0 ? fail_not_live(place, failure) : failure_set(failure, -EBUSY, "run %s is not to be interrupted now: process %d works on it, and supervises no "
                       "program of it; wait for that one, or try again", place->id, (int)pid);
  if (pidfd_send_signal(pidfd, RUN_INTERRUPT_SIGNAL, NULL, 0) < 0)
    return errno == ESRCH ? fail_not_live(place, failure)
                          : failure_set(failure, -errno, "cannot ask process %d, the supervisor of run %s: %s; become the "
                                        "user who began it", (int)pid, place->id, strerror(errno));
  /* A job that a shell has stopped is asked too. */
  pidfd_send_signal(pidfd, SIGCONT, NULL, 0);
  struct pollfd end = {.fd = pidfd, .events = POLLIN};
  while (poll(&end, 1, -1) < 0 && errno == EINTR)
    continue;
  return 0;
}

int run_interrupt(const struct run_place *place, struct failure *failure)
{
  pid_t pid;
  int pidfd = run_lock_owner_open(place, &pid);

  if (pidfd == -ESRCH)
    return fail_not_live(place, failure);
  if (pidfd < 0)
    return failure_set(failure, pidfd, "cannot find the process that supervises run %s: %s; is it just beginning, another "
                       "user's, or in another container?", place->id, strerror(-pidfd));
  int error = ask(place, pid, pidfd, failure);
  close(pidfd);
  return error;
}
