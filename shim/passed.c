/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors in messages. Between two ends of a pair the kernel passes them in replay too. By a socket with a
 * name nothing is sent in replay: what is sent is held here, until a message of the same process has it.
 *
 * Killed at any line, the next attempt holds its own. */
#include "shim/descriptors.h"
#include "shim/identity.h"
#include "shim/messages.h"
#include "shim/sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define HELD_MAX 64
/* Held above what programs use. */
#define HELD_FIRST 700

struct held {
  uint64_t device, inode;
  int32_t fd; /* 0: none */
};

LARGE_TABLE static struct held held[HELD_MAX];
static unsigned held_next;

unsigned passed_list(const void *control, uint64_t length, int fds[PASSED_MAX])
{
  unsigned count = 0;
  for (uint64_t at = 0; control && at + sizeof(struct cmsghdr) <= length;) {
    const struct cmsghdr *part = (const struct cmsghdr *)((const uint8_t *)control + at);
    if (part->cmsg_len < sizeof *part || part->cmsg_len > length - at)
      break;
    uint64_t numbers = (part->cmsg_len - sizeof *part) / sizeof(int);
    for (uint64_t i = 0; part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS && i < numbers; i++)
      if (count < PASSED_MAX)
        fds[count++] = ((const int *)(part + 1))[i];
    at += (part->cmsg_len + 7) & ~7ull;
  }
  return count;
}

void passed_translate(void *control, uint64_t length, bool real)
{
  for (uint64_t at = 0; control && at + sizeof(struct cmsghdr) + sizeof(int32_t) <= length;) {
    struct cmsghdr *part = (struct cmsghdr *)((uint8_t *)control + at);
    int32_t *pid = (int32_t *)(part + 1);
    if (part->cmsg_len < sizeof *part || part->cmsg_len > length - at)
      return;
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS)
      *pid = (int32_t)(real ? identity_real(*pid) : identity_seen(*pid));
    at += (part->cmsg_len + 7) & ~7ull;
  }
}

void passed_add(struct draft *draft, const int *fds, unsigned count, struct journal_descriptor rows[DESCRIBED_MAX])
{
  for (unsigned i = 0; i < count && i < DESCRIBED_MAX; i++) {
    rows[i] = (struct journal_descriptor){.fd = fds[i]};
    rows[i].fd_flags = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fds[i], F_GETFD);
    rows[i].flags = (uint32_t)raw_syscall2(SYS_fcntl, (uint64_t)fds[i], F_GETFL);
    file_look(fds[i], "", AT_EMPTY_PATH, &rows[i].file);
    draft_add(draft, SEGMENT_DESCRIPTOR, i, &rows[i], sizeof rows[i]);
  }
}

static const struct journal_descriptor *row_of(const struct journal_entry *entry, unsigned i)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_DESCRIPTOR, (int)i);
  return segment ? (const struct journal_descriptor *)segment->data : NULL;
}

void passed_hold(const int *fds, unsigned count, const struct journal_entry *intent)
{
  const struct journal_descriptor *row;
  for (unsigned i = 0; i < count && (row = row_of(intent, i)); i++) {
    struct held *place = &held[held_next++ % HELD_MAX];
    if (place->fd)
      raw_syscall1(SYS_close, (uint64_t)place->fd);
    int64_t fd = raw_syscall3(SYS_fcntl, (uint64_t)fds[i], F_DUPFD_CLOEXEC, HELD_FIRST);
    *place = (struct held){row->file.device, row->file.inode, fd < 0 ? 0 : (int32_t)fd};
  }
}

/* Nobody is at its other end. */
static int64_t make_closed(const struct journal_file *file)
{
  int ends[2];
  if (S_ISSOCK(file->mode)) {
    int64_t fd = raw_syscall3(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    const struct socket_state state = {.flags = SOCKET_STREAM_OPEN};
    socket_state_put((int)fd, &state);
    return fd;
  }
  if (raw_syscall2(SYS_pipe2, (uint64_t)ends, 0) != 0)
    return -1;
  raw_syscall1(SYS_close, (uint64_t)ends[1]);
  return ends[0];
}

static int64_t take(const struct journal_descriptor *row)
{
  for (unsigned i = 0; i < HELD_MAX; i++)
    if (held[i].fd && held[i].inode == row->file.inode && held[i].device == row->file.device)
      return raw_syscall3(SYS_fcntl, (uint64_t)held[i].fd, F_DUPFD, 0);
  return make_closed(&row->file);
}

void passed_give(const struct journal_entry *entry)
{
  const struct journal_descriptor *row;
  int made[DESCRIBED_MAX], wanted[DESCRIBED_MAX];
  unsigned count = 0;
  for (; count < DESCRIBED_MAX && (row = row_of(entry, count)); count++) {
    made[count] = (int)take(row);
    wanted[count] = row->fd;
    raw_syscall3(SYS_fcntl, (uint64_t)made[count], F_SETFD, row->fd_flags & FD_CLOEXEC);
  }
  passed_place(made, wanted, count);
}

/* Where one has another number, all go out of the way first. */
void passed_place(int *made, const int *wanted, unsigned count)
{
  int above = 0;
  bool same = true;
  for (unsigned i = 0; i < count; i++) {
    same = same && made[i] == wanted[i];
    above = wanted[i] >= above ? wanted[i] + 1 : above;
  }
  for (unsigned i = 0; !same && i < count; i++) {
    uint64_t flags = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)made[i], F_GETFD);
    int64_t away = raw_syscall3(SYS_fcntl, (uint64_t)made[i], flags & FD_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD,
                                (uint64_t)above);
    raw_syscall1(SYS_close, (uint64_t)made[i]);
    made[i] = (int)away;
  }
  for (unsigned i = 0; i < count; i++) {
    descriptor_place(made[i], wanted[i], "a message");
    descriptor_forget(wanted[i]);
  }
}

void passed_go_live(void)
{
  for (unsigned i = 0; i < HELD_MAX; i++) {
    if (held[i].fd)
      raw_syscall1(SYS_close, (uint64_t)held[i].fd);
    held[i].fd = 0;
  }
}
