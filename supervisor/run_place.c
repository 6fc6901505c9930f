/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and names of runs.
 *
 * A crash at any line leaves directories that are made again, or a run whose store is gone, which
 * counts as one that never began: clearing removes the store before the rest. */
#include "supervisor/run_place.h"

#include "journal/retry_rules.h"
#include "journal/tail.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room for "/runs/ID/NAME" behind the base, in the tail's header too. */
#define BASE_LENGTH_MAX (TAIL_PATH_SIZE - RUN_ID_SIZE - 64)

static int make_directories(const char *path, struct failure *failure)
{
  char part[PATH_MAX];
  size_t length = strlen(path);

  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/' && path[i] != '\0')
      continue;
    memcpy(part, path, i);
    part[i] = '\0';
    if (mkdir(part, 0700) < 0 && errno != EEXIST)
      return failure_set(failure, -errno,
                         "cannot make %s: %s; give another directory with --dir or PERDURE_DIR", part,
                         strerror(errno));
  }
  return 0;
}

static int wanted_base(const char *directory, char *ret_path, struct failure *failure)
{
  const char *state = getenv("XDG_STATE_HOME");
  const char *home = getenv("HOME");
  int length;

  if (directory == NULL || directory[0] == '\0')
    directory = getenv("PERDURE_DIR");
  if (directory != NULL && directory[0] != '\0')
    length = snprintf(ret_path, PATH_MAX, "%s", directory);
  else if (state != NULL && state[0] == '/')
    length = snprintf(ret_path, PATH_MAX, "%s/perdure", state);
  else if (home != NULL && home[0] == '/')
    length = snprintf(ret_path, PATH_MAX, "%s/.local/state/perdure", home);
  else
    return failure_set(failure, -ENOENT,
                       "no directory for runs: HOME is not set; give one with --dir or PERDURE_DIR");
  if (length >= (int)BASE_LENGTH_MAX)
    return failure_set(failure, -ENAMETOOLONG,
                       "the directory for runs has a path of %d bytes: %u is the limit; give a "
                       "shorter one with --dir or PERDURE_DIR", length, BASE_LENGTH_MAX);
  return 0;
}

int run_place_base(const char *directory, char *ret_base, struct failure *failure)
{
  char wanted[PATH_MAX], resolved[PATH_MAX];
  int error = wanted_base(directory, wanted, failure);

  if (error < 0)
    return error;
  error = make_directories(wanted, failure);
  if (error < 0)
    return error;
  if (realpath(wanted, resolved) == NULL)
    return failure_set(failure, -errno, "cannot use %s: %s; give another directory with --dir or "
                       "PERDURE_DIR", wanted, strerror(errno));
  if (strlen(resolved) >= BASE_LENGTH_MAX)
    return failure_set(failure, -ENAMETOOLONG, "cannot use %s: its path is too long; give another "
                       "directory with --dir or PERDURE_DIR", wanted);
  strcpy(ret_base, resolved);
  return 0;
}

static bool id_character(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool run_id_valid(const char *id)
{
  size_t length = strlen(id);

  if (length == 0 || length >= RUN_ID_SIZE || id[0] == '.' || id[0] == '-')
    return false;
  for (size_t i = 0; i < length; i++)
    if (!id_character(id[i]))
      return false;
  return true;
}

void run_id_make(char *const *argv, const char *cwd, char *ret_id)
{
  const char *slash = strrchr(argv[0], '/');
  const char *name = slash != NULL && slash[1] != '\0' ? slash + 1 : argv[0];
  XXH3_state_t state;
  size_t length = 0;

  XXH3_64bits_reset(&state);
  for (size_t i = 0; argv[i] != NULL; i++)
    XXH3_64bits_update(&state, argv[i], strlen(argv[i]) + 1);
  XXH3_64bits_update(&state, cwd, strlen(cwd) + 1);

  for (; length < RUN_ID_SIZE - 16 && name[length] != '\0'; length++)
    ret_id[length] = id_character(name[length]) ? name[length] : '_';
  if (length == 0)
    ret_id[length++] = '_';
  if (ret_id[0] == '.' || ret_id[0] == '-')
    ret_id[0] = '_';
  sprintf(ret_id + length, "-%08x", (unsigned)XXH3_64bits_digest(&state));
  assert(run_id_valid(ret_id));
}

int run_place_find(const char *base, const char *id, struct run_place *ret_place,
                   struct failure *failure)
{
  if (!run_id_valid(id))
    return failure_set(failure, -EINVAL, "'%.60s' is no run id: an id has up to %u letters, digits, "
                       "'.', '_' and '-', and does not start with '.' or '-'; choose another", id,
                       RUN_ID_SIZE - 1);
  assert(strlen(base) < BASE_LENGTH_MAX);
  strcpy(ret_place->id, id);
  strcpy(ret_place->base, base);
  strcpy(stpcpy(ret_place->cache, base), "/cache");
  strcpy(stpcpy(stpcpy(ret_place->directory, base), "/runs/"), id);
  return 0;
}

int run_place_folders(const struct run_place *place, struct failure *failure)
{
  static const char *const folders[] = {"kept", "blobs"};
  char path[PATH_MAX];

  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    run_place_path(place, folders[i], path);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
      return failure_set(failure, -errno, "cannot make %s: %s; look at that directory's permissions",
                         path, strerror(errno));
  }
  return 0;
}

void run_place_path(const struct run_place *place, const char *name, char *ret_path)
{
  assert(strlen(place->directory) + 1 + strlen(name) < PATH_MAX);
  strcpy(stpcpy(stpcpy(ret_path, place->directory), "/"), name);
}

int run_place_existing(const char *base, const char *id, struct run_place *ret_place,
                       struct failure *failure)
{
  struct run_place place;
  char store[PATH_MAX];
  int error = run_place_find(base, id, &place, failure);

  if (error < 0)
    return error;
  run_place_path(&place, "run.db", store);
  if (access(store, F_OK) < 0)
    return failure_set(failure, -ENOENT, "there is no run %s in %s: %s; `perdure ls` lists the runs",
                       id, base, strerror(errno));
  *ret_place = place;
  return 0;
}

static int make_one(const char *path, struct failure *failure)
{
  struct stat status;

  if (mkdir(path, 0700) < 0 && errno != EEXIST)
    return failure_set(failure, -errno, "cannot make %s: %s; give another directory with --dir or "
                       "PERDURE_DIR", path, strerror(errno));
  if (stat(path, &status) < 0)
    return failure_set(failure, -errno, "cannot look at %s: %s; give another directory with --dir or "
                       "PERDURE_DIR", path, strerror(errno));
  if (status.st_uid != geteuid())
    return failure_set(failure, -EPERM, "%s belongs to user %u: a run is its owner's alone; become "
                       "that user, or give another directory with --dir or PERDURE_DIR", path,
                       status.st_uid);
  return 0;
}

int run_place_make(const struct run_place *place, struct failure *failure)
{
  char runs[PATH_MAX];
  int error = make_one(place->cache, failure);

  if (error < 0)
    return error;
  strcpy(stpcpy(runs, place->base), "/runs");
  error = make_one(runs, failure);
  if (error < 0)
    return error;
  return make_one(place->directory, failure);
}

/* Removes one name below directory_fd, with everything below it. */
static int remove_tree(int directory_fd, const char *name)
{
  struct dirent *found;
  DIR *directory;
  int fd, error = 0;

  if (unlinkat(directory_fd, name, 0) == 0 || errno == ENOENT)
    return 0;
  if (errno != EISDIR && errno != EPERM)
    return -errno;
  fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  directory = fdopendir(fd);
  if (directory == NULL) {
    error = -errno;
    close(fd);
    return error;
  }
  while (error == 0 && (found = readdir(directory)) != NULL)
    if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
      error = remove_tree(fd, found->d_name);
  closedir(directory);
  if (error == 0 && unlinkat(directory_fd, name, AT_REMOVEDIR) < 0)
    error = -errno;
  return error;
}

/* names first, in order; then, if `all`, everything else but owner. */
static int remove_names(const struct run_place *place, const char *const *names, bool all,
                        struct failure *failure)
{
  int fd = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct dirent *found;
  DIR *directory;
  int error = 0;

  if (fd < 0)
    return failure_set(failure, -errno, "cannot open %s: %s; look at its permissions",
                       place->directory, strerror(errno));
  for (; error == 0 && *names != NULL; names++)
    error = remove_tree(fd, *names);
  directory = fdopendir(fd);
  while (all && error == 0 && directory != NULL && (found = readdir(directory)) != NULL)
    if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0 &&
        strcmp(found->d_name, "owner") != 0)
      error = remove_tree(fd, found->d_name);
  if (directory != NULL)
    closedir(directory);
  else
    close(fd);
  if (error < 0)
    return failure_set(failure, error, "cannot empty %s: %s; look at its permissions",
                       place->directory, strerror(-error));
  return 0;
}

int run_place_clear(const struct run_place *place, struct failure *failure)
{
  /* The write-ahead log last: a store without it is merely older, a log without a store is nothing. */
  static const char *const store_first[] = {"run.db", "run.db-shm", "run.db-wal", NULL};

  return remove_names(place, store_first, true, failure);
}

int run_place_tidy(const struct run_place *place, bool replayable, struct failure *failure)
{
  static const char *const names[] = {"tail", "tail.next", "tail.next.new", "feed", RETRY_RULES_FILE, "kept", NULL};
  char kept[PATH_MAX], whole[PATH_MAX];

  run_place_path(place, "kept", kept);
  run_place_path(place, RUN_KEPT_WHOLE, whole);
  /* Once: what lies in kept/ later is a replay's own. */
  if (replayable && renameat2(AT_FDCWD, kept, AT_FDCWD, whole, RENAME_NOREPLACE) < 0 && errno != EEXIST &&
      errno != ENOENT)
    return failure_set(failure, -errno, "cannot rename %s: %s; look at that directory's permissions", kept,
                       strerror(errno));
  /* Long bodies belong to the journal; mostly there are none. */
  run_place_path(place, "blobs", kept);
  rmdir(kept);
  return remove_names(place, names, false, failure);
}

int run_place_untidy(const struct run_place *place, struct failure *failure)
{
  static const char *const names[] = {"kept", NULL};
  char kept[PATH_MAX], whole[PATH_MAX];
  int error;

  run_place_path(place, "kept", kept);
  run_place_path(place, RUN_KEPT_WHOLE, whole);
  if (access(whole, F_OK) == 0) {
    /* What lies there now is a replay's. */
    error = remove_names(place, names, false, failure);
    if (error < 0)
      return error;
    if (rename(whole, kept) < 0)
      return failure_set(failure, -errno, "cannot rename %s: %s; look at that directory's permissions", whole,
                         strerror(errno));
  }
  return run_place_folders(place, failure);
}

void run_place_forget_empty(const struct run_place *place)
{
  char path[PATH_MAX];

  run_place_path(place, "run.db", path);
  if (access(path, F_OK) == 0 || errno != ENOENT)
    return;
  run_place_path(place, "lock", path);
  unlink(path);
  run_place_path(place, "owner", path);
  unlink(path);
  rmdir(place->directory);
}

int run_place_list(const char *base, int (*each)(const char *id, void *context), void *context,
                   struct failure *failure)
{
  char runs[PATH_MAX];
  struct dirent *found;
  DIR *directory;
  int stop = 0;

  strcpy(stpcpy(runs, base), "/runs");
  directory = opendir(runs);
  if (directory == NULL && errno == ENOENT)
    return 0;
  if (directory == NULL)
    return failure_set(failure, -errno, "cannot read %s: %s; look at its permissions", runs,
                       strerror(errno));
  while (stop == 0 && (found = readdir(directory)) != NULL)
    if (run_id_valid(found->d_name))
      stop = each(found->d_name, context);
  closedir(directory);
  return stop < 0 ? stop : 0;
}
