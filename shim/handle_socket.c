/* SPDX-License-Identifier: Apache-2.0 */
/* bind, listen, connect, accept, and what sockets are asked and told about themselves.
 *
 * Killed between a connect and its outcome: nobody keeps anything of a connection without bytes, and it is
 * made again. A bind to a path makes a file: the intent says that the name was free, and recovery removes a
 * socket that has come there since. Other names die with the process. */
#include "shim/descriptors.h"
#include "shim/epoll_sets.h"
#include "shim/identity.h"
#include "shim/number_lock.h"
#include "shim/paths.h"
#include "shim/readiness.h"
#include "shim/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/un.h>

static void sign_address(struct call *call)
{
  call_sign(call);
  if (call->args[1])
    call->signature =
        hash_mix(call->signature, socket_address_hash((const uint8_t *)call->args[1], (uint32_t)call->args[2])) | 1;
}

/* An observation that replay takes from the journal: the entry, whose stream still has its turn; NULL: live. */
static const struct journal_entry *take_complete(struct call *call, int64_t *ret_result)
{
  const struct journal_entry *entry = engine_live() ? NULL : replay_take(call, JOURNAL_COMPLETE);
  if (entry)
    *ret_result = replay_deliver(call, entry);
  return entry;
}

/* ---- names ---- */

/* The path that a bind gives to a file, NUL-terminated; false: the address is none. */
static bool bound_path(const struct call *call, char path[PATH_ROOM])
{
  const struct sockaddr_un *address = (const struct sockaddr_un *)call->args[1];
  uint64_t length = (uint32_t)call->args[2], used = 0;
  if (!address || length <= offsetof(struct sockaddr_un, sun_path) || length > sizeof *address ||
      address->sun_family != AF_UNIX || !address->sun_path[0])
    return false;
  for (uint64_t room = length - offsetof(struct sockaddr_un, sun_path); used < room && address->sun_path[used]; used++)
    path[used] = address->sun_path[used];
  path[used] = 0;
  return true;
}

/* The name that the socket has got. */
static void add_name(struct draft *draft, int fd, struct socket_address *name)
{
  name->length = sizeof name->bytes;
  if (raw_syscall3(SYS_getsockname, (uint64_t)fd, (uint64_t)name->bytes, (uint64_t)&name->length) == 0)
    draft_add(draft, SEGMENT_ADDRESS, 1, name->bytes, name->length);
}

static int64_t bind_path_live(struct call *call, const char *path)
{
  char full[PATH_ROOM];
  struct journal_file file;
  struct socket_address name;
  struct draft draft;
  size_t length = path_name(AT_FDCWD, path, full);
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  draft_add(&draft, SEGMENT_FULL_PATH, 1, full, length);
  draft_add(&draft, SEGMENT_ADDRESS, 1, (const void *)call->args[1], (uint32_t)call->args[2]);
  if (file_look(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &file) == 0)
    draft_add(&draft, SEGMENT_FILE, 1, &file, sizeof file);
  record_intent(&draft, call);
  int64_t result = call_run(call);
  crash_point();
  draft_begin(&draft, call, JOURNAL_RESULT, result);
  draft.tail.arg_count = 0;
  if (result == 0) {
    add_name(&draft, (int)call->args[0], &name);
    if (file_look(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &file) == 0)
      draft_add(&draft, SEGMENT_FILE, 0, &file, sizeof file);
    draft_add(&draft, SEGMENT_FULL_PATH, 0, full, length);
  }
  draft_append(&draft);
  return result;
}

/* What the kernel keeps itself in replay: it is asked and answers there too. */
static bool is_kernels(int fd)
{
  return descriptor_get(fd)->flags & DESCRIPTOR_KERNEL;
}

static void follow_bind(int fd, const struct journal_entry *outcome)
{
  const struct journal_segment *name = journal_find_segment(outcome, SEGMENT_ADDRESS, 1);
  if (is_kernels(fd) && name) {
    raw_syscall3(SYS_bind, (uint64_t)fd, (uint64_t)name->data, name->length);
    return;
  }
  struct socket_state state = socket_state_get(fd);
  state.bound = feed_offset(outcome);
  socket_state_put(fd, &state);
}

static int64_t bind_path(struct call *call, const char *path)
{
  const struct journal_entry *outcome;
  int64_t result;
  if (engine_live() || !replay_change(call, &result, NULL, &outcome))
    return bind_path_live(call, path);
  if (result == 0)
    follow_bind((int)call->args[0], outcome);
  replay_advance(outcome);
  return result;
}

int64_t handle_bind(struct call *call)
{
  char path[PATH_ROOM];
  int64_t result;
  sign_address(call);
  if (bound_path(call, path))
    return bind_path(call, path);
  const struct journal_entry *entry = take_complete(call, &result);
  if (entry) {
    if (result == 0)
      follow_bind((int)call->args[0], entry);
    replay_advance(entry);
    return result;
  }
  struct socket_address name;
  struct draft draft;
  crash_point();
  result = call_run(call);
  crash_point();
  draft_begin(&draft, call, JOURNAL_COMPLETE, result);
  if (result == 0)
    add_name(&draft, (int)call->args[0], &name);
  draft_append(&draft);
  return result;
}

int64_t handle_listen(struct call *call)
{
  int64_t result;
  call_sign(call);
  const struct journal_entry *entry = take_complete(call, &result);
  if (!entry)
    return observe(call);
  if (result == 0) {
    struct socket_state state = socket_state_get((int)call->args[0]);
    state.listening = feed_offset(entry);
    socket_state_put((int)call->args[0], &state);
  }
  replay_advance(entry);
  return result;
}

/* A datagram socket's name is what answers come to, also where it was not asked for. */
static int64_t name_asked(struct call *call, const struct journal_entry *entry, int64_t result)
{
  int fd = (int)call->args[0];
  if (result == 0 && descriptor_get(fd)->kind == DESCRIPTOR_SOCKET && !socket_is_stream(fd) && !is_kernels(fd)) {
    struct socket_state state = socket_state_get(fd);
    state.named = feed_offset(entry);
    socket_state_put(fd, &state);
  }
  return result;
}

/* The process itself is called by the number that it knows. */
static int64_t ask_credentials(struct call *call)
{
  crash_point();
  int64_t result = call_run(call);
  crash_point();
  int32_t *pid = (int32_t *)call->args[3];
  if (result == 0 && call->value_room >= sizeof *pid)
    *pid = (int32_t)identity_seen(*pid);
  record_complete(call, result);
  return result;
}

/* getsockname, getpeername, getsockopt: from the journal; what they tell of the connection is kept. */
int64_t handle_socket_asked(struct call *call)
{
  int64_t result;
  int fd = (int)call->args[0];
  bool own_option = call->id == SYS_getsockopt && call->args[1] == SOL_SOCKET;
  call_sign(call);
  const struct journal_entry *entry = take_complete(call, &result);
  if (!entry)
    return own_option && call->args[2] == SO_PEERCRED ? ask_credentials(call) : observe(call);
  if (call->id == SYS_getsockname)
    name_asked(call, entry, result);
  else if (call->id == SYS_getpeername && result == 0 && descriptor_get(fd)->kind == DESCRIPTOR_SOCKET)
    socket_follow(fd, 0, false);
  else if (own_option && result == 0 && call->args[2] == SO_ERROR)
    socket_follow(fd, -(int64_t)*(const int *)call->args[3], true);
  replay_advance(entry);
  return result;
}

static bool is_filter(const struct call *call, bool *ret_attached)
{
  if (call->args[1] != SOL_SOCKET)
    return false;
  *ret_attached = call->args[2] == SO_ATTACH_FILTER || call->args[2] == SO_ATTACH_BPF;
  return *ret_attached || call->args[2] == SO_DETACH_FILTER || call->args[2] == SO_LOCK_FILTER;
}

/* In its place is what replay keeps there; it belongs to raw sockets, and is not put back. */
static void follow_filter(int fd, bool attached)
{
  struct socket_state state = socket_state_get(fd);
  state.flags &= ~(uint32_t)SOCKET_FILTERED;
  state.flags |= attached ? SOCKET_FILTERED : 0;
  socket_state_put(fd, &state);
}

/* Options are set on what stands for the socket; some need a connection, and mean nothing without one. */
int64_t handle_socket_option(struct call *call)
{
  int64_t result;
  call_sign(call);
  const struct journal_entry *entry = take_complete(call, &result);
  if (!entry)
    return observe(call);
  bool attached;
  if (result == 0 && is_filter(call, &attached))
    follow_filter((int)call->args[0], attached);
  else if (result == 0)
    call_run(call);
  replay_advance(entry);
  return result;
}

/* ---- connections ---- */

static void follow_connect(int fd, const struct call *call, const struct journal_entry *intent, int64_t result)
{
  struct socket_state state = socket_state_get(fd);
  const uint16_t *family = (const uint16_t *)call->args[1];
  if (result == 0 && family && *family == AF_UNSPEC) {
    state.flags &= SOCKET_FILTERED;
    state.peer = 0;
  } else if (result == 0 && !socket_is_stream(fd)) {
    state.peer = feed_offset(intent);
  } else if (result == 0 || result == -EISCONN) {
    state.flags |= SOCKET_STREAM_OPEN | SOCKET_CALLING;
    state.flags &= ~(uint32_t)SOCKET_PENDING;
  } else if (result == -EINPROGRESS || result == -EINTR) {
    state.flags |= SOCKET_PENDING | SOCKET_CALLING;
    state.peer = feed_offset(intent);
  } else if (result != -EALREADY) {
    state.flags &= ~(uint32_t)SOCKET_PENDING;
  }
  socket_state_put(fd, &state);
}

/* The daemon that libc asks for names before it looks itself, and which mostly is not there. */
static bool is_name_cache(const struct call *call)
{
  static const char path[] = "/var/run/nscd/socket";
  const uint16_t *family = (const uint16_t *)call->args[1];
  return family && call->args[2] >= sizeof *family + sizeof path && *family == AF_UNIX &&
         raw_equal((const char *)(family + 1), path, sizeof path);
}

int64_t handle_connect(struct call *call)
{
  int fd = (int)call->args[0];
  const struct journal_entry *intent, *outcome;
  int64_t result;
  sign_address(call);
  if (!engine_live() && replay_change(call, &result, &intent, &outcome)) {
    if (descriptor_get(fd)->kind == DESCRIPTOR_SOCKET && !is_kernels(fd))
      follow_connect(fd, call, intent, result);
    else if (result == 0 && is_kernels(fd))
      call_run(call);
    replay_advance(outcome);
    return result;
  }
  /* Connecting a datagram socket sends nothing, and a look-up of a name on this machine changes nothing. */
  static const struct call_shape kept_here = {.class = CALL_CLASS_CHANGE_LOCAL};
  struct call intended = *call;
  struct draft draft;
  uint32_t length = (uint32_t)call->args[2];
  draft_begin(&draft, call, JOURNAL_INTENT, 0);
  if (call->args[1] && length <= sizeof(struct sockaddr_storage))
    draft_add(&draft, SEGMENT_ADDRESS, 1, (const void *)call->args[1], length);
  if (!socket_is_stream(fd) || is_name_cache(call))
    intended.shape = &kept_here;
  record_intent(&draft, &intended);
  result = call_run(call);
  record_result(call, result);
  return result;
}

/* A connection that came in: a socket of the same kind, without a peer, holds its number. */
static void accept_again(const struct call *call, int64_t number)
{
  int listener = (int)call->args[0];
  uint64_t flags = call->id == SYS_accept4 ? call->args[3] : 0;
  int64_t fd = raw_syscall3(SYS_socket, (uint64_t)socket_number(listener, SO_DOMAIN),
                            (uint64_t)socket_number(listener, SO_TYPE) | flags,
                            (uint64_t)socket_number(listener, SO_PROTOCOL));
  descriptor_place(fd, number, "accept");
  descriptor_forget((int)number);
  const struct socket_state state = {.flags = SOCKET_STREAM_OPEN};
  socket_state_put((int)number, &state);
}

int64_t handle_accept(struct call *call)
{
  int64_t result;
  call_sign(call);
  const struct journal_entry *entry = take_complete(call, &result);
  if (entry) {
    readiness_used((int)call->args[0]);
    if (!raw_is_error(result))
      accept_again(call, result);
    replay_advance(entry);
    return result;
  }
  if (readiness_lost((int)call->args[0])) {
    record_complete(call, -ECONNABORTED);
    return -ECONNABORTED;
  }
  /* Its number may be one that another thread has just given up, whose entry comes first. */
  struct number_lock lock;
  crash_point();
  result = call_run(call);
  crash_point();
  number_lock_take(&lock);
  record_complete(call, result);
  number_lock_release(&lock);
  if (result >= 0)
    descriptor_forget((int)result);
  return result;
}
