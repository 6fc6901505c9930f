/* SPDX-License-Identifier: Apache-2.0 */
/* A multi handle of the program's, with the easy handles in it.
 *
 * In replay libcurl's own multi handle stays empty. Descriptors that it had given to the program (by the
 * socket callback, or curl_multi_fdset) have stand-ins there, which are always ready: a program that goes
 * live while it waits for one is woken, and asks libcurl. That is when what had no end is given to libcurl again. */
#ifndef PERDURE_SHIM_CURL_GROUP_H
#define PERDURE_SHIM_CURL_GROUP_H

#include "shim/curl.h"

#define GROUP_SOCKETS_MAX 2048

struct curl_group {
  void *multi; /* NULL: free */
  uint64_t number;
  uint64_t socket_function, socket_data, timer_function, timer_data;
  uint64_t last_return; /* of the latest callback of its own */
  uint64_t unsynced;    /* position of the latest request that may not be on disk, plus 1; 0: there is none */
  uint32_t waiting;     /* handles that wait for their next try */
  uint64_t timer_ns;    /* CLOCK_MONOTONIC when libcurl wants to be called; UINT64_MAX: never */
  bool stood_in;        /* libcurl has to be told of what replay did */
  bool woken;           /* replay: by curl_multi_wakeup */
  struct curl_handle *told_first, *told_last;
  int told_count;
  /* replay: what the program knows */
  unsigned socket_count;
  struct group_socket {
    int fd;
    bool in_set; /* by curl_multi_fdset: there is no callback to take it back */
    void *easy, *own;
  } sockets[GROUP_SOCKETS_MAX];
};

/* ---- curl_group.c ---- */

struct curl_group *group_find(const void *multi);
struct curl_group *group_numbered(uint64_t number);
/* NULL: there is no room. */
struct curl_group *group_make(void *multi, const struct curl_real *real, uint64_t number);
void group_free(struct curl_group *group);
/* The exchange has ended, and curl_multi_info_read says so; one that was left has nothing to say. */
void group_tell(struct curl_handle *handle, int code);
/* The next that curl_multi_info_read has to say. */
struct curl_message *group_take_told(struct curl_group *group, int *ret_left);
/* The handle is in no group from now on. */
void group_remove(struct curl_handle *handle);
/* The next of the group's handles, as handle_next(). */
struct curl_handle *group_next(const struct curl_group *group, uint32_t *place);

/* ---- curl_socket.c: callbacks of the multi handle, and descriptors ---- */

void group_install_socket(struct curl_group *group, const struct curl_real *real);
void group_install_timer(struct curl_group *group, const struct curl_real *real);
void group_callback_replay(struct curl_group *group, struct curl_handle *handle, const struct journal_entry *entry);
/* curl_multi_assign. False: it is no descriptor of the replay's. */
bool group_assign(struct curl_group *group, int fd, void *own);
/* Replay: curl_multi_fdset has given them out. */
void group_stand_in_sets(struct curl_group *group, const uint64_t *sets);
/* Live: takes back the descriptors that the replay has given by callbacks. */
void group_take_back_sockets(struct curl_group *group);
/* Those that are left mean nothing any more: curl_multi_fdset gives others, or the group is gone. */
void group_forget_sockets(struct curl_group *group);
/* The process goes live: who waits for a stand-in is woken. */
void sockets_wake_waiting(void);

/* Passing: has the program's timer set to what libcurl or a retry wants first. */
void group_set_timer(struct curl_group *group);

/* ---- curl_group_retry.c: transfers that wait for their next try ---- */

/* Passing: libcurl gives the handle back until then. */
void group_retry_later(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real);
/* Passing: libcurl gets those again whose time has come. */
void group_retry_due(struct curl_group *group, const struct curl_real *real);
/* The handle does not wait any more. */
void group_forget_retry(struct curl_handle *handle);
/* timeout_ms (negative: none), or less, so that the next try is made in time. */
long group_retry_timeout(const struct curl_group *group, long timeout_ms);

/* ---- curl_multi.c ---- */

/* Bytes of the three sets of curl_multi_fdset. */
#define GROUP_SETS_SIZE (3 * 128)

/* A call of one of libcurl's functions that work on a multi handle. */
struct operation {
  struct call call;
  struct curl_group *group;
  /* what it gives: two pieces, each may be NULL */
  void *first, *second;
  size_t first_size, second_size;
  /* the arguments of those that have such */
  unsigned extra_count;
  int timeout_ms, fd, events;
};

void operation_begin(struct operation *operation, unsigned id, struct curl_group *group);
int operation_run(struct operation *operation, const struct curl_real *real);
int group_add(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real);
int group_take_out(struct curl_group *group, struct curl_handle *handle, const struct curl_real *real);
int group_cleanup(struct curl_group *group, const struct curl_real *real);
int group_wakeup(struct curl_group *group, const struct curl_real *real);
int group_assign_own(struct curl_group *group, const struct curl_real *real, int fd, void *own);
void *group_init(const struct curl_real *real);

#endif
