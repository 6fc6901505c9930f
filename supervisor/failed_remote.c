/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/failed_remote.h"

#include "journal/call_table.h"
#include "journal/curl_info.h"
#include "supervisor/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

struct connection {
  int type;          /* SOCK_STREAM, SOCK_DGRAM, ...; 0: no socket that counts */
  uint64_t position; /* of its connect's INTENT; 0: none */
  bool asked;        /* since something last came */
  bool received;
};

struct calling {
  uint32_t stream;
  int fd;
  uint64_t exchange; /* position of its latest exchange's INTENT */
};

#define FD_MAX 65536

void failed_remote_release(struct failed_remote *remote)
{
  free(remote->connections);
  free(remote->callings);
}

static struct connection *connection_of(struct failed_remote *remote, int64_t fd)
{
  return fd >= 0 && (uint64_t)fd < remote->count ? &remote->connections[fd] : NULL;
}

static struct calling *calling_of(struct failed_remote *remote, uint32_t stream)
{
  for (size_t i = 0; i < remote->calling_count; i++)
    if (remote->callings[i].stream == stream)
      return &remote->callings[i];
  struct calling *grown = realloc(remote->callings, (remote->calling_count + 1) * sizeof *grown);
  if (!grown)
    return NULL;
  remote->callings = grown;
  grown[remote->calling_count] = (struct calling){.stream = stream, .fd = -1};
  return &grown[remote->calling_count++];
}

/* ---- how it went ---- */

static void succeed(struct failed_remote *remote)
{
  remote->failed = false;
}

static void fail_connection(struct failed_remote *remote, int fd, int error, uint64_t ended)
{
  const struct connection *connection = connection_of(remote, fd);
  if (!connection || !connection->position)
    return;
  remote->failed = true;
  remote->exchange = remote->answered = false;
  remote->fd = fd;
  remote->status = error;
  remote->position = connection->received ? 0 : connection->position;
  remote->ended = ended;
}

static bool is_network_error(int64_t result)
{
  switch (-result) {
  case ECONNREFUSED:
  case ECONNRESET:
  case ECONNABORTED:
  case ETIMEDOUT:
  case EHOSTUNREACH:
  case EHOSTDOWN:
  case ENETUNREACH:
  case ENETDOWN:
  case ENETRESET:
  case EPIPE:
    return true;
  }
  return false;
}

/* May a later try have another status? curl(1), --retry. */
static bool is_passing(int64_t status)
{
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static int64_t response_status(const struct journal_entry *entry)
{
  const struct journal_segment *segment = journal_find_segment(entry, SEGMENT_INFO, -1);
  const struct journal_info *info = NULL;
  uint64_t status = 0;
  while (segment && (info = journal_next_info(segment, info)))
    if (info->info == CURL_INFO_RESPONSE_CODE && info->length == sizeof status)
      memcpy(&status, info->data, sizeof status);
  return (int64_t)status;
}

static void end_exchange(struct failed_remote *remote, const struct journal_entry *entry)
{
  const struct calling *calling = calling_of(remote, entry->stream);
  uint64_t exchange = journal_exchange_of(entry);
  int64_t status = response_status(entry);
  if (entry->result < 0)
    return; /* it was taken out before its end */
  if (entry->result == 0 && !is_passing(status)) {
    succeed(remote);
    return;
  }
  if (exchange == JOURNAL_EXCHANGE_LATEST)
    exchange = calling ? calling->exchange : 0;
  remote->failed = remote->exchange = true;
  remote->answered = entry->result == 0;
  remote->status = entry->result ? entry->result : status;
  remote->position = exchange;
  remote->ended = entry->position;
}

/* ---- entries ---- */

static void add_socket(struct failed_remote *remote, const struct journal_entry *entry)
{
  int domain = (int)entry_arg(entry, 0);
  if (entry->result < 0 || entry->result >= FD_MAX)
    return;
  size_t fd = (size_t)entry->result;
  if (fd >= remote->count) {
    size_t count = 2 * fd + 16;
    struct connection *grown = realloc(remote->connections, count * sizeof *grown);
    if (!grown)
      return;
    memset(grown + remote->count, 0, (count - remote->count) * sizeof *grown);
    remote->connections = grown;
    remote->count = count;
  }
  bool counts = domain == AF_INET || domain == AF_INET6;
  remote->connections[fd] = (struct connection){.type = counts ? (int)entry_arg(entry, 1) & 0xf : 0};
}

/* The number may be another object's from now on. */
static void add_closed(struct failed_remote *remote, const struct journal_entry *entry, unsigned arg)
{
  struct connection *connection = connection_of(remote, (int)entry_arg(entry, arg));
  if (connection && entry->result >= 0)
    *connection = (struct connection){0};
}

static void add_intent(struct failed_remote *remote, const struct journal_entry *entry)
{
  struct calling *calling = calling_of(remote, entry->stream);
  struct connection *connection = connection_of(remote, (int)entry_arg(entry, 0));
  if (!calling)
    return;
  if (entry->call == CALL_ID_EXCHANGE) {
    calling->exchange = entry->position;
    return;
  }
  calling->fd = (int)entry_arg(entry, 0);
  if (!connection || !connection->type)
    return;
  /* A connect that did not wait is called again to see what became of it. */
  if (entry->call == SYS_connect && (!connection->position || remote->failed))
    *connection = (struct connection){.type = connection->type, .position = entry->position};
  else if (entry->call != SYS_connect)
    connection->asked |= change_remote(entry);
}

static void add_result(struct failed_remote *remote, const struct journal_entry *entry)
{
  const struct calling *calling = calling_of(remote, entry->stream);
  if (entry->call == CALL_ID_EXCHANGE) {
    end_exchange(remote, entry);
    return;
  }
  struct connection *connection = calling ? connection_of(remote, calling->fd) : NULL;
  /* libc asks by datagram sockets which addresses there are ways to. */
  bool probe = connection && connection->type == SOCK_DGRAM && entry->call == SYS_connect;
  if (connection && !probe && is_network_error(entry->result))
    fail_connection(remote, calling->fd, (int)-entry->result, entry->position);
}

static void add_received(struct failed_remote *remote, const struct journal_entry *entry)
{
  struct connection *connection = connection_of(remote, (int)entry_arg(entry, 0));
  if (!connection || !connection->position)
    return;
  if (entry->result > 0) {
    connection->received = true;
    connection->asked = false;
    succeed(remote);
  } else if (is_network_error(entry->result)) {
    fail_connection(remote, (int)entry_arg(entry, 0), (int)-entry->result, entry->position);
  } else if (entry->result == 0 && connection->type == SOCK_STREAM && connection->asked) {
    fail_connection(remote, (int)entry_arg(entry, 0), ECONNRESET, entry->position);
  }
}

static void add_option(struct failed_remote *remote, const struct journal_entry *entry)
{
  const struct journal_segment *output = journal_find_segment(entry, SEGMENT_OUTPUT, 3);
  int error = 0;
  if (entry_arg(entry, 1) != SOL_SOCKET || entry_arg(entry, 2) != SO_ERROR || !output || output->length < sizeof error)
    return;
  memcpy(&error, output->data, sizeof error);
  if (is_network_error(-error))
    fail_connection(remote, (int)entry_arg(entry, 0), error, entry->position);
}

void failed_remote_add(struct failed_remote *remote, const struct journal_entry *entry)
{
  if (entry->kind == JOURNAL_INTENT)
    add_intent(remote, entry);
  else if (entry->kind == JOURNAL_RESULT)
    add_result(remote, entry);
  if (entry->kind != JOURNAL_COMPLETE)
    return;
  switch (entry->call) {
  case SYS_socket:
    add_socket(remote, entry);
    break;
  case SYS_close:
    add_closed(remote, entry, 0);
    break;
  case SYS_dup2:
  case SYS_dup3:
    add_closed(remote, entry, 1);
    break;
  case SYS_getsockopt:
    add_option(remote, entry);
    break;
  case SYS_read:
  case SYS_readv:
  case SYS_recvfrom:
  case SYS_recvmsg:
  case SYS_recvmmsg:
    add_received(remote, entry);
    break;
  }
}
