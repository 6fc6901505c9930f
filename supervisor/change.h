/* SPDX-License-Identifier: Apache-2.0 */
/* What a call's intent is about, as far as recovery has to know: which argument is which path. */
#ifndef PERDURE_SUPERVISOR_CHANGE_H
#define PERDURE_SUPERVISOR_CHANGE_H

#include "journal/entry.h"

enum change_kind {
  CHANGE_OTHER, /* nothing that recovery follows: repeated */
  CHANGE_OPEN,
  CHANGE_RENAME,
  CHANGE_LINK,
  CHANGE_SYMLINK,
  CHANGE_MAKE,   /* mkdir, mknod */
  CHANGE_BIND,   /* of a socket, to a path */
  CHANGE_REMOVE, /* unlink, rmdir */
  CHANGE_WRITE,
  CHANGE_RESIZE,    /* truncate, fallocate */
  CHANGE_ATTRIBUTE, /* mode, owner, times, extended attributes */
  CHANGE_SYNC,
  CHANGE_SLEEP,
  CHANGE_EXEC,
  CHANGE_FORK,
  CHANGE_EXCHANGE, /* a request and its answer: goes on where it was */
};

struct change {
  uint16_t call; /* x86-64's number */
  uint8_t kind;  /* enum change_kind */
  uint8_t arg;   /* the path argument: the old one of two; the target of a symlink */
  uint8_t arg2;  /* the new path of two */
  uint8_t flags; /* the argument that holds flags or a mode */
};

#define CHANGE_ARG_NONE 0xffu

/* The row of `call`; a row of kind CHANGE_OTHER for calls that have none. */
const struct change *change_of(unsigned call);

/* Flags of an open's intent: O_CREAT and the like. creat's are what it means; openat2's lie in memory
 * and are taken from the intent's INPUT segment of that argument (struct open_how); without one, 0. */
uint64_t change_open_flags(const struct change *change, const struct journal_entry *intent);
/* args[arg], or 0 where the entry has not so many. */
uint64_t entry_arg(const struct journal_entry *entry, unsigned arg);

/* Does nobody but the other side know whether it happened? */
bool change_remote(const struct journal_entry *intent);

#endif
