/* SPDX-License-Identifier: Apache-2.0 */
/* Killed at any line, the sets are gone, and the next attempt makes them again. */
#include "shim/epoll_sets.h"

#include "shim/descriptors.h"
#include "shim/readiness.h"

#include <sys/epoll.h>

#define MEMBERS_MAX 4096

/* A socket in a set. */
struct member {
  int32_t set, fd;
  uint32_t events; /* 0: one shot, which was told */
  uint64_t data;
};

LARGE_TABLE static struct member members[MEMBERS_MAX];
static unsigned member_count;

/* As the kernel takes it: packed. */
struct event {
  uint32_t events;
  uint32_t data[2];
};

static uint64_t data_of(const struct event *event)
{
  return (uint64_t)event->data[1] << 32 | event->data[0];
}

static struct member *find(int set, int fd)
{
  for (unsigned i = 0; i < member_count; i++)
    if (members[i].set == set && members[i].fd == fd)
      return &members[i];
  return NULL;
}

static void add(const struct member *member)
{
  if (member_count == MEMBERS_MAX)
    engine_failed(TAIL_REPORT_FAILED, "more sockets are in epoll sets than can be replayed", "", MEMBERS_MAX);
  members[member_count++] = *member;
}

void epoll_sets_forget(int fd)
{
  for (unsigned i = 0; i < member_count;)
    if (members[i].fd == fd || members[i].set == fd)
      members[i] = members[--member_count];
    else
      i++;
}

static bool is_set(int fd)
{
  for (unsigned i = 0; i < member_count; i++)
    if (members[i].set == fd)
      return true;
  return false;
}

/* Members are known here by the set's number: where it gets another one, the kernel keeps them, as what
 * stands for them. */
void epoll_sets_before_copy(int fd)
{
  if (is_set(fd))
    epoll_sets_complete();
}

void epoll_sets_complete(void)
{
  for (unsigned i = 0; i < member_count; i++) {
    const struct member *member = &members[i];
    /* What has been told is over but for errors, which no set leaves out. */
    struct event event = {member->events ? member->events : EPOLLONESHOT, {(uint32_t)member->data, (uint32_t)(member->data >> 32)}};
    raw_syscall4(SYS_epoll_ctl, (uint64_t)member->set, EPOLL_CTL_ADD, (uint64_t)member->fd, (uint64_t)&event);
  }
  member_count = 0;
}

/* ---- replay of the calls ---- */

/* True: it is not for the kernel to do. */
static bool change_member(const struct call *call)
{
  int set = (int)call->args[0], fd = (int)call->args[2];
  const struct event *event = (const struct event *)call->args[3];
  struct member *member = find(set, fd);
  switch (call->args[1]) {
  case EPOLL_CTL_ADD:
    if (descriptor_get(fd)->kind != DESCRIPTOR_SOCKET)
      return false;
    add(&(struct member){set, fd, event->events, data_of(event)});
    return true;
  case EPOLL_CTL_MOD:
    if (member) {
      member->events = event->events;
      member->data = data_of(event);
    }
    return member;
  case EPOLL_CTL_DEL:
    if (member)
      *member = members[--member_count];
    return member;
  }
  return false;
}

int64_t handle_epoll_ctl(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return local_again(call);
  int64_t result = entry->result;
  if (result == 0 && !change_member(call)) {
    int64_t made = call_run(call);
    if (made != result)
      engine_failed(TAIL_REPORT_FAILED, "a descriptor cannot be put into a set again: ", "epoll_ctl", made);
  }
  replay_advance(entry);
  return result;
}

/* An event that is told once (edge triggered, one shot) was told then: the set has to know. */
static void told(const struct call *call, const struct journal_entry *entry)
{
  int set = (int)call->args[0];
  const struct event *events = (const struct event *)call->args[1];
  for (unsigned i = 0; i < member_count; i++)
    for (int64_t j = 0; members[i].set == set && j < entry->result; j++) {
      if (data_of(&events[j]) != members[i].data)
        continue;
      if (events[j].events & EPOLLIN)
        readiness_told(members[i].fd);
      if (members[i].events & EPOLLONESHOT)
        members[i].events = 0;
    }
}

int64_t handle_epoll_wait(struct call *call)
{
  call_sign(call);
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (!entry)
    return observe(call);
  if (entry->result > 0)
    raw_syscall4(SYS_epoll_wait, call->args[0], call->args[1], (uint64_t)entry->result, 0);
  int64_t result = replay_deliver(call, entry);
  if (result > 0 && member_count)
    told(call, entry);
  replay_advance(entry);
  return result;
}
