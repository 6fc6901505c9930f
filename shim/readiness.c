/* SPDX-License-Identifier: Apache-2.0 */
/* Killed at any line, the next attempt is told again. */
#include "shim/readiness.h"

#include "shim/descriptors.h"
#include "shim/sockets.h"

#include <fcntl.h>
#include <poll.h>

#define NUMBERS 4096

static _Atomic uint64_t told[NUMBERS / 64]; /* a bit for each number */
static _Atomic uint32_t any_lost;

static uint64_t bit(int fd)
{
  return 1ull << (fd & 63);
}

static bool in_range(int fd)
{
  return fd >= 0 && fd < NUMBERS;
}

/* What comes by it is made again by the run itself. */
static bool is_channel(int fd)
{
  return descriptor_get(fd)->kind == DESCRIPTOR_PIPE || descriptor_get(fd)->kind == DESCRIPTOR_PAIR;
}

void readiness_told(int fd)
{
  if (in_range(fd) && (descriptor_get(fd)->kind == DESCRIPTOR_SOCKET || is_channel(fd)))
    atomic_fetch_or(&told[fd / 64], bit(fd));
}

void readiness_used(int fd)
{
  if (in_range(fd))
    atomic_fetch_and(&told[fd / 64], ~bit(fd));
}

/* A stream that is broken tells so, and nobody waits where the program asked not to. */
static bool would_wait(int fd)
{
  return descriptor_get(fd)->kind == DESCRIPTOR_SOCKET && !(descriptor_get(fd)->flags & DESCRIPTOR_KERNEL) &&
         (!socket_is_stream(fd) || socket_number(fd, SO_ACCEPTCONN) == 1) &&
         !(raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL) & O_NONBLOCK);
}

void readiness_go_live(void)
{
  uint32_t lost = 0;
  for (int fd = 0; fd < NUMBERS; fd++)
    if (atomic_load(&told[fd / 64]) & bit(fd)) {
      if (would_wait(fd))
        lost = 1;
      else if (!is_channel(fd))
        readiness_used(fd);
    }
  atomic_store(&any_lost, lost);
}

bool readiness_lost(int fd)
{
  struct pollfd poll = {.fd = fd, .events = POLLIN};
  if (!atomic_load_explicit(&any_lost, memory_order_relaxed) || !in_range(fd))
    return false;
  bool was_told = atomic_fetch_and(&told[fd / 64], ~bit(fd)) & bit(fd);
  return was_told && raw_syscall3(SYS_poll, (uint64_t)&poll, 1, 0) == 0;
}

bool readiness_owed(int fd)
{
  return in_range(fd) && is_channel(fd) && atomic_fetch_and(&told[fd / 64], ~bit(fd)) & bit(fd);
}
