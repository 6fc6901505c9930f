/* SPDX-License-Identifier: Apache-2.0 */
/* What a msghdr holds, and the descriptors that go along with messages. */
#ifndef PERDURE_SHIM_MESSAGES_H
#define PERDURE_SHIM_MESSAGES_H

#include "shim/engine.h"

/* struct msghdr. */
struct message {
  void *name;
  uint32_t name_length;
  struct io_vector *pieces;
  uint64_t piece_count;
  void *control;
  uint64_t control_length;
  int flags;
};

/* struct mmsghdr. */
struct message_of_many {
  struct message message;
  uint32_t length;
};

#define PASSED_MAX 253   /* descriptors of one message, in Linux */
#define DESCRIBED_MAX 8  /* of those, how many an entry describes */

/* The descriptors in a message's control bytes; at most PASSED_MAX. */
unsigned passed_list(const void *control, uint64_t length, int fds[PASSED_MAX]);
/* The process's own number in credentials, as the program knows it, or (real) as the kernel does. */
void passed_translate(void *control, uint64_t length, bool real);
/* Adds what they are to an entry; `rows` is read at draft_append. */
void passed_add(struct draft *draft, const int *fds, unsigned count, struct journal_descriptor rows[DESCRIBED_MAX]);
/* Replay: a message that leaves by a named socket takes them along; the same process may get them back. */
void passed_hold(const int *fds, unsigned count, const struct journal_entry *intent);
/* Replay: they come out of such a message, with the numbers that the entry says; what was not sent by this
 * process is a closed pipe, or a broken connection. */
void passed_give(const struct journal_entry *entry);
/* Replay: `made` become `wanted`. */
void passed_place(int *made, const int *wanted, unsigned count);
/* Going live: what is on its way is not any more. */
void passed_go_live(void);

#endif
