/* SPDX-License-Identifier: Apache-2.0 */
/* fork: a run of another name with a copy of a journal. The store gets its name last: killed before, there is no run of that
 * name, and what lies there is cleared by the next one that wants it. The original is only read. */
#include "supervisor/run_cut.h"

#include "supervisor/check_tree.h"
#include "supervisor/clock.h"
#include "supervisor/store_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Kept files are known by their inode: another name for each, not a copy. They are never written to. */
static int link_kept(const struct run_cut *cut, const struct run_place *to, struct failure *failure)
{
  char from_path[PATH_MAX], to_path[PATH_MAX];
  struct dirent *found;
  int error = 0;

  run_place_path(&cut->place, "kept", from_path);
  if (access(from_path, F_OK) < 0)
    run_place_path(&cut->place, RUN_KEPT_WHOLE, from_path);
  run_place_path(to, "kept", to_path);
  DIR *from = opendir(from_path);
  if (from == NULL)
    return errno == ENOENT ? 0 : failure_set(failure, -errno, "cannot read %s: %s; look at its permissions", from_path,
                                             strerror(errno));
  int to_fd = open(to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (to_fd < 0)
    error = -errno;
  while (error == 0 && (found = readdir(from)) != NULL)
    if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0 &&
        linkat(dirfd(from), found->d_name, to_fd, found->d_name, 0) < 0)
      error = -errno;
  if (to_fd >= 0)
    close(to_fd);
  closedir(from);
  return error < 0 ? failure_set(failure, error, "cannot link what lies in %s to %s: %s; look at that directory's permissions",
                                 from_path, to_path, strerror(-error))
                   : 0;
}

/* Long bodies, which the new run may add to. */
static int copy_blobs(const struct run_cut *cut, const struct run_place *to, struct failure *failure)
{
  char from_path[PATH_MAX], to_path[PATH_MAX];

  run_place_path(&cut->place, "blobs", from_path);
  run_place_path(to, "blobs", to_path);
  if (access(from_path, F_OK) < 0)
    return 0;
  rmdir(to_path);
  return check_tree_copy(from_path, to_path, NULL, failure);
}

struct naming {
  const struct run_cut *cut;
  const struct run_place *to;
};

static int name_it(struct store *store, void *context, struct failure *failure)
{
  const struct naming *naming = context;
  char from[RUN_ID_SIZE + 32];

  snprintf(from, sizeof from, "%s %llu", naming->cut->place.id, (unsigned long long)naming->cut->seq);
  int error = store_meta_set_text(store, "id", naming->to->id, failure);
  if (error == 0)
    error = store_meta_set_text(store, "forked_from", from, failure);
  if (error == 0)
    error = store_meta_set_number(store, "created_ns", clock_ns(CLOCK_REALTIME), failure);
  return error;
}

/* Empty by now. */
static void remove_log(const struct run_place *to)
{
  static const char *const names[] = {"fork.db-wal", "fork.db-shm"};
  char path[PATH_MAX];

  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    run_place_path(to, names[i], path);
    unlink(path);
  }
}

static int make_copy(const struct run_cut *cut, const struct run_place *to, struct failure *failure)
{
  struct naming naming = {.cut = cut, .to = to};
  char made[PATH_MAX], path[PATH_MAX];
  struct store *store;

  run_place_path(to, "fork.db", made);
  run_place_path(to, "run.db", path);
  int error = run_place_clear(to, failure);
  if (error == 0)
    error = run_place_folders(to, failure);
  if (error == 0)
    error = link_kept(cut, to, failure);
  if (error == 0)
    error = copy_blobs(cut, to, failure);
  if (error == 0)
    error = store_copy(cut->store, made, failure);
  if (error == 0)
    error = store_open(made, false, &store, failure);
  if (error < 0)
    return error;
  error = run_cut_mark(cut, store, name_it, &naming, failure);
  /* A log has its database's name: what is in it would be lost with the other name. */
  if (error == 0)
    error = store_fold(store, failure);
  store_close(store);
  remove_log(to);
  if (error < 0)
    return error;
  error = store_rename(made, path);
  return error < 0 ? failure_set(failure, error, "cannot rename %s: %s; look at that directory's permissions", made,
                                 strerror(-error))
                   : 0;
}

int run_fork(const struct run_place *place, uint64_t seq, const struct run_place *to, uint64_t *ret_seq,
             struct failure *failure)
{
  struct run_lock lock = {.owner_fd = -1, .tree_fd = -1};
  struct failure ignored;
  struct run_cut cut;
  char path[PATH_MAX];
  int error = run_cut_open(place, seq, &cut, failure);

  if (error < 0)
    return error;
  error = run_lock_own(to, &lock, failure);
  if (error == 0) {
    run_place_path(to, "run.db", path);
    bool taken = access(path, F_OK) == 0;
    error = taken ? failure_set(failure, -EEXIST, "cannot make run %s: there is one already; give another name, or `perdure rm %s` first",
                                to->id, to->id)
                  : make_copy(&cut, to, failure);
    if (error < 0 && !taken)
      run_place_clear(to, &ignored);
    run_place_forget_empty(to);
  }
  if (error == 0)
    *ret_seq = cut.seq;
  else
    run_advise_for(failure, error);
  run_lock_release(&lock);
  run_cut_close(&cut);
  return error;
}
