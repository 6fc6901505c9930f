/* SPDX-License-Identifier: Apache-2.0 */
/* A place in a run's journal behind which the run can go on otherwise: what revert and fork have in common.
 *
 * What comes after the place stays in the journal, as what failed and is tried again does (run_regions.c): its entries are left
 * out of every replay, the bytes that they kept of changed files are still there, and files are where it has put them. A place is one
 * where a crash could have left the journal without anything being under way: no call that has begun and not ended, no
 * exchange with a server, no atomic region. */
#ifndef PERDURE_SUPERVISOR_RUN_CUT_H
#define PERDURE_SUPERVISOR_RUN_CUT_H

#include "supervisor/run_attempt.h"

struct run_cut {
  struct run_place place;
  struct run_lock lock;
  struct store *store;
  enum run_state state;
  uint64_t seq, position; /* of the last entry that stays */
  bool undone;            /* the unfinished region that begins at undone_begin has gone back */
  uint64_t undone_begin;
  uint64_t count, end;    /* of all: how many entries, and the position behind the last */
};

/* Owns the run, ends what a dead attempt has left, moves its tail to the store, and looks at the place. seq 0: the last
 * entry. -EBUSY: the run is live. -EINVAL: there is no such entry, it was taken back, or something is under way there;
 * failure names the next place before it that is one. Nothing of the run has changed but where its tail lies. */
int run_cut_open(const struct run_place *place, uint64_t seq, struct run_cut *ret_cut, struct failure *failure);
void run_cut_close(struct run_cut *cut);

/* In one transaction, on disk when it returns 0: what comes after the place is taken back in `store`, which is the run's or a
 * copy of it, and the run is unfinished. also, if not NULL, is called in the transaction. */
int run_cut_mark(const struct run_cut *cut, struct store *store,
                 int (*also)(struct store *store, void *context, struct failure *failure), void *context,
                 struct failure *failure);

/* Visits what comes after the place and was an effect: changes of files, what was sent, commands. Not what had been taken
 * back before. */
int run_cut_effects(const struct run_cut *cut,
                    void (*visit)(const struct journal_entry *entry, uint64_t seq, void *context), void *context,
                    struct failure *failure);

/* revert: the run goes on behind entry seq. What it has done to files and to the world since is left as it is, but for an
 * unfinished atomic region, which goes back. Killed at any line, the run is as before or reverted. */
int run_revert(const struct run_place *place, uint64_t seq,
               void (*visit)(const struct journal_entry *entry, uint64_t seq, void *context), void *context,
               uint64_t *ret_taken_back, struct failure *failure);

/* run_fork.c: `to`, which must hold no run, becomes a run that goes on behind entry seq (0: the last) of this one, which stays as
 * it is. *ret_seq: that entry. -EEXIST: there is such a run. Killed at any line, there is the new run or none. */
int run_fork(const struct run_place *place, uint64_t seq, const struct run_place *to, uint64_t *ret_seq,
             struct failure *failure);

#endif
