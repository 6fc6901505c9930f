/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for news of a live run: its store's write-ahead log grows with each commit of the drain; its
 * supervisor ends. Writes nothing. */
#include "supervisor/run_lock.h"
#include "supervisor/run_read.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <unistd.h>

int run_watch_open(const struct run_place *place, struct run_watch *ret_watch, struct failure *failure)
{
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

  if (fd < 0 || inotify_add_watch(fd, place->directory, IN_MODIFY | IN_DELETE | IN_MOVED_TO) < 0) {
    int error = failure_set(failure, -errno, "cannot watch %s: %s; allow more with `sysctl "
                            "fs.inotify`", place->directory, strerror(errno));

    if (fd >= 0)
      close(fd);
    return error;
  }
  *ret_watch = (struct run_watch){.events_fd = fd, .place = *place};
  return 0;
}

int run_watch_wait(struct run_watch *watch, bool *ret_live, struct failure *failure)
{
  pid_t pid = run_lock_owner(&watch->place);
  struct pollfd wait[2] = {{.fd = watch->events_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
  char events[4096];
  int error = 0;

  *ret_live = pid != 0;
  if (pid == 0)
    return 0;
  /* Its end, however it comes; gone already: the next look finds no owner. */
  wait[1].fd = pid > 0 ? pidfd_open(pid, 0) : -1;
  if (pid > 0 && wait[1].fd < 0 && errno == ESRCH)
    return 0;
  if (poll(wait, 2, -1) < 0 && errno != EINTR)
    error = failure_set(failure, -errno, "cannot watch %s: %s; try again", watch->place.directory,
                        strerror(errno));
  if (wait[1].fd >= 0)
    close(wait[1].fd);
  while (read(watch->events_fd, events, sizeof events) > 0)
    continue;
  return error;
}

void run_watch_close(struct run_watch *watch)
{
  close(watch->events_fd);
  watch->events_fd = -1;
}
