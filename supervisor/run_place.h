/* SPDX-License-Identifier: Apache-2.0 */
/* Where runs lie, and what they are called.
 *
 *   DIRECTORY/           $PERDURE_DIR, else $XDG_STATE_HOME/perdure, else ~/.local/state/perdure; 0700
 *     cache/             boundary images, shared by all runs
 *     runs/ID/           run.db, tail, feed, kept/, and two files that are only locked: lock, owner
 */
#ifndef PERDURE_SUPERVISOR_RUN_PLACE_H
#define PERDURE_SUPERVISOR_RUN_PLACE_H

#include "supervisor/store.h"

#include <limits.h>

#define RUN_ID_SIZE 128u /* with the NUL */

struct run_place {
  char id[RUN_ID_SIZE];
  char base[PATH_MAX];      /* absolute, symlinks resolved */
  char cache[PATH_MAX];
  char directory[PATH_MAX]; /* the run's */
};

/* perdure's directory, made if it is missing. directory: the user's word, or NULL for the
 * environment's. ret_base has PATH_MAX bytes. */
int run_place_base(const char *directory, char *ret_base, struct failure *failure);

/* Letters, digits, '.', '_', '-'; not starting with '.' or '-'; shorter than RUN_ID_SIZE. */
bool run_id_valid(const char *id);
/* NAME-HASH: NAME is the command's last path component, HASH 8 hex digits over argv and cwd.
 * ret_id has RUN_ID_SIZE bytes. */
void run_id_make(char *const *argv, const char *cwd, char *ret_id);

/* The place of run `id`, whether it exists or not. -EINVAL: no valid id. */
int run_place_find(const char *base, const char *id, struct run_place *ret_place,
                   struct failure *failure);
/* The same, and it must hold a run. -ENOENT: there is none. */
int run_place_existing(const char *base, const char *id, struct run_place *ret_place,
                       struct failure *failure);
/* Makes the directories. Refuses one that belongs to somebody else. */
int run_place_make(const struct run_place *place, struct failure *failure);
/* The folders that a run's directory holds. */
int run_place_folders(const struct run_place *place, struct failure *failure);
/* DIRECTORY/NAME of the run, into PATH_MAX bytes, which is always enough. */
void run_place_path(const struct run_place *place, const char *name, char *ret_path);
/* Removes everything of the run but `owner` and the directory itself, the store first. */
int run_place_clear(const struct run_place *place, struct failure *failure);
/* With the owner's lock held: removes the run's directory if it holds no run. */
void run_place_forget_empty(const struct run_place *place);
/* Where a finished run has what was in kept/, if it is to be replayed whole or tried again. */
#define RUN_KEPT_WHOLE "kept.whole"
/* Removes what only an unfinished run needs: tail, feed, kept/. replayable: what kept/ held stays as
 * RUN_KEPT_WHOLE. */
int run_place_tidy(const struct run_place *place, bool replayable, struct failure *failure);

/* Makes the folders of a finished run what an unfinished one's are, with what it had kept. */
int run_place_untidy(const struct run_place *place, struct failure *failure);

/* Calls `each` with every run's id, in the directory's order, until it returns non-zero. */
int run_place_list(const char *base, int (*each)(const char *id, void *context), void *context,
                   struct failure *failure);

#endif
