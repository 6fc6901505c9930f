/* SPDX-License-Identifier: Apache-2.0 */
/* More open files than fit a small table, some on two numbers, some closed by an exec, each with its own
 * place in it. */
#include "must.h"

#include <fcntl.h>

#define FILES 90

static int fds[FILES], copies[FILES];

int main(int argc, char **argv)
{
  char name[32], line[32];
  int small = open("small", O_RDONLY);
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "file-%02d", i);
    fds[i] = open(name, O_RDWR | O_CREAT | (i % 3 ? 0 : O_APPEND) | (i % 5 ? 0 : O_CLOEXEC), 0600);
    must(fds[i] >= 0);
    if (i % 4 == 0)
      copies[i] = fcntl(fds[i], i % 8 ? F_DUPFD : F_DUPFD_CLOEXEC, 200);
  }
  for (int i = 0; i < FILES; i++) {
    snprintf(line, sizeof line, "first line of %d\n", i);
    put(fds[i], line);
    if (i % 10 == 0)
      must(lseek(fds[i], 6, SEEK_SET) == 6);
    if (i % 9 == 0) {
      snprintf(name, sizeof name, "file-%02d", i);
      must(unlink(name) == 0);
    }
  }
  for (int i = FILES - 1; i >= 0; i--) {
    snprintf(line, sizeof line, "LINE %d\n", i);
    put(copies[i] ? copies[i] : fds[i], line);
    must(fcntl(fds[i], F_GETFD) == (i % 5 ? 0 : FD_CLOEXEC));
    must((fcntl(fds[i], F_GETFL) & O_APPEND) == (i % 3 ? 0 : O_APPEND));
  }
  long total = 0;
  for (int i = 0; i < FILES; i++) {
    off_t place = lseek(fds[i], 0, SEEK_CUR);
    must(!copies[i] || lseek(copies[i], 0, SEEK_CUR) == place);
    total += place;
    must(close(fds[i]) == 0);
  }
  must(read(small, line, 4) == 4);
  printf("many files: %ld\n", total);
  return 0;
}
