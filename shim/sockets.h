/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets whose other end is not in the run.
 *
 * In replay a socket stands for itself: it is made by the same call, so that number, flags and options are
 * kept by the kernel, but it is never bound, listening or connected. What it was comes from the journal, as
 * places in the feed, and is kept by the kernel too: in a socket filter, whose instructions hold numbers
 * that do nothing. So it goes where the description goes, over dup, exec and passing.
 *
 * Going live, a socket with a name is bound to it again, a listening one listens, a datagram socket is
 * connected; a stream that was open has been reset. */
#ifndef PERDURE_SHIM_SOCKETS_H
#define PERDURE_SHIM_SOCKETS_H

#include "shim/engine.h"

#include <sys/socket.h>

enum {
  SOCKET_STREAM_OPEN = 1, /* a stream, connected or accepted */
  SOCKET_PENDING = 2,     /* a stream whose connect was under way */
  SOCKET_ENDED = 4,       /* the program has seen the end of the stream */
  SOCKET_FILTERED = 8,    /* the program has a filter of its own on it */
  SOCKET_CALLING = 16,    /* a stream that the program has connected, not accepted */
  SOCKET_UNJOURNALED = 32, /* a stream that this attempt has connected itself, where nothing was journaled */
};

/* Places in the feed; 0: none. */
struct socket_state {
  uint32_t flags;
  uint64_t bound;     /* what came of its bind */
  uint64_t named;     /* a getsockname of it */
  uint64_t peer;      /* the intent of its connect */
  uint64_t listening; /* its listen */
  uint64_t asked;     /* the intent of what was first sent since something was received; not idempotent only */
};

/* An address, as the kernel takes it. */
struct socket_address {
  union {
    uint16_t family;
    uint8_t bytes[sizeof(struct sockaddr_storage)];
  };
  uint32_t length;
};

/* A number that getsockopt gives of SOL_SOCKET, or -1. */
int socket_number(int fd, int option);
bool socket_is_stream(int fd);
/* Replay: what is known of it. */
struct socket_state socket_state_get(int fd);
void socket_state_put(int fd, const struct socket_state *state);
void socket_state_drop(int fd);

/* Replay: what the result of a call that moves bytes, or an error that was asked for (error true: 0 or
 * -errno), says about the connection. */
void socket_follow(int fd, int64_t result, bool error);
/* Replay: a send with that intent gave `result`. */
void socket_follow_sent(int fd, const struct journal_entry *intent, int64_t result);
/* Replay: a read of `asked` bytes gave `result`. */
void socket_follow_read(int fd, int64_t result, uint64_t asked);

/* Does what is sent there reach anybody, and change anything? Not: the kernel, a name server. */
bool socket_reaches_out(int fd);
/* The kernel's signal for EPIPE would run its handler before the outcome is journaled, which replay could not
 * tell from one that comes at another time. So calls run without it, and it is sent behind the outcome, in
 * both modes. */
int64_t socket_write(const struct call *call);
int64_t socket_run_quietly(const struct call *call);
/* What a send with those flags gave is journaled. */
void socket_signal(int64_t result, uint64_t flags);
/* Replay of a write to a socket; false: live now. */
bool socket_replay_write(struct call *call, int64_t *ret_result);

/* The signature's part of an address. */
uint64_t socket_address_hash(const uint8_t *address, uint64_t length);

/* Going live, before anything is changed: where the run is not idempotent, it ends if a connection that the
 * program made was not answered to what was sent. The program would see it break, and might send it again. */
void sockets_stop_unanswered(void);
/* All sockets of the process, as they go on. */
void sockets_go_live(void);

#endif
