/* SPDX-License-Identifier: Apache-2.0 */
/* The latest thing that a process asked the world, and how it went: exchanges of libcurl, and connections. */
#ifndef PERDURE_SUPERVISOR_FAILED_REMOTE_H
#define PERDURE_SUPERVISOR_FAILED_REMOTE_H

#include "journal/entry.h"

struct failed_remote {
  bool failed;       /* what follows is of a failure; else the latest thing was answered, or there was none */
  bool exchange;     /* else a connection */
  bool answered;     /* status is a response's */
  int fd;            /* of a connection */
  int64_t status;    /* libcurl's code, a response's status, or an errno */
  uint64_t position; /* from where it can be tried again: the INTENT of the exchange or connect; 0: from nowhere */
  uint64_t ended;    /* position of the entry that told */

  struct connection *connections; /* by descriptor */
  size_t count;
  struct calling *callings; /* by stream: what its latest INTENT is about */
  size_t calling_count;
};

/* An entry of one of the process's threads. Out of memory, what it tells is not seen. */
void failed_remote_add(struct failed_remote *remote, const struct journal_entry *entry);
void failed_remote_release(struct failed_remote *remote);

#endif
