/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to the primary, with hiredis, and what its errors mean. Not for several threads at once. */
#ifndef PERDURE_SUPERVISOR_REDIS_LINK_H
#define PERDURE_SUPERVISOR_REDIS_LINK_H

#include "supervisor/redis_tls.h"

#include <hiredis/hiredis.h>

/* How long a connection, and any command that does not wait itself, may take. */
#define REDIS_TIMEOUT_MS 5000u

struct redis_link {
  const struct redis_address *address;
  redisContext *context; /* NULL: not connected */
  struct redis_tls *tls; /* NULL: it is a plain one */
  unsigned timeout_ms;   /* that its socket has */
  bool cluster;          /* its server is a cluster's node; known from redis_link_open() on */
  struct redis_host moved; /* the node of a cluster that has the run's slot; "": none has been named */
};

/* One argument of a command: its bytes. */
struct redis_word {
  const void *bytes;
  size_t length;
};

/* Connects (where there are Sentinels: to whom they call the master), signs in, selects the database. Does nothing
 * where a connection is open. -ENOTCONN: nobody answers; -EACCES: user, password, or rights; -EROFS: a
 * replica; -EPROTONOSUPPORT: no Redis 7; and by rediss:// those of redis_tls_begin(). */
int redis_link_open(struct redis_link *link, struct failure *failure);
void redis_link_close(struct redis_link *link);

/* A node of a cluster that does not have the keys' slot names the one that has: the connection goes there, and the command is sent
 * again. All of a run lies in one slot. */

/* Sends the command and waits for its reply, which the caller frees (freeReplyObject), for REDIS_TIMEOUT_MS and
 * wait_ms more. On an error that leaves the connection unusable it is closed, and whether the command was done is not known:
 * -ENOTCONN. Else nothing was done: as redis_link_open(), -ENOSPC: the server's memory or disk is full;
 * -EAGAIN: it is still loading; -ENOENT: NOSCRIPT; -EIO: other errors, which the failure has as the server said them. */
int redis_link_ask(struct redis_link *link, const struct redis_word *words, unsigned count, unsigned wait_ms,
                   redisReply **ret_reply, struct failure *failure);

struct redis_command {
  const struct redis_word *words;
  unsigned count;
};
/* The same for two commands in one round trip. An error is the first one's, or where that has none, the second one's: the
 * other was done all the same. */
int redis_link_ask_both(struct redis_link *link, const struct redis_command commands[2], unsigned wait_ms,
                        redisReply *ret_replies[2], struct failure *failure);

#endif
