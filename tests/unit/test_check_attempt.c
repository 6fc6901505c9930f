/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/check_attempt.h"

#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static struct failure failure;
static struct check_end end;

/* Runs a shell script in the scratch directory. */
static int run_shell(const char *script, const char *stdout_path, unsigned timeout_s)
{
  char *const argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
  struct check_attempt attempt = {
    .program = "/bin/sh", .argv = argv, .environment = environ, .directory = scratch_directory,
    .stdin_path = scratch_path("input"), .stdin_offset = 4, .stdout_path = stdout_path,
    .timeout_s = timeout_s,
  };

  check_end_release(&end);
  return check_attempt_run(&attempt, &end, &failure);
}

static bool printed(const struct check_bytes *bytes, const char *text)
{
  return bytes->length == strlen(text) && memcmp(bytes->bytes, text, bytes->length) == 0;
}

/* The process whose pid the script wrote there is gone. */
static bool is_gone(const char *name)
{
  FILE *file = fopen(scratch_path(name), "re");
  int pid = 0, count = file != NULL ? fscanf(file, "%d", &pid) : 0;

  if (file != NULL)
    fclose(file);
  return count == 1 && kill(pid, 0) < 0 && errno == ESRCH;
}

static void test_ends(void)
{
  int error = run_shell("echo out; echo err >&2; exit 7", NULL, 60);

  tap_ok(error == 0 && end.ending == CHECK_ENDED && end.status == 7,
         "a command's exit status is known");
  tap_ok(printed(&end.out, "out\n") && printed(&end.err, "err\n"), "what it prints is taken");
  error = run_shell("cat; pwd", NULL, 60);
  tap_ok(error == 0 && strncmp(end.out.bytes, "input\n", 6) == 0 &&
             strstr(end.out.bytes, "perdure-test-") != NULL,
         "it has its standard input from where it is to start, and its directory");
  run_shell("echo first", scratch_path("log"), 60);
  error = run_shell("echo second; cat log", scratch_path("log"), 60);
  tap_ok(error == 0 && end.out.length == 0, "a file as standard output is no pipe");
  error = run_shell("cat log", NULL, 60);
  tap_ok(error == 0 && strncmp(end.out.bytes, "first\nsecond\n", 13) == 0, "it is appended to");
  error = run_shell("head -c 1000000 /dev/zero", NULL, 60);
  tap_ok(error == 0 && end.out.length == 1000000, "more than a pipe holds is taken");
  error = run_shell("(echo slow > go; echo late) & exit 3", NULL, 60);
  tap_ok(error == 0 && end.ending == CHECK_ENDED && end.status == 3 && printed(&end.out, "late\n"),
         "what a command leaves in the background is waited for");
}

static void test_killed(void)
{
  int error;

  error = run_shell(
      "sleep 1000 & echo $! > a; setsid sh -c 'echo $$ > b; echo up > fifo; sleep 1000' & "
      "read up < fifo; kill -9 $$",
      NULL, 60);
  tap_ok(error == 0 && end.ending == CHECK_KILLED && end.status == SIGKILL,
         "a killed command's signal is known");
  tap_ok(is_gone("a") && is_gone("b"),
         "what it had started is gone too, also what has left its session");
  error = run_shell("echo $$ > a; sleep 1000", NULL, 1);
  tap_ok(error == 0 && end.ending == CHECK_HUNG && is_gone("a"), "a command that hangs is ended");
  error = run_shell("sleep 1000 & echo $! > a; exit 0", NULL, 1);
  tap_ok(error == 0 && end.ending == CHECK_HUNG && is_gone("a"),
         "so is one that leaves something that hangs");
  /* The signal is blocked and comes to this process's descriptor for signals. */
  raise(SIGTERM);
  error = run_shell("echo $$ > a; sleep 1000", NULL, 60);
  tap_ok(error == -EINTR, "a signal that asks to end ends it");
  error = run_shell("kill -TERM $$; exit 0", NULL, 60);
  tap_ok(error == 0 && end.ending == CHECK_KILLED && end.status == SIGTERM,
         "a command has no signals blocked");
}

static void test_no_start(void)
{
  char *const argv[] = {(char *)"no-such-command", NULL};
  struct check_attempt attempt = {
    .program = argv[0], .argv = argv, .environment = environ, .directory = scratch_directory,
    .stdin_path = "/dev/null", .timeout_s = 60,
  };
  int error;

  check_end_release(&end);
  error = check_attempt_run(&attempt, &end, &failure);
  tap_ok(error == 0 && end.ending == CHECK_NO_START && end.status == ENOENT,
         "a missing command is known");
}

int main(void)
{
  int fd, error;

  scratch_create();
  error = check_attempt_prepare(&failure);
  fd = open(scratch_path("input"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert(error == 0 && fd >= 0 && mkfifo(scratch_path("fifo"), 0600) == 0);
  error = write(fd, "not input\n", 10) == 10 ? 0 : -1;
  assert(error == 0);
  close(fd);
  test_ends();
  test_killed();
  test_no_start();
  check_end_release(&end);
  scratch_remove();
  return tap_done();
}
