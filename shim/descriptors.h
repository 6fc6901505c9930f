/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine knows of a descriptor. A cache: whatever is not known is asked from the kernel, so
 * that it may be forgotten at any time (an exec does). */
#ifndef PERDURE_SHIM_DESCRIPTORS_H
#define PERDURE_SHIM_DESCRIPTORS_H

#include "shim/engine.h"

enum descriptor_kind {
  DESCRIPTOR_UNKNOWN = 0, /* not asked yet */
  DESCRIPTOR_NONE,        /* not open */
  DESCRIPTOR_REGULAR,
  DESCRIPTOR_DIRECTORY,
  DESCRIPTOR_PIPE,        /* made inside the run */
  DESCRIPTOR_PAIR,        /* a socket of a socketpair made inside the run */
  DESCRIPTOR_EVENTFD,
  DESCRIPTOR_ANONYMOUS,   /* epoll, timerfd, signalfd, inotify, ... */
  DESCRIPTOR_MEMFD,       /* the program's own */
  DESCRIPTOR_SOCKET,
  DESCRIPTOR_DEVICE,      /* a character or block device, or a named pipe */
  DESCRIPTOR_OUTER,       /* not a regular file, and the run was started with it */
  DESCRIPTOR_PLACEHOLDER, /* replay: stands for a file */
};

enum {
  DESCRIPTOR_APPEND = 1,
  DESCRIPTOR_FRESH = 2,      /* the file was empty when this was opened, so its writes are all of it */
  DESCRIPTOR_GHOST = 4,      /* a placeholder whose file has no name any more: writes are applied */
  DESCRIPTOR_REFERENCED = 8, /* known to be in the header's list of referenced files */
  DESCRIPTOR_LISTS_FDS = 16, /* a directory of /proc that lists descriptors */
  DESCRIPTOR_OUTER_FILE = 32, /* a regular file that the run was started with */
};

struct descriptor {
  uint8_t kind;
  uint8_t flags;
  uint16_t outer;       /* index in the header's list, for OUTER and OUTER_FILE */
  int32_t inline_bytes; /* how many more read bytes may be recorded rather than referenced */
  uint64_t device, inode, birth_ns;
  uint64_t feed_offset; /* PLACEHOLDER: of the entry that opened it */
};

/* The descriptor's record, asked from the kernel when unknown. Valid until it is closed or replaced;
 * numbers past the table's end share one record that is filled anew each time. */
struct descriptor *descriptor_get(int fd);
/* Forgets it: closed, or about to mean something else. */
void descriptor_forget(int fd);
void descriptor_forget_all(void);
/* fd `to` is now the same description as `from`. */
void descriptor_copy(int from, int to);
/* Is a descriptor open on that file, other than one whose writes are all of it? */
bool descriptor_needs_file(uint64_t device, uint64_t inode);
/* Marks what is open on that file as no longer rebuilt from its writes alone. */
void descriptor_not_fresh(int fd);

/* The open descriptors, without the run's lock. Returns how many fit. */
unsigned list_descriptors(int *ret_fds, unsigned room);

/* Makes the stand-in for the file that the entry at this place in the feed opened. Returns the
 * number, which is the lowest free one, or -errno. status: O_APPEND and such; descriptor: O_CLOEXEC. */
int64_t placeholder_make(const struct journal_entry *entry, uint64_t open_flags);

void file_from_statx(struct journal_file *file, const struct statx *stx);
/* statx by descriptor and path ("" with AT_EMPTY_PATH for the descriptor itself). 0 or -errno. */
int64_t file_look(int dirfd, const char *path, unsigned flags, struct journal_file *ret_file);

#endif
