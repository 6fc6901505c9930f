/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes and a socket pair: the reader takes a byte of what has been written and, without waiting, the
 * rest, which was written with it. A crash may have cut the write off behind the read of its first byte. */
#include "must.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ROUNDS 6

static void answer(int fd)
{
  char word[2] = "ab";
  for (int i = 0; i < ROUNDS; i++) {
    char asked;
    must(read(fd, &asked, 1) == 1);
    must(write(fd, word, sizeof word) == sizeof word);
  }
}

static void ask(int fd, int out)
{
  for (int i = 0; i < ROUNDS; i++) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char byte;
    must(write(fd, "?", 1) == 1);
    must(poll(&poll_fd, 1, -1) == 1);
    for (const char *expected = "ab"; *expected; expected++) {
      must(read(fd, &byte, 1) == 1 && byte == *expected);
      must(write(out, &byte, 1) == 1);
    }
  }
}

int main(void)
{
  int ends[2], out = open("answers", O_WRONLY | O_CREAT | O_APPEND, 0600);
  must(out >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  pid_t child = fork();
  must(child >= 0);
  if (child == 0) {
    close(ends[0]);
    answer(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  must(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  ask(ends[0], out);
  int status;
  must(waitpid(child, &status, 0) == child && status == 0);
  return 0;
}
