/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change the machine for everybody. They are made so that they change nothing here: with what is so
 * already, or with what the kernel refuses. */
#include "must.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>

static int out;

static void clocks(void)
{
  struct timex about = {.modes = 0};
  must(syscall(SYS_adjtimex, &about) >= 0 && about.tick > 0);
  put(out, "adjtimex\n");
  about = (struct timex){.modes = 0};
  must(clock_adjtime(CLOCK_REALTIME, &about) >= 0 && about.tick > 0);
  must(syscall(SYS_settimeofday, &(struct timeval){0, -1}, NULL) < 0 && (errno == EINVAL || errno == EPERM));
  must(clock_settime(CLOCK_MONOTONIC, &(struct timespec){0, 0}) < 0 && (errno == EINVAL || errno == EPERM));
  put(out, "clocks\n");
}

static void names(void)
{
  struct utsname name;
  char too_long[128] = "";
  must(uname(&name) == 0);
  must(sethostname(name.nodename, strlen(name.nodename)) == 0 || errno == EPERM);
  must(setdomainname(name.domainname, strlen(name.domainname)) == 0 || errno == EPERM);
  must(sethostname(too_long, sizeof too_long) < 0 && (errno == EINVAL || errno == EPERM));
  put(out, "names\n");
}

static void disks(void)
{
  must(acct("nothing") < 0);
  must(swapon("nothing", 0) < 0 && swapoff("nothing") < 0);
  must(mount("none", "nothing", "tmpfs", 0, NULL) < 0 && umount2("nothing", 0) < 0);
  put(out, "disks\n");
}

int main(void)
{
  out = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0);
  clocks();
  names();
  disks();
  /* It would hang up the terminal of whoever runs this. */
  if (open("/dev/tty", O_RDWR | O_NOCTTY) < 0)
    must(vhangup() == 0 || errno == EPERM);
  puts("administration: nothing has changed");
  return 0;
}
