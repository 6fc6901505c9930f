/* SPDX-License-Identifier: Apache-2.0 */
/* What it was started with: lines of stdin are copied to stdout and counted on stderr, whatever the three
 * are; stdin is read in pieces, so that a crash finds it half consumed. */
#include "must.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

int main(void)
{
  char bytes[7];
  int log = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  must(log > 2 || fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0 || log <= 2);
  ssize_t size;
  long total = 0;
  while ((size = read(0, bytes, sizeof bytes)) > 0) {
    total += size;
    must(write(log, bytes, (size_t)size) == size);
    if (write(1, bytes, (size_t)size) < 0)
      must(errno == EBADF);
  }
  if (size < 0)
    must(errno == EBADF);
  struct iovec pieces[] = {{"two ", 4}, {"pieces\n", 7}};
  if (writev(1, pieces, 2) < 0)
    must(errno == EBADF);
  dprintf(2, "%ld bytes\n", total);
  int copy = dup(1);
  if (copy >= 0) {
    must(dprintf(copy, "by a copy\n") == 10);
    must(close(copy) == 0);
  }
  printf("by stdio %ld\n", total);
  if (fflush(stdout) != 0)
    must(errno == EBADF);
  dprintf(log, "%ld bytes\n", total);
  return total == 0 ? 3 : 0;
}
