/* SPDX-License-Identifier: Apache-2.0 */
/* mix FILE N: N calls that each make one entry: the clock, a file's state, 64 bytes of it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE 4096
#define PIECE_SIZE 64

static int make_call(int fd, long i)
{
  char piece[PIECE_SIZE];
  struct timespec now;
  struct stat status;

  switch (i % 3) {
  case 0:
    return clock_gettime(CLOCK_REALTIME, &now);
  case 1:
    return fstat(fd, &status);
  default:
    return pread(fd, piece, sizeof piece, i % (FILE_SIZE / PIECE_SIZE) * PIECE_SIZE) == PIECE_SIZE ? 0 : -1;
  }
}

int main(int argc, char **argv)
{
  if (argc != 3)
    return 2;
  long count = atol(argv[2]);
  static const char content[FILE_SIZE] = "bytes to read";
  int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  if (fd < 0 || write(fd, content, sizeof content) != sizeof content) {
    perror(argv[1]);
    return 1;
  }
  for (long i = 0; i < count; i++)
    if (make_call(fd, i) != 0) {
      perror(argv[1]);
      return 1;
    }
  return 0;
}
