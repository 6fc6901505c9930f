/* SPDX-License-Identifier: Apache-2.0 */
/* Where a Redis is, as --store and PERDURE_STORE have it:
 *   redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]
 *   redis-sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/MASTER[/DB]
 * and the same by TLS: rediss://… and rediss-sentinel://…, behind which may follow ?PARAMETER=VALUE[&…]:
 *   ca=FILE    the certificates that are trusted (PEM); without it those of the system are
 *   cert=FILE, key=FILE   the certificate to sign in with, and its key, where that is another file
 *   name=NAME  whose certificate it has to be, where that is not HOST's (Sentinels and clusters name others by numbers)
 * Files are named from the root on: the run remembers its store, and may be gone on with from anywhere.
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets. What a URL cannot hold is percent-encoded. */
#ifndef PERDURE_SUPERVISOR_REDIS_ADDRESS_H
#define PERDURE_SUPERVISOR_REDIS_ADDRESS_H

#include "supervisor/store.h"

#define REDIS_PORT 6379u
#define REDIS_SENTINEL_PORT 26379u
#define REDIS_HOSTS_MAX 8u

struct redis_host {
  char name[256];
  unsigned port;
};

struct redis_address {
  struct redis_host hosts[REDIS_HOSTS_MAX]; /* more than one: Sentinels */
  unsigned host_count;
  char master[128];   /* as the Sentinels call it; "": the host itself is meant */
  char user[128];     /* "": the default one */
  char password[512]; /* "": none */
  unsigned db;
  bool tls;
  char ca[1024], cert[1024], key[1024]; /* "": none */
  char name[256];                       /* "": the host's */
};

/* -EINVAL: what is wrong with it, without the password. */
int redis_address_parse(const char *url, struct redis_address *ret_address, struct failure *failure);
/* The URL for people, without user and password, for ever in one of two buffers of the thread. */
const char *redis_address_text(const struct redis_address *address);

#endif
