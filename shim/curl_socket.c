/* SPDX-License-Identifier: Apache-2.0 */
/* The socket and timer callbacks of a multi handle, and stand-ins for the descriptors that they tell of.
 *
 * A stand-in is an event counter that is always ready. The program puts it into its epoll set by the number
 * that libcurl's socket had; libcurl's sockets have other numbers than any that is stood in for.
 * Killed at any line: a callback is journaled before it is made, and stand-ins go with the process. */
#include "shim/curl_group.h"
#include "shim/number_lock.h"
#include "shim/passing.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#define POLL_REMOVE 4
#define STAND_INS_MAX 4096

typedef int socket_function(void *easy, int fd, int what, void *data, void *own);
typedef int timer_function(void *multi, long timeout_ms, void *data);

enum { STAND_IN_NONE, STAND_IN_LEFT, STAND_IN_KNOWN };
LARGE_TABLE static uint8_t stand_ins[STAND_INS_MAX];

/* ---- stand-ins ---- */

static void stand_in_close(int fd)
{
  if (fd < 0 || fd >= STAND_INS_MAX || !stand_ins[fd])
    return;
  raw_syscall1(SYS_close, (uint64_t)fd);
  stand_ins[fd] = STAND_IN_NONE;
}

static void stand_in_make(int fd)
{
  if (fd < 0 || fd >= STAND_INS_MAX)
    engine_failed(TAIL_REPORT_FAILED, "a descriptor of libcurl's had too high a number to be stood in for", "", fd);
  if (stand_ins[fd]) {
    stand_ins[fd] = STAND_IN_KNOWN;
    return;
  }
  struct number_lock lock;
  number_lock_take(&lock);
  bool taken = raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFD) >= 0;
  int64_t made = taken ? -EEXIST : raw_syscall2(SYS_eventfd2, 1, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made >= 0 && made != fd) {
    int64_t placed = raw_syscall3(SYS_dup3, (uint64_t)made, (uint64_t)fd, O_CLOEXEC);
    raw_syscall1(SYS_close, (uint64_t)made);
    made = placed;
  }
  number_lock_release(&lock);
  if (made < 0)
    engine_failed(TAIL_REPORT_FAILED, "a descriptor of libcurl's cannot be stood in for", "", made);
  stand_ins[fd] = STAND_IN_KNOWN;
}

void sockets_wake_waiting(void)
{
  uint64_t one = 1;
  for (int fd = 0; fd < STAND_INS_MAX; fd++)
    if (stand_ins[fd] == STAND_IN_LEFT)
      stand_in_close(fd);
    else if (stand_ins[fd])
      raw_syscall3(SYS_write, (uint64_t)fd, (uint64_t)&one, sizeof one);
}

static struct group_socket *find_socket(struct curl_group *group, int fd)
{
  for (unsigned i = 0; i < group->socket_count; i++)
    if (group->sockets[i].fd == fd)
      return &group->sockets[i];
  return NULL;
}

static struct group_socket *add_socket(struct curl_group *group, int fd, bool in_set)
{
  if (group->socket_count == GROUP_SOCKETS_MAX)
    engine_failed(TAIL_REPORT_FAILED, "libcurl told of more descriptors than can be stood in for", "",
                  GROUP_SOCKETS_MAX);
  struct group_socket *socket = &group->sockets[group->socket_count++];
  *socket = (struct group_socket){.fd = fd, .in_set = in_set};
  return socket;
}

static void remove_socket(struct curl_group *group, struct group_socket *socket)
{
  *socket = group->sockets[--group->socket_count];
}

/* ---- live ---- */

static void draft_of_group(struct draft *draft, struct call *call, struct curl_group *group, uint64_t exchange,
                           const uint64_t *numbers)
{
  uint64_t args[6] = {numbers[0], numbers[1], numbers[2], group->last_return, exchange, group->number};
  raw_copy(call->args, args, sizeof args);
  draft_begin(draft, call, JOURNAL_COMPLETE, 0);
  draft->tail.arg_count = 6;
}

static void record(struct curl_group *group, uint64_t exchange, uint64_t kind, uint64_t first, uint64_t second)
{
  struct call call = {.id = CALL_ID_CALLBACK};
  struct draft draft;
  crash_point();
  draft_of_group(&draft, &call, group, exchange, (const uint64_t[]){kind, first, second});
  draft_append(&draft);
  crash_point();
}

static int call_socket(struct curl_group *group, void *easy, int fd, int what, void *own)
{
  socket_function *function = (socket_function *)group->socket_function;
  uint32_t before = engine_thread.passing;
  engine_thread.passing = 0;
  int result = function ? function(easy, fd, what, (void *)group->socket_data, own) : 0;
  engine_thread.passing = before;
  group->last_return = (uint64_t)(int64_t)result;
  return result;
}

static int call_timer(struct curl_group *group, long timeout_ms)
{
  timer_function *function = (timer_function *)group->timer_function;
  uint32_t before = engine_thread.passing;
  engine_thread.passing = 0;
  int result = function ? function(group->multi, timeout_ms, (void *)group->timer_data) : 0;
  engine_thread.passing = before;
  group->last_return = (uint64_t)(int64_t)result;
  return result;
}

static uint64_t exchange_of(const void *easy)
{
  const struct curl_handle *handle = handle_find(easy);
  return handle ? handle->number : 0;
}

static int on_socket(void *easy, int fd, int what, void *data, void *own)
{
  struct curl_group *group = data;
  /* A connection that is given up before it is made is closed first. */
  bool is_fresh = what == POLL_REMOVE ? !passing_is_shown(fd) : passing_show(fd);
  uint64_t fresh = is_fresh ? JOURNAL_SOCKET_FRESH : 0;
  record(group, exchange_of(easy), JOURNAL_CALLBACK_SOCKET, (uint64_t)fd, (uint64_t)what | fresh);
  return call_socket(group, easy, fd, what, own);
}

static int on_timer(void *multi, long timeout_ms, void *data)
{
  struct curl_group *group = data;
  group->timer_ns = timeout_ms < 0 ? UINT64_MAX : engine_clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000000;
  timeout_ms = group_retry_timeout(group, timeout_ms);
  record(group, 0, JOURNAL_CALLBACK_TIMER, (uint64_t)timeout_ms, 0);
  return call_timer(group, timeout_ms);
}

void group_set_timer(struct curl_group *group)
{
  uint64_t now_ns = engine_clock_ns(CLOCK_MONOTONIC), left_ns = group->timer_ns > now_ns ? group->timer_ns - now_ns : 0;
  if (!group->timer_function)
    return;
  long timeout_ms = group_retry_timeout(group, group->timer_ns == UINT64_MAX ? -1 : (long)(left_ns / 1000000));
  record(group, 0, JOURNAL_CALLBACK_TIMER, (uint64_t)timeout_ms, 0);
  call_timer(group, timeout_ms);
}

void group_install_socket(struct curl_group *group, const struct curl_real *real)
{
  real->multi_setopt(group->multi, CURL_MULTI_SOCKETDATA, group);
  real->multi_setopt(group->multi, CURL_MULTI_SOCKETFUNCTION, group->socket_function ? on_socket : NULL);
}

void group_install_timer(struct curl_group *group, const struct curl_real *real)
{
  real->multi_setopt(group->multi, CURL_MULTI_TIMERDATA, group);
  real->multi_setopt(group->multi, CURL_MULTI_TIMERFUNCTION, group->timer_function ? on_timer : NULL);
}

/* Any of the program's handles, where the one that a descriptor was given for is gone. */
static void *easy_for(const struct curl_group *group, void *easy)
{
  uint32_t place = 0;
  if (easy && handle_find(easy))
    return easy;
  const struct curl_handle *handle = group_next(group, &place);
  return handle ? handle->easy : NULL;
}

void group_take_back_sockets(struct curl_group *group)
{
  for (unsigned i = 0; i < group->socket_count;) {
    struct group_socket socket = group->sockets[i];
    void *easy = easy_for(group, socket.easy);
    if (socket.in_set) {
      i++;
      continue;
    }
    record(group, exchange_of(easy), JOURNAL_CALLBACK_SOCKET, (uint64_t)socket.fd, POLL_REMOVE);
    call_socket(group, easy, socket.fd, POLL_REMOVE, socket.own);
    stand_in_close(socket.fd);
    remove_socket(group, &group->sockets[i]);
  }
}

/* ---- replay ---- */

static void replay_socket(struct curl_group *group, struct curl_handle *handle, const struct journal_entry *entry)
{
  int fd = (int)entry->args[1], what = (int)(entry->args[2] & (JOURNAL_SOCKET_FRESH - 1));
  struct group_socket *socket = find_socket(group, fd);
  void *easy = handle ? handle->easy : NULL;
  group->stood_in = true;
  if (entry->args[2] & JOURNAL_SOCKET_FRESH)
    stand_in_close(fd);
  if (what == POLL_REMOVE) {
    void *own = socket ? socket->own : NULL;
    call_socket(group, easy ? easy : easy_for(group, socket ? socket->easy : NULL), fd, what, own);
    if ((socket = find_socket(group, fd)))
      remove_socket(group, socket);
    if (engine_live())
      stand_in_close(fd);
    else if (fd >= 0 && fd < STAND_INS_MAX && stand_ins[fd])
      stand_ins[fd] = STAND_IN_LEFT;
    return;
  }
  stand_in_make(fd);
  if (!socket)
    socket = add_socket(group, fd, false);
  socket->in_set = false;
  socket->easy = easy;
  call_socket(group, easy, fd, what, socket->own);
}

void group_callback_replay(struct curl_group *group, struct curl_handle *handle, const struct journal_entry *entry)
{
  if (entry->args[0] == JOURNAL_CALLBACK_SOCKET)
    replay_socket(group, handle, entry);
  else
    call_timer(group, (long)entry->args[1]);
}

bool group_assign(struct curl_group *group, int fd, void *own)
{
  struct group_socket *socket = find_socket(group, fd);
  if (socket)
    socket->own = own;
  return socket != NULL;
}

void group_stand_in_sets(struct curl_group *group, const uint64_t *sets)
{
  const unsigned words = GROUP_SETS_SIZE / 3 / sizeof *sets;
  for (unsigned fd = 0; fd < words * 64; fd++) {
    uint64_t any = sets[fd / 64] | sets[words + fd / 64] | sets[2 * words + fd / 64];
    if (!(any >> fd % 64 & 1))
      continue;
    group->stood_in = true;
    stand_in_make((int)fd);
    if (!find_socket(group, (int)fd))
      add_socket(group, (int)fd, true);
  }
}

void group_forget_sockets(struct curl_group *group)
{
  while (group->socket_count)
    stand_in_close(group->sockets[--group->socket_count].fd);
}
