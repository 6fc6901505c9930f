/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of all three kinds are held whenever they were held: a second description of the same file asks. */
#include "must.h"

#include <fcntl.h>
#include <sys/file.h>

static struct flock range(short type, off_t start, off_t length)
{
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

/* What a new description sees of bytes [start, start + length). */
static short seen(const char *name, off_t start, off_t length)
{
  int fd = open(name, O_RDWR);
  must(fd >= 0);
  struct flock lock = range(F_WRLCK, start, length);
  must(fcntl(fd, F_OFD_GETLK, &lock) == 0);
  must(close(fd) == 0);
  return lock.l_type;
}

static void open_file_descriptions(void)
{
  int fd = open("ofd", O_RDWR | O_CREAT, 0600);
  struct flock lock = range(F_WRLCK, 10, 20);
  must(fcntl(fd, F_OFD_SETLK, &lock) == 0);
  must(seen("ofd", 10, 1) == F_WRLCK && seen("ofd", 29, 1) == F_WRLCK && seen("ofd", 30, 0) == F_UNLCK);
  lock = range(F_RDLCK, 100, 0);
  must(fcntl(fd, F_OFD_SETLKW, &lock) == 0);
  must(seen("ofd", 1000, 1) == F_RDLCK);
  int other = open("ofd", O_RDWR);
  lock = range(F_WRLCK, 15, 1);
  must(fcntl(other, F_OFD_SETLK, &lock) < 0 && errno == EAGAIN);
  lock = range(F_UNLCK, 15, 5);
  must(fcntl(fd, F_OFD_SETLK, &lock) == 0);
  must(seen("ofd", 15, 5) == F_UNLCK && seen("ofd", 14, 1) == F_WRLCK && seen("ofd", 20, 1) == F_WRLCK);
  lock = range(F_WRLCK, 15, 1);
  must(fcntl(other, F_OFD_SETLK, &lock) == 0);
  put(fd, "held\n");
  must(close(fd) == 0);
  must(seen("ofd", 10, 1) == F_UNLCK && seen("ofd", 15, 1) == F_WRLCK);
}

/* Closing any descriptor of the file gives up the process's locks, so the one that asks stays open. */
static void process(void)
{
  int fd = open("posix", O_RDWR | O_CREAT, 0600);
  int asks = open("posix", O_RDWR);
  struct flock lock = range(F_WRLCK, 0, 8);
  must(fcntl(fd, F_SETLK, &lock) == 0);
  for (int i = 0; i < 3; i++) {
    put(fd, "line\n");
    lock = range(F_WRLCK, 7, 1);
    must(fcntl(asks, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == getpid());
  }
  lock = range(F_WRLCK, 8, 1);
  must(fcntl(asks, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
  must(lockf(fd, F_LOCK, 4) == 0);
  lock = range(F_WRLCK, 16, 1);
  must(fcntl(asks, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK);
  int third = open("posix", O_RDONLY);
  must(close(third) == 0);
  lock = range(F_WRLCK, 7, 1);
  must(fcntl(asks, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
}

static void whole_file(void)
{
  int fd = open("whole", O_RDONLY | O_CREAT, 0600);
  int other = open("whole", O_RDONLY);
  must(flock(fd, LOCK_EX) == 0);
  int copy = dup(fd);
  for (int i = 0; i < 3; i++)
    must(flock(other, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
  must(close(fd) == 0);
  must(flock(other, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
  must(flock(copy, LOCK_SH) == 0);
  must(flock(other, LOCK_SH | LOCK_NB) == 0);
  must(flock(copy, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
  must(flock(other, LOCK_UN) == 0 && close(copy) == 0);
  must(flock(other, LOCK_EX | LOCK_NB) == 0);
}

int main(void)
{
  open_file_descriptions();
  process();
  whole_file();
  int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  put(fd, "done\n");
  puts("locks: held");
  return 0;
}
