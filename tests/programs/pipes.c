/* SPDX-License-Identifier: Apache-2.0 */
/* What lies unread in pipes, socket pairs and event counters of the process is there after a crash. */
#include "must.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void must_read(int fd, const char *text)
{
  char bytes[256];
  must(read(fd, bytes, strlen(text)) == (ssize_t)strlen(text));
  must(memcmp(bytes, text, strlen(text)) == 0);
}

static int waiting(int fd)
{
  int count = -1;
  must(ioctl(fd, FIONREAD, &count) == 0);
  return count;
}

static void pipes(void)
{
  int ends[2], more[2];
  must(pipe(ends) == 0 && pipe2(more, O_NONBLOCK | O_CLOEXEC) == 0);
  put(ends[1], "one two three");
  must_read(ends[0], "one ");
  put(ends[1], " four");
  must(waiting(ends[0]) == 14);
  char byte;
  must(read(more[0], &byte, 1) < 0 && errno == EAGAIN);
  must(fcntl(more[1], F_SETPIPE_SZ, 4096) == 4096);
  char page[4096];
  memset(page, 'p', sizeof page);
  must(write(more[1], page, sizeof page) == sizeof page);
  must(write(more[1], page, 1) < 0 && errno == EAGAIN);
  must(read(more[0], page, 1000) == 1000);
  must(waiting(more[0]) == 3096);
  must(read(more[0], page, sizeof page) == 3096);
  int copy = dup(ends[1]);
  must(close(ends[1]) == 0);
  must_read(ends[0], "two three");
  struct iovec pieces[] = {{"fi", 2}, {"ve", 2}};
  must(writev(copy, pieces, 2) == 4);
  must(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  must_read(ends[0], " fourfive");
  must(read(ends[0], &byte, 1) < 0 && errno == EAGAIN);
  put(copy, "end");
  must(close(copy) == 0);
  must_read(ends[0], "end");
  must(read(ends[0], &byte, 1) == 0);
  must(fcntl(more[1], F_GETPIPE_SZ) == 4096);
}

static void pairs(int type)
{
  int ends[2];
  must(socketpair(AF_UNIX, type, 0, ends) == 0);
  put(ends[0], "request");
  must(send(ends[0], " more", 5, 0) == 5);
  put(ends[1], "answer");
  must_read(ends[1], "request");
  must_read(ends[1], " more");
  char bytes[16];
  must(recv(ends[0], bytes, 6, MSG_PEEK) == 6 && memcmp(bytes, "answer", 6) == 0);
  must(recv(ends[0], bytes, sizeof bytes, 0) == 6);
  must(recv(ends[0], bytes, sizeof bytes, MSG_DONTWAIT) < 0 && errno == EAGAIN);
  struct iovec piece = {"message", 7}, room = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1}, got = {.msg_iov = &room, .msg_iovlen = 1};
  must(sendmsg(ends[0], &message, 0) == 7);
  must(recvmsg(ends[1], &got, 0) == 7 && memcmp(bytes, "message", 7) == 0);
  must(shutdown(ends[0], SHUT_WR) == 0);
  must(type != SOCK_STREAM || read(ends[1], bytes, 1) == 0);
  put(ends[1], "late");
  must(close(ends[1]) == 0);
  must_read(ends[0], "late");
}

static void counters(void)
{
  int counter = eventfd(3, EFD_NONBLOCK), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  uint64_t value = 4;
  must(write(counter, &value, 8) == 8);
  must(read(counter, &value, 8) == 8 && value == 7);
  must(read(counter, &value, 8) < 0 && errno == EAGAIN);
  must(eventfd_write(counter, 5) == 0);
  must(read(semaphore, &value, 8) == 8 && value == 1);
  struct pollfd ready[] = {{counter, POLLIN, 0}, {semaphore, POLLIN, 0}};
  must(poll(ready, 2, 0) == 2);
  must(read(semaphore, &value, 8) == 8 && value == 1);
  must(read(semaphore, &value, 8) < 0 && errno == EAGAIN);
  must(read(counter, &value, 8) == 8 && value == 5);
}

int main(void)
{
  pipes();
  pairs(SOCK_STREAM);
  pairs(SOCK_SEQPACKET);
  counters();
  int fd = open("log", O_WRONLY | O_CREAT, 0600);
  put(fd, "done\n");
  puts("pipes: nothing lost");
  return 0;
}
