/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that are passed in messages, by a pair and by a socket with a name: they keep number, offset and
 * what is in them. */
#include "must.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

static ssize_t send_fds(int to, const int *fds, int count)
{
  char control[CMSG_SPACE(4 * sizeof(int))];
  struct iovec piece = {"take", 4};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control,
                           .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
  memset(control, 0, sizeof control);
  struct cmsghdr *part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
  memcpy(CMSG_DATA(part), fds, (size_t)count * sizeof(int));
  return sendmsg(to, &message, MSG_NOSIGNAL);
}

static int take_fds(int from, int *fds)
{
  char control[CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))], bytes[8];
  struct iovec piece = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int count = 0;
  ssize_t got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  if (got != 4)
    return -1;
  must(memcmp(bytes, "take", 4) == 0);
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
    if (part->cmsg_type == SCM_RIGHTS) {
      count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      memcpy(fds, CMSG_DATA(part), (size_t)count * sizeof(int));
    } else {
      must(part->cmsg_type == SCM_CREDENTIALS && ((struct ucred *)CMSG_DATA(part))->pid == getpid());
    }
  return count;
}

/* A file that stands in its middle, and a pipe with bytes in it, closed here once they are on their way. */
static void make(const char *name, int fds[2])
{
  int ends[2];
  fds[0] = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  must(fds[0] >= 0 && pipe(ends) == 0);
  put(fds[0], "0123456789");
  must(lseek(fds[0], 4, SEEK_SET) == 4);
  put(ends[1], "in the pipe");
  must(close(ends[1]) == 0);
  fds[1] = ends[0];
}

static void use(const int *fds)
{
  char bytes[16];
  must((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
  must(read(fds[0], bytes, 2) == 2 && memcmp(bytes, "45", 2) == 0);
  must(lseek(fds[0], 0, SEEK_CUR) == 6);
  put(fds[0], "end");
  must(read(fds[1], bytes, 7) == 7 && memcmp(bytes, "in the ", 7) == 0);
  must(read(fds[1], bytes, sizeof bytes) == 4 && read(fds[1], bytes, 1) == 0);
  must(close(fds[0]) == 0 && close(fds[1]) == 0);
}

static void by_pair(void)
{
  int ends[2], sent[2], taken[4], on = 1;
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  must(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  struct ucred peer;
  socklen_t length = sizeof peer;
  must(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid());
  make("one", sent);
  must(send_fds(ends[0], sent, 2) == 4);
  must(close(sent[0]) == 0 && close(sent[1]) == 0);
  must(take_fds(ends[1], taken) == 2);
  use(taken);
  must(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static bool try_by_name(int listener, const struct sockaddr_un *address)
{
  int sent[2], taken[4];
  int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(connect(to, (const struct sockaddr *)address, sizeof *address) == 0);
  int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  make("two", sent);
  bool passed = from >= 0 && send_fds(to, sent, 2) == 4;
  must(close(sent[0]) == 0 && close(sent[1]) == 0);
  passed = passed && take_fds(from, taken) == 2;
  if (passed)
    use(taken);
  must(close(to) == 0);
  must(from < 0 || close(from) == 0);
  return passed;
}

static void by_name(void)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "passing.sock"};
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), tries = 0;
  must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0);
  /* Killed on the way, both ends are broken. */
  while (!try_by_name(listener, &address))
    must(++tries < 5);
  must(close(listener) == 0 && unlink(address.sun_path) == 0);
}

int main(void)
{
  by_pair();
  by_name();
  puts("passing: all came through");
  return 0;
}
