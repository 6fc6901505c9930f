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
  DESCRIPTOR_TIMERFD,
  DESCRIPTOR_SIGNALFD,
  DESCRIPTOR_INOTIFY,
  DESCRIPTOR_ANONYMOUS,   /* epoll, ... */
  DESCRIPTOR_MEMFD,       /* the program's own */
  DESCRIPTOR_SOCKET,
  DESCRIPTOR_TERMINAL,    /* an end of a terminal made inside the run */
  DESCRIPTOR_NAMED_PIPE,  /* what stands for a named pipe since replay */
  DESCRIPTOR_DEVICE,      /* a character or block device, or a named pipe */
  DESCRIPTOR_OUTER,       /* not a regular file, and the run was started with it */
  DESCRIPTOR_PLACEHOLDER, /* replay: stands for a file */
};

enum {
  DESCRIPTOR_APPEND = 1,
  DESCRIPTOR_FRESH = 2,      /* the file was empty when this was opened, so its writes are all of it */
  DESCRIPTOR_GHOST = 4,      /* a placeholder whose file has no name any more: it has a store */
  DESCRIPTOR_REFERENCED = 8, /* known to be in the header's list of referenced files */
  DESCRIPTOR_LISTS_FDS = 16, /* a directory of /proc that lists descriptors */
  DESCRIPTOR_OUTER_FILE = 32, /* a regular file that the run was started with */
  DESCRIPTOR_MAPPED = 64,    /* a placeholder whose file is mapped here: it has a store */
  DESCRIPTOR_KERNEL = 128,   /* a socket whose other end is the kernel */
  DESCRIPTOR_UNJOURNALED = 256, /* opened where nothing is journaled: in replay it is what it was */
  DESCRIPTOR_NOTED = 512,       /* and the journal knows that file */
  DESCRIPTOR_ZEROS = 1024,      /* /dev/zero or /dev/full: what is read is known without being recorded */
};

struct descriptor {
  uint8_t kind;
  uint16_t flags;
  uint16_t outer;       /* index in the header's list, for OUTER and OUTER_FILE */
  int32_t inline_bytes; /* how many more read bytes may be recorded rather than referenced */
  uint64_t device, inode, birth_ns; /* PLACEHOLDER: the file's that it stands for */
  uint64_t outcome, opening;        /* PLACEHOLDER: in the feed, what came of opening it, and the call */
};

/* The descriptor's record, asked from the kernel when unknown. Valid until it is closed or replaced;
 * numbers past the table's end share one record that is filled anew each time. */
struct descriptor *descriptor_get(int fd);
/* Forgets it: closed, or about to mean something else. */
void descriptor_forget(int fd);
void descriptor_forget_all(void);
void descriptor_forget_range(unsigned first, unsigned last);
/* Asks about all that is open: what is not known cannot be missed when its file loses its name. */
void descriptors_learn(void);
/* The flags of fd's description, which other numbers may have too, are not what they were. */
void descriptor_status_changed(int fd);
/* fd `to` is now the same description as `from`. */
void descriptor_copy(int from, int to);
/* The first number from `fd` on that something is known of, or -1. */
int descriptor_next_known(unsigned fd);
/* The next number above `after` that is known as a placeholder of that file, or -1. */
int descriptor_next_placeholder(int after, uint64_t device, uint64_t inode, uint64_t birth_ns);
/* Is a descriptor open on that file, other than one whose writes are all of it? */
bool descriptor_needs_file(uint64_t device, uint64_t inode);
/* Marks what is open on that file as no longer rebuilt from its writes alone. */
void descriptor_not_fresh(int fd);

/* Calls visit for each open descriptor but the run's lock. */
void each_descriptor(void (*visit)(int fd, void *context), void *context);

/* Makes the stand-in for the file that `opening` opened with this outcome (the same entry, where the call
 * was observed). Returns the number, which is the lowest free one, or -errno. */
int64_t placeholder_make(const struct journal_entry *outcome, const struct journal_entry *opening,
                         uint64_t open_flags);
/* Puts the file itself in a placeholder's place: in replay, for a call that needs it; live, where it comes out
 * of a message that was on its way. */
void placeholder_replace(int fd);
/* Replay: what a call gave as `fd` had the number `wanted` when it was recorded. Threads that make
 * descriptors at the same time are recorded in another order than the kernel numbered them. */
void descriptor_place(int64_t fd, int64_t wanted, const char *what);

/* The run's lock lies on a descriptor that the program does not know of, and that is not closed for it. */
bool is_run_lock(uint64_t fd);
/* close_range(2), but for that one. */
int64_t close_range_around_lock(unsigned first, unsigned last, uint64_t flags);

/* Opens a file for perdure's own use, close-on-exec, also where the program has used up its numbers. */
int64_t open_aside(int dirfd, const char *path, uint64_t flags, uint64_t mode);

void file_from_statx(struct journal_file *file, const struct statx *stx);
/* statx by descriptor and path ("" with AT_EMPTY_PATH for the descriptor itself). 0 or -errno. */
int64_t file_look(int dirfd, const char *path, unsigned flags, struct journal_file *ret_file);

#endif
