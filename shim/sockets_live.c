/* SPDX-License-Identifier: Apache-2.0 */
/* Going live: what stands for a socket becomes one.
 *
 * A stream that was open gets a peer on this machine, which resets it: all that a program can see of a
 * broken connection, reads, writes, signals and events, is then the kernel's own. Names are bound again; one
 * that is a path takes the place of the dead socket there.
 *
 * Killed at any line, all of it is gone but for a path: then the next attempt finds a dead socket or none. */
#include "shim/sockets.h"

#include "shim/descriptors.h"
#include "shim/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

/* Connections that the killed program left hold its port for as long as this, where it did not allow reuse. */
#define BIND_PATIENCE_MS 65000
#define BIND_RETRY_MS 20

static bool text_of(const struct journal_segment *segment, struct socket_address *ret_address)
{
  if (!segment || segment->length < 2 || segment->length > sizeof ret_address->bytes)
    return false;
  raw_fill(ret_address, 0, sizeof *ret_address);
  raw_copy(ret_address->bytes, segment->data, segment->length);
  ret_address->length = segment->length;
  return true;
}

/* The address in an entry; false: it has none. */
static bool address_at(uint64_t place, struct socket_address *ret_address)
{
  return place && text_of(journal_find_segment(feed_at(place), SEGMENT_ADDRESS, 1), ret_address);
}

static bool address_told(uint64_t place, struct socket_address *ret_address)
{
  return place && text_of(journal_find_segment(feed_at(place), SEGMENT_OUTPUT, 1), ret_address);
}

static int64_t bind_to(int fd, const struct socket_address *address)
{
  return raw_syscall3(SYS_bind, (uint64_t)fd, (uint64_t)address->bytes, address->length);
}

static int64_t connect_to(int fd, const struct socket_address *address)
{
  return raw_syscall3(SYS_connect, (uint64_t)fd, (uint64_t)address->bytes, address->length);
}

/* ---- a stream that was open ---- */

/* A listening socket on this machine that only we know of; its address as `family` sees it. */
static int64_t listen_aside(int family, int type, struct socket_address *ret_address)
{
  bool unix_domain = family == AF_UNIX;
  struct socket_address address = {.length = unix_domain ? 2 : sizeof(struct sockaddr_in)};
  struct sockaddr_in *in = (struct sockaddr_in *)address.bytes;
  address.family = unix_domain ? AF_UNIX : AF_INET;
  if (!unix_domain)
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int64_t fd = raw_syscall3(SYS_socket, address.family, (uint64_t)type | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return fd;
  int64_t result = bind_to((int)fd, &address);
  if (result == 0)
    result = raw_syscall2(SYS_listen, (uint64_t)fd, 1);
  address.length = sizeof address.bytes;
  if (result == 0)
    result = raw_syscall3(SYS_getsockname, (uint64_t)fd, (uint64_t)address.bytes, (uint64_t)&address.length);
  if (result < 0) {
    raw_syscall1(SYS_close, (uint64_t)fd);
    return result;
  }
  if (family == AF_INET6) {
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = in->sin_port};
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    raw_copy(&mapped.sin6_addr.s6_addr[12], &in->sin_addr, 4);
    address.length = sizeof mapped;
    raw_copy(address.bytes, &mapped, sizeof mapped);
  }
  *ret_address = address;
  return fd;
}

static void set_number(int fd, int level, int option, int value)
{
  raw_syscall5(SYS_setsockopt, (uint64_t)fd, (uint64_t)level, (uint64_t)option, (uint64_t)&value, sizeof value);
}

/* The peer goes in a way that breaks the connection: TCP by a reset, a UNIX socket with bytes unread. */
static void reset_by_peer(int fd, int listener, bool unix_domain)
{
  struct pollfd arrived = {.fd = listener, .events = POLLIN}, established = {.fd = fd, .events = POLLOUT};
  if (unix_domain)
    raw_syscall6(SYS_sendto, (uint64_t)fd, (uint64_t)"x", 1, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
  raw_syscall3(SYS_poll, (uint64_t)&established, 1, 1000);
  raw_syscall3(SYS_poll, (uint64_t)&arrived, 1, 1000);
  int64_t peer = raw_syscall4(SYS_accept4, (uint64_t)listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (peer < 0)
    return;
  const struct linger abort = {1, 0};
  raw_syscall5(SYS_setsockopt, (uint64_t)peer, SOL_SOCKET, SO_LINGER, (uint64_t)&abort, sizeof abort);
  raw_syscall1(SYS_close, (uint64_t)peer);
  struct pollfd gone = {.fd = fd, .events = 0};
  raw_syscall3(SYS_poll, (uint64_t)&gone, 1, 1000);
}

/* One that this attempt has connected itself. A UNIX socket cannot be taken back from its peer. */
static void disconnect(int fd, bool unix_domain)
{
  struct socket_address peer = {.length = sizeof peer.bytes};
  const struct socket_address none = {.family = AF_UNSPEC, .length = sizeof(struct sockaddr)};
  if (raw_syscall3(SYS_getpeername, (uint64_t)fd, (uint64_t)peer.bytes, (uint64_t)&peer.length) != 0)
    return;
  if (unix_domain)
    raw_syscall2(SYS_shutdown, (uint64_t)fd, SHUT_RDWR);
  else
    connect_to(fd, &none);
}

static void break_stream(int fd, bool ended)
{
  struct socket_address address;
  int family = socket_number(fd, SO_DOMAIN), type = socket_number(fd, SO_TYPE);
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
    return;
  int64_t listener = listen_aside(family, type, &address);
  if (listener < 0)
    engine_failed(TAIL_REPORT_FAILED, "a connection that was open cannot be shown as broken: ", "listen", listener);
  uint64_t status = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL);
  raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, status | O_NONBLOCK);
  set_number(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
  disconnect(fd, family == AF_UNIX);
  if (family == AF_INET6)
    set_number(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  int64_t result = connect_to(fd, &address);
  if (result == 0 || result == -EINPROGRESS)
    reset_by_peer(fd, (int)listener, family == AF_UNIX);
  raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, status);
  raw_syscall1(SYS_close, (uint64_t)listener);
  /* The error is told once. */
  if (ended)
    socket_number(fd, SO_ERROR);
}

/* ---- names ---- */

__attribute__((noreturn)) static void cannot_bind(const struct socket_address *address, const char *path, int64_t error)
{
  char text[PATH_ROOM + 32] = "port ";
  if (path)
    engine_failed(TAIL_REPORT_FAILED, "a server's address cannot be taken again: ", path, error);
  bool has_port = address->family == AF_INET || address->family == AF_INET6;
  if (has_port)
    path_put_number(text, 5, (uint64_t)(address->bytes[2] << 8 | address->bytes[3]), 10);
  engine_failed(TAIL_REPORT_FAILED, "a server's address cannot be taken again: ", has_port ? text : "(no port)", error);
}

static void bind_again(int fd, const struct socket_address *address)
{
  const struct timespec pause = {0, BIND_RETRY_MS * 1000000};
  int64_t result = bind_to(fd, address);
  bool may_wait = address->family != AF_UNIX && socket_is_stream(fd);
  for (unsigned waited = 0; result == -EADDRINUSE && may_wait && waited < BIND_PATIENCE_MS; waited += BIND_RETRY_MS) {
    record_note(TAIL_NOTED_PORT, "a server's port is held, by what the killed attempt's connections left or by others: "
                                 "waiting for it, for a minute at most");
    raw_syscall2(SYS_nanosleep, (uint64_t)&pause, 0);
    result = bind_to(fd, address);
  }
  if (result != 0)
    cannot_bind(address, NULL, result);
}

/* Nobody listens there any more. */
static bool is_dead(const struct socket_address *address, int type)
{
  int64_t probe = raw_syscall3(SYS_socket, AF_UNIX, (uint64_t)type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int64_t result = connect_to((int)probe, address);
  raw_syscall1(SYS_close, (uint64_t)probe);
  return result == -ECONNREFUSED;
}

/* From now on the new file stands for the one that the program knows. */
static void record_reborn(const struct journal_file *before, const struct journal_file *now)
{
  static const struct call go_live = {.id = CALL_ID_JOURNAL};
  struct draft draft;
  draft_begin(&draft, &go_live, JOURNAL_KEEP, 0);
  draft.tail.signature = 0;
  draft_add(&draft, SEGMENT_FILE, 0, before, sizeof *before);
  draft_add(&draft, SEGMENT_FILE, 1, now, sizeof *now);
  draft_append(&draft);
}

/* The address for a file that is at `path` now: as the program wrote it, where that still leads there. */
static bool address_for(const char *path, const struct socket_address *written, struct socket_address *ret_address)
{
  char full[PATH_ROOM];
  size_t length = raw_length(path);
  const struct sockaddr_un *un = (const struct sockaddr_un *)written->bytes;
  *ret_address = *written;
  if (path_name(AT_FDCWD, un->sun_path, full) && raw_same_text(full, path))
    return true;
  if (length >= sizeof un->sun_path)
    return false;
  raw_copy(ret_address->bytes + offsetof(struct sockaddr_un, sun_path), path, length + 1);
  ret_address->length = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
  return true;
}

/* A path that the run has removed stays removed: nobody can connect, by any name. */
static void bind_nameless(int fd)
{
  const struct socket_address unnamed = {.family = AF_UNIX, .length = 2};
  bind_to(fd, &unnamed);
}

static void bind_path(int fd, const struct journal_entry *outcome, const struct socket_address *written)
{
  const struct journal_segment *segment = journal_find_segment(outcome, SEGMENT_FILE, 0);
  const struct journal_file *made = segment ? (const struct journal_file *)segment->data : NULL;
  const struct feed_file *found = made ? feed_find_primary(made->device, made->inode, made->birth_ns) : NULL;
  struct socket_address address;
  struct journal_file now, next;
  if (!found || found->flags & FEED_FILE_GHOST || !found->path) {
    bind_nameless(fd);
    return;
  }
  const char *path = feed_at(found->path);
  if (!address_for(path, written, &address))
    cannot_bind(written, path, -ENAMETOOLONG);
  bool there = file_look(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &now) == 0;
  bool ours = there && S_ISSOCK(now.mode) && is_dead(&address, socket_number(fd, SO_TYPE));
  if (ours)
    raw_syscall1(SYS_unlink, (uint64_t)path);
  int64_t result = bind_to(fd, &address);
  if (result != 0)
    cannot_bind(&address, path, result);
  raw_syscall2(SYS_chmod, (uint64_t)path, (ours ? now.mode : made->mode) & 07777);
  if (file_look(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &next) == 0)
    record_reborn(made, &next);
}

static bool is_path(const struct socket_address *address)
{
  return address->family == AF_UNIX && address->length > 2 && address->bytes[2];
}

static void name_again(int fd, const struct socket_state *state)
{
  struct socket_address address;
  if (address_at(state->bound, &address)) {
    if (is_path(&address))
      bind_path(fd, feed_at(state->bound), &address);
    else
      bind_again(fd, &address);
  } else if (address_told(state->named, &address) && !is_path(&address)) {
    /* Chosen by the kernel then: others may have it by now. */
    bind_to(fd, &address);
  }
}

/* ---- all of them ---- */

/* A connect that was under way begins anew; the program waits for it as it did. */
static void connect_again(int fd, const struct socket_state *state)
{
  struct socket_address peer, name;
  if (!address_at(state->peer, &peer))
    return;
  if (address_at(state->bound, &name) && !is_path(&name))
    bind_to(fd, &name);
  uint64_t status = (uint64_t)raw_syscall2(SYS_fcntl, (uint64_t)fd, F_GETFL);
  raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, status | O_NONBLOCK);
  int64_t result = connect_to(fd, &peer);
  raw_syscall3(SYS_fcntl, (uint64_t)fd, F_SETFL, status);
  if (result != 0 && result != -EINPROGRESS)
    break_stream(fd, false);
}

static void go_live(int fd, void *context)
{
  struct socket_address peer;
  if (descriptor_get(fd)->kind != DESCRIPTOR_SOCKET)
    return;
  const struct socket_state state = socket_state_get(fd);
  if (!state.flags && !state.bound && !state.named && !state.peer && !state.listening)
    return;
  /* Its other numbers find nothing left to do. */
  socket_state_drop(fd);
  if (state.flags & SOCKET_FILTERED)
    engine_failed(TAIL_REPORT_FAILED, "a filter that the program has put on a socket cannot be put there again", "", 0);
  if (state.flags == SOCKET_UNJOURNALED)
    return;
  if (state.flags & SOCKET_STREAM_OPEN) {
    break_stream(fd, state.flags & SOCKET_ENDED);
  } else if (state.flags & SOCKET_PENDING) {
    connect_again(fd, &state);
  } else {
    name_again(fd, &state);
    if (state.listening)
      raw_syscall2(SYS_listen, (uint64_t)fd, ((const struct journal_entry *)feed_at(state.listening))->args[1]);
    else if (address_at(state.peer, &peer))
      connect_to(fd, &peer);
  }
}

static void stop_unanswered(int fd, void *context)
{
  const uint32_t over = SOCKET_ENDED, calling = SOCKET_STREAM_OPEN | SOCKET_CALLING;
  if (descriptor_get(fd)->kind != DESCRIPTOR_SOCKET || descriptor_get(fd)->flags & DESCRIPTOR_KERNEL)
    return;
  const struct socket_state state = socket_state_get(fd);
  if (state.asked && (state.flags & (calling | over)) == calling)
    engine_unknown(feed_at(state.asked));
}

void sockets_stop_unanswered(void)
{
  if (engine.tail.header->not_idempotent)
    each_descriptor(stop_unanswered, NULL);
}

void sockets_go_live(void)
{
  each_descriptor(go_live, NULL);
}
