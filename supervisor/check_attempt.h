/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one command to its end, with all that it starts, and takes what it prints. */
#ifndef PERDURE_SUPERVISOR_CHECK_ATTEMPT_H
#define PERDURE_SUPERVISOR_CHECK_ATTEMPT_H

#include "supervisor/check_outcome.h"

#include <signal.h>

/* What a command may print to a pipe. */
#define CHECK_OUTPUT_BYTES_MAX (256u << 20)

struct check_attempt {
  const char *program;      /* path, or a name that is looked for in PATH, from `directory` */
  char *const *argv, *const *environment;
  const char *directory;    /* working directory */
  const char *stdin_path;   /* opened anew for each attempt */
  off_t stdin_offset;
  const char *stdout_path;  /* appended to, made if missing; NULL: a new pipe */
  unsigned timeout_s;
};

enum check_ending {
  CHECK_ENDED,     /* by itself */
  CHECK_KILLED,    /* by a signal */
  CHECK_HUNG,      /* it, or what it had started, was still there after the timeout */
  CHECK_NO_START,  /* it could not be executed */
};

struct check_end {
  enum check_ending ending;
  int status;             /* exit status, signal, or errno */
  struct check_bytes out; /* of the pipe */
  struct check_bytes err;
};
void check_end_release(struct check_end *end);

/* What running commands needs in this process: call it once, before the first. It becomes the
 * reaper of orphans, and SIGCHLD and the signals that ask to end are blocked. */
int check_attempt_prepare(struct failure *failure);

/* When it returns, nothing that the command started is alive: after its own end by itself it is
 * waited for until the timeout, after being killed it is killed too. This process has no other
 * children. -EINTR: SIGINT, SIGTERM or SIGHUP came; the command was ended, and the outputs are
 * untouched. */
int check_attempt_run(const struct check_attempt *attempt, struct check_end *ret_end,
                      struct failure *failure);

#endif
