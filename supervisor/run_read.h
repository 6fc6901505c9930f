/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at runs, also at live ones, without touching them. */
#ifndef PERDURE_SUPERVISOR_RUN_READ_H
#define PERDURE_SUPERVISOR_RUN_READ_H

#include "supervisor/run.h"

#include <sys/types.h>

/* What a run is, for a person. */
struct run_info {
  enum run_state state; /* as it is now: a `running` one that nobody supervises is `unfinished` */
  bool live;
  pid_t supervisor_pid; /* of a live one; -1: not known yet */
  int exit_status;      /* of a finished one */
  unsigned sync;
  uint64_t attempt_count, entry_count;
  int64_t created_ns;
  char *command; /* argv, quoted for a shell */
  char *cwd;
  char *store;    /* that it was read from, without the password; NULL: this machine's */
  char *owner;    /* of a run in a store: who had it last, for people */
  uint64_t epoch; /* of that one */
};
/* secrets: the command is shown with its passwords (secrets.h). -ENOENT: the run never began. */
int run_info_read(const struct run_place *place, bool secrets, struct run_info *ret_info,
                  struct failure *failure);
void run_info_release(struct run_info *info);

/* Walks a run's entries: those in the store, then those in the tail that the drain has not moved. */
struct run_reader;
/* Opens the store read-only; first_seq counts from 1. */
int run_reader_open(const struct run_place *place, uint64_t first_seq, struct run_reader **ret_reader,
                    struct failure *failure);
/* The next entry, valid until the next call; *ret_entry is NULL when there is none yet: of a live
 * run, call again later. */
int run_reader_next(struct run_reader *reader, const struct journal_entry **ret_entry,
                    uint64_t *ret_seq, struct failure *failure);
/* From here on entries come with their secrets hidden (secrets.h). -ENOMEM. */
int run_reader_hide(struct run_reader *reader, struct failure *failure);
struct store *run_reader_store(struct run_reader *reader);
void run_reader_close(struct run_reader *reader);

/* Waiting for news of a live run. */
struct run_watch {
  int events_fd; /* inotify: the run's directory */
  struct run_place place;
};
int run_watch_open(const struct run_place *place, struct run_watch *ret_watch, struct failure *failure);
/* Returns when the store or the directory has changed since the last call, or nobody supervises the
 * run any more. *ret_live: somebody does. */
int run_watch_wait(struct run_watch *watch, bool *ret_live, struct failure *failure);
void run_watch_close(struct run_watch *watch);

/* run_regions.c: what was taken back with unfinished atomic regions, and what failed and was forgotten to be tried again, or was
 * reverted by a person: entries between two positions, without the two. */
struct run_rewound {
  struct run_range {
    uint64_t begin, end;
    bool forgotten;
  } *list;
  size_t count;
};
int run_rewound_load(struct store *store, struct run_rewound *ret_rewound, struct failure *failure);
/* One more, up to the journal's end: inside a transaction, or one of its own. */
int run_rewound_add(struct store *store, const struct run_range *range, struct failure *failure);
void run_rewound_release(struct run_rewound *rewound);
bool run_rewound_has(const struct run_rewound *rewound, uint64_t position);

#endif
