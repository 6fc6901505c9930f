/* SPDX-License-Identifier: Apache-2.0 */
/* The two locks of a run, and ending what an earlier attempt left alive. Harmless at any line: what
 * dies with this process is released by the kernel, and a killed remnant is one that had to go. */
#include "supervisor/run_lock.h"

#include "supervisor/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMNANT_WAIT_MS_MAX 10000
#define REMNANT_BATCH 64

static pid_t read_pid(int fd)
{
  char text[32];
  ssize_t length = pread(fd, text, sizeof text - 1, 0);

  if (length <= 0)
    return -1;
  text[length] = '\0';
  return atoi(text) > 0 ? atoi(text) : -1;
}

pid_t run_lock_owner(const struct run_place *place)
{
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET}; /* would conflict with the owner's */
  char path[PATH_MAX];
  pid_t pid = 0;
  int fd;

  run_place_path(place, "owner", path);
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return 0;
  if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
    pid = read_pid(fd);
  close(fd);
  return pid;
}

static int fail_busy(const struct run_place *place, int fd, struct failure *failure)
{
  pid_t pid = read_pid(fd);

  if (pid > 0)
    return failure_set(failure, -EBUSY, "run %s is live: process %d supervises it; wait for it, or "
                       "end that process first", place->id, (int)pid);
  return failure_set(failure, -EBUSY, "run %s is live: another perdure is just starting it; wait "
                     "for that one", place->id);
}

int run_lock_own(const struct run_place *place, struct run_lock *ret_lock, struct failure *failure)
{
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  char path[PATH_MAX], text[32];
  struct stat status;
  int fd, error, length;

  run_place_path(place, "owner", path);
  for (;;) {
    error = run_place_make(place, failure);
    if (error < 0)
      return error;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == ENOENT)
      continue; /* `perdure rm` took the directory away in between */
    if (fd < 0)
      return failure_set(failure, -errno, "cannot open %s: %s; look at its permissions", path,
                         strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
      error = errno == EAGAIN || errno == EACCES
                ? fail_busy(place, fd, failure)
                : failure_set(failure, -errno, "cannot lock %s: %s; give a directory on a local "
                              "filesystem with --dir or PERDURE_DIR", path, strerror(errno));
      close(fd);
      return error;
    }
    if (fstat(fd, &status) == 0 && status.st_nlink > 0)
      break;
    close(fd); /* locked a file that `perdure rm` has just removed */
  }
  length = sprintf(text, "%d\n", (int)getpid());
  if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length) {
    error = failure_set(failure, -ENOSPC, "cannot write %s: %s; free some space", path,
                        strerror(errno));
    close(fd);
    return error;
  }
  *ret_lock = (struct run_lock){.owner_fd = fd, .tree_fd = -1};
  return 0;
}

static bool holds_file(const char *pid, const struct stat *file)
{
  char path[64];
  struct dirent *found;
  struct stat status;
  bool holds = false;
  DIR *directory;

  snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
  directory = opendir(path);
  if (directory == NULL)
    return false;
  while (!holds && (found = readdir(directory)) != NULL)
    if (isdigit((unsigned char)found->d_name[0]) &&
        fstatat(dirfd(directory), found->d_name, &status, 0) == 0)
      holds = status.st_dev == file->st_dev && status.st_ino == file->st_ino;
  closedir(directory);
  return holds;
}

int run_lock_owner_open(const struct run_place *place, pid_t *ret_pid)
{
  pid_t pid = run_lock_owner(place);
  char path[PATH_MAX], number[24];
  struct stat file;

  if (pid <= 0)
    return pid == 0 ? -ESRCH : -EAGAIN;
  int pidfd = pidfd_open(pid, 0);
  if (pidfd < 0)
    return -errno;
  run_place_path(place, "owner", path);
  snprintf(number, sizeof number, "%d", (int)pid);
  /* Asked again with the pidfd in hand: it is still this one's lock. */
  if (stat(path, &file) == 0 && holds_file(number, &file) && run_lock_owner(place) == pid) {
    *ret_pid = pid;
    return pidfd;
  }
  close(pidfd);
  return run_lock_owner(place) == 0 ? -ESRCH : -EAGAIN;
}

/* Kills one batch of holders; their pidfds go to `ret_pidfds`. */
static unsigned kill_holders(const struct stat *file, struct pollfd *ret_pidfds)
{
  DIR *directory = opendir("/proc");
  struct dirent *found;
  unsigned count = 0;

  while (directory != NULL && count < REMNANT_BATCH && (found = readdir(directory)) != NULL) {
    pid_t pid = (pid_t)atoi(found->d_name);
    int pidfd;

    if (pid <= 0 || pid == getpid() || !holds_file(found->d_name, file))
      continue;
    pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
      continue;
    /* Looked at again with the pidfd in hand: the pid may have become another process's. */
    if (holds_file(found->d_name, file) && pidfd_send_signal(pidfd, SIGKILL, NULL, 0) == 0)
      ret_pidfds[count++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
    else
      close(pidfd);
  }
  if (directory != NULL)
    closedir(directory);
  return count;
}

static void wait_for_all(struct pollfd *pidfds, unsigned count, int64_t deadline_ms)
{
  for (unsigned i = 0; i < count; i++) {
    int64_t left = deadline_ms - clock_ns(CLOCK_MONOTONIC) / 1000000;

    while (left > 0 && poll(&pidfds[i], 1, (int)left) < 0 && errno == EINTR)
      left = deadline_ms - clock_ns(CLOCK_MONOTONIC) / 1000000;
    close(pidfds[i].fd);
  }
}

/* 0 once nobody but this process holds the file; *ret_ended counts those who did. */
static int end_holders(const struct run_place *place, int fd, unsigned *ret_ended,
                       struct failure *failure)
{
  int64_t deadline_ms = clock_ns(CLOCK_MONOTONIC) / 1000000 + REMNANT_WAIT_MS_MAX;
  struct pollfd pidfds[REMNANT_BATCH];
  unsigned count, ended = 0;
  struct stat file;

  if (fstat(fd, &file) < 0)
    return failure_set(failure, -errno, "cannot look at the lock of run %s: %s; try again",
                       place->id, strerror(errno));
  while ((count = kill_holders(&file, pidfds)) > 0) {
    wait_for_all(pidfds, count, deadline_ms);
    ended += count;
    if (clock_ns(CLOCK_MONOTONIC) / 1000000 >= deadline_ms)
      return failure_set(failure, -EBUSY, "processes of an earlier attempt of run %s do not end: "
                         "they were killed and still hold %s/lock; find them with fuser(1)",
                         place->id, place->directory);
  }
  *ret_ended = ended;
  return 0;
}

int run_lock_tree(const struct run_place *place, struct run_lock *lock, unsigned *ret_ended,
                  struct failure *failure)
{
  unsigned ended = 0;
  char path[PATH_MAX];
  int fd, error;

  run_place_path(place, "lock", path);
  fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return failure_set(failure, -errno, "cannot open %s: %s; look at its permissions", path,
                       strerror(errno));
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    error = errno == EWOULDBLOCK ? end_holders(place, fd, &ended, failure) : 0;
    if (error == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
      error = failure_set(failure, -EBUSY, "%s is locked by a process that cannot be found: %s; is "
                          "it another user's, or in another container?", path, strerror(errno));
    if (error < 0) {
      close(fd);
      return error;
    }
  }
  lock->tree_fd = fd;
  *ret_ended = ended;
  return 0;
}

int run_lock_end_tree(const struct run_place *place, const struct run_lock *lock,
                      struct failure *failure)
{
  unsigned ended;

  return end_holders(place, lock->tree_fd, &ended, failure);
}

void run_lock_release(struct run_lock *lock)
{
  if (lock->tree_fd >= 0)
    close(lock->tree_fd);
  if (lock->owner_fd >= 0)
    close(lock->owner_fd);
  *lock = (struct run_lock){.owner_fd = -1, .tree_fd = -1};
}
