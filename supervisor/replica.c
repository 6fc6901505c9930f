/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/replica.h"

#include "supervisor/blob.h"
#include "supervisor/run_lock.h"
#include "supervisor/run_replication.h"
#include "supervisor/store_follow.h"
#include "supervisor/store_head.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* After an error the next try is as late as this; without one, a look at whether the directory is still there. */
#define RETRY_NS 200000000l
#define LOOK_NS 1000000000l

struct replica {
  struct replica_options options;
  struct run_place place; /* of the replica */
  struct store *store;    /* the replica's own; NULL: not open */
  struct run_lock lock;   /* while it is open */
  bool seen;              /* device is known */
  dev_t device;           /* of the directory when it was opened first, */
  ino_t inode;            /* and of the open store */
  char *source_path;      /* of the run's own store */
  struct store_follower follower;
  bool given_up;          /* the directory has another run of that name, or more of this one */
  bool grown;             /* since the transaction began */
};

static void say(const struct replica *replica, enum run_loudness loudness, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct replica *replica, enum run_loudness loudness, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  say_list(replica->options.say, replica->options.context, loudness, format, arguments);
  va_end(arguments);
}

/* ---- the directory ---- */

int replica_directory(const char *text, char **ret_path, struct failure *failure)
{
  struct stat status;
  char *path = realpath(text, NULL);
  if (!path || stat(path, &status) < 0 || !S_ISDIR(status.st_mode)) {
    int error = errno;
    free(path);
    return failure_set(failure, -ENOTDIR, "--replica %.200s: %s; give a directory that is there", text,
                       error ? strerror(error) : "it is no directory");
  }
  *ret_path = path;
  return 0;
}

/* A store without a state has never been anybody's. */
static int may_forget(const struct run_place *place, int64_t born_ns, struct failure *failure)
{
  struct store *store;
  struct failure ignored;
  char path[PATH_MAX], *state = NULL;
  int64_t there_ns = 0;
  run_place_path(place, "run.db", path);
  if (access(path, F_OK) < 0)
    return 0;
  int error = store_open(path, true, &store, failure);
  if (error != 0)
    return error;
  bool begun = store_meta_text(store, "state", &state, &ignored) == 0;
  if (begun)
    error = store_meta_number(store, "created_ns", &there_ns, failure);
  free(state);
  store_close(store);
  if (error == 0 && begun && there_ns != born_ns)
    error = failure_set(failure, -EEXIST, "the replica in %s has a run %s, and it is not the one that begins anew; go on with it by `perdure resume "
                        "--dir %s %s`, or remove it by `perdure rm --dir %s %s`", place->base, place->id, place->base, place->id,
                        place->base, place->id);
  return error;
}

int replica_reset(const char *directory, const char *run_id, int64_t born_ns, struct failure *failure)
{
  struct run_place place;
  struct run_lock lock;
  int error = run_place_find(directory, run_id, &place, failure);
  if (error != 0 || access(place.directory, F_OK) < 0)
    return error;
  error = run_lock_own(&place, &lock, failure);
  if (error != 0)
    return error;
  error = may_forget(&place, born_ns, failure);
  if (error == 0)
    error = run_place_clear(&place, failure);
  run_lock_release(&lock);
  return error;
}

static bool is_the_same(struct replica *replica)
{
  struct stat status;
  char path[PATH_MAX];
  run_place_path(&replica->place, "run.db", path);
  return stat(path, &status) == 0 && status.st_dev == replica->device && status.st_ino == replica->inode;
}

static void close_store(struct replica *replica)
{
  store_close(replica->store);
  replica->store = NULL;
  run_lock_release(&replica->lock);
  replica->lock = (struct run_lock){.owner_fd = -1, .tree_fd = -1};
}

/* ---- as one of all stores: on disk at a commit ---- */

static int replica_end(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *failure)
{
  struct any_store own = store_any(((struct replica *)self)->store);
  return own.kind->end(own.self, ret_next_seq, ret_position, failure);
}

static int replica_head(void *self, struct store_head *ret_head, struct failure *failure)
{
  struct any_store own = store_any(((struct replica *)self)->store);
  return own.kind->head(own.self, ret_head, failure);
}

static int replica_chunks(void *self, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure)
{
  return store_chunks(((struct replica *)self)->store, first_seq, each, context, failure);
}

/* Whoever goes on from here has nothing else of the attempt that runs now. */
static int replica_put_head(void *self, const struct store_head *head, struct failure *failure)
{
  struct replica *replica = self;
  int error = store_head_put(replica->store, head->bytes, head->length, failure);
  replica->grown = true;
  return error == 0 ? run_state_of_lost(replica->store, failure) : error;
}

static int replica_append(void *self, const struct store_chunk *chunks, unsigned count, struct failure *failure)
{
  struct replica *replica = self;
  struct any_store own = store_any(replica->store);
  replica->grown = true;
  return own.kind->append(own.self, chunks, count, failure);
}

static int replica_forget(void *self, struct failure *failure)
{
  struct replica *replica = self;
  replica->grown = true;
  return store_chunks_forget(replica->store, failure);
}

static int replica_begin(void *self, struct failure *failure)
{
  struct replica *replica = self;
  replica->grown = false;
  return store_begin(replica->store, failure);
}

static int replica_commit(void *self, struct failure *failure)
{
  struct replica *replica = self;
  int error = store_commit(replica->store, failure);
  return error == 0 && replica->grown ? store_sync(replica->store, failure) : error;
}

static void replica_rollback(void *self)
{
  store_rollback(((struct replica *)self)->store);
}

static struct any_store as_store(struct replica *replica)
{
  static const struct store_kind kind = {replica_end,    replica_head,  replica_chunks, replica_put_head, replica_append,
                                         replica_forget, replica_begin, replica_commit, replica_rollback};
  return (struct any_store){&kind, replica};
}

/* ---- opening ---- */

static int same_run(struct replica *replica, struct store *source, struct failure *failure)
{
  int64_t there, here;
  uint64_t position, there_count, here_count;
  struct failure ignored;
  int error = store_meta_number(source, "created_ns", &here, failure);
  if (error == 0)
    error = store_end(source, &position, &here_count, failure);
  if (error == 0)
    error = store_end(replica->store, &position, &there_count, failure);
  if (error != 0 || (there_count == 0 && store_meta_text(replica->store, "state", &(char *){NULL}, &ignored) == -ENOENT))
    return error;
  if (store_meta_number(replica->store, "created_ns", &there, &ignored) < 0 || there != here) {
    replica->given_up = true;
    return failure_set(failure, -EEXIST, "the replica in %s is of another run of that name; remove it by `perdure rm --dir %s %s`",
                       replica->place.base, replica->place.base, replica->place.id);
  }
  if (there_count == 0)
    return 0;
  struct store_mark there_last, here_last;
  error = store_mark_before(replica->store, there_count + 1, &there_last, failure);
  if (error == 0)
    error = store_mark_before(source, there_count + 1, &here_last, failure);
  if (error == 0 && (there_count > here_count || memcmp(&there_last, &here_last, sizeof here_last) != 0)) {
    replica->given_up = true;
    error = failure_set(failure, -EEXIST, "the replica in %s has %s of the run than its own store; go on from there by `perdure "
                        "resume --dir %s %s`, or remove it by `perdure rm --dir %s %s`", replica->place.base,
                        there_count > here_count ? "more" : "another past", replica->place.base, replica->place.id,
                        replica->place.base, replica->place.id);
  }
  return error;
}

/* What a crash has left of making one goes. */
static int make_file(struct replica *replica, const char *path, struct failure *failure)
{
  int error = run_place_clear(&replica->place, failure);
  if (error == 0)
    error = run_place_folders(&replica->place, failure);
  return error == 0 ? store_create(path, TAIL_SYNC_ALL, &replica->store, failure) : error;
}

/* A disk that is not mounted leaves a directory that could be written to, and is another one. */
static int look_at_base(struct replica *replica, struct failure *failure)
{
  struct stat status;
  if (stat(replica->place.base, &status) < 0)
    return failure_set(failure, -errno, "the replica's directory %s: %s", replica->place.base, strerror(errno));
  if (replica->seen && status.st_dev != replica->device)
    return failure_set(failure, -ENXIO, "the replica's directory %s: another file system lies there than before", replica->place.base);
  replica->seen = true;
  replica->device = status.st_dev;
  return 0;
}

static int open_file(struct replica *replica, struct failure *failure)
{
  struct stat status;
  char path[PATH_MAX];
  run_place_path(&replica->place, "run.db", path);
  int error = look_at_base(replica, failure);
  if (error == 0)
    error = run_lock_own(&replica->place, &replica->lock, failure);
  if (error == 0)
    error = access(path, F_OK) == 0 ? store_open(path, false, &replica->store, failure) : make_file(replica, path, failure);
  if (error == 0 && stat(path, &status) < 0)
    error = failure_set(failure, -errno, "the replica %s: %s", path, strerror(errno));
  if (error == 0)
    replica->inode = status.st_ino;
  return error;
}

static int open_store(struct replica *replica, struct store *source, struct failure *failure)
{
  int error = open_file(replica, failure);
  if (error == 0)
    error = store_set_sync(replica->store, TAIL_SYNC_ALL, failure);
  if (error == 0)
    error = same_run(replica, source, failure);
  if (error == 0)
    error = store_pass_head(store_any(source), as_store(replica), failure);
  if (error == 0)
    error = store_sync_names(replica->store, failure);
  if (error != 0)
    close_store(replica);
  return error;
}

/* ---- copying ---- */

/* What chunks refer to is there before them. */
static int copy_blobs(struct replica *replica, struct failure *failure)
{
  char from[PATH_MAX];
  snprintf(from, sizeof from, "%s", replica->source_path);
  *strrchr(from, '/') = '\0';
  int error = blobs_copy(from, replica->place.directory);
  return error == 0 ? 0
                    : failure_set(failure, error, "cannot copy long bodies to the replica in %s: %s", replica->place.base,
                                  strerror(-error));
}

/* *ret_end: position; all below is on disk here. */
static int copy_journal(struct replica *replica, struct store *source, uint64_t *ret_end, struct failure *failure)
{
  uint64_t count;
  int error = copy_blobs(replica, failure);
  if (error == 0)
    error = store_catch_up(store_any(source), as_store(replica), failure);
  return error == 0 ? store_end(replica->store, ret_end, &count, failure) : error;
}

static int one_round(void *context, struct store *source, struct failure *failure)
{
  struct replica *replica = context;
  uint64_t end = 0;
  int error = 0;
  if (replica->store && !is_the_same(replica)) {
    close_store(replica);
    error = failure_set(failure, -ENOENT, "the replica in %s is gone", replica->place.base);
  }
  if (error == 0 && !replica->store)
    error = open_store(replica, source, failure);
  if (error == 0)
    error = copy_journal(replica, source, &end, failure);
  if (error == 0 && !is_the_same(replica))
    error = failure_set(failure, -ENOENT, "the replica in %s is gone", replica->place.base);
  if (error == 0)
    acknowledgements_directory(replica->options.acknowledgements, replica->options.number, end);
  else
    close_store(replica);
  return error;
}

/* ---- the thread ---- */

static void report(const struct replica *replica, int error, int last, const struct failure *failure)
{
  if (error != 0 && last == 0)
    say(replica, SAY_ERROR, "run %s: %s; the run goes on without it%s", replica->place.id, failure->text,
        replica->given_up ? "" : ", and it is sent what it lacks when it is there again");
  else if (error == 0 && last != 0)
    say(replica, SAY_ERROR, "run %s: the replica in %s works again", replica->place.id, replica->place.base);
}

static int64_t after_round(void *context, int error, int last, const struct failure *failure)
{
  const struct replica *replica = context;
  report(replica, error, last, failure);
  return replica->given_up ? -1 : error ? RETRY_NS : LOOK_NS;
}

static void replica_free(struct replica *replica)
{
  close_store(replica);
  free(replica->source_path);
  free(replica);
}

/* Before the program begins it can still be refused. */
static int open_first(struct replica *replica, struct store *store, struct failure *failure)
{
  struct failure why;
  int error = open_store(replica, store, &why);
  if (error == -EBUSY || replica->given_up) {
    *failure = why;
    return error;
  }
  report(replica, error, 0, &why);
  return 0;
}

int replica_start(const struct replica_options *options, struct store *store, const char *store_path,
                  struct tail_header *header, struct replica **ret_replica, struct failure *failure)
{
  struct replica *replica = calloc(1, sizeof *replica);
  if (!replica || !(replica->source_path = strdup(store_path))) {
    free(replica);
    return failure_set(failure, -ENOMEM, "cannot begin a replica: out of memory");
  }
  replica->options = *options;
  replica->lock = (struct run_lock){.owner_fd = -1, .tree_fd = -1};
  int error = run_place_find(options->directory, options->run_id, &replica->place, failure);
  if (error == 0)
    error = open_first(replica, store, failure);
  if (error == 0) {
    replica->follower = (struct store_follower){
      .source_path = replica->source_path, .shared = &header->replication, .round = one_round, .after = after_round,
      .context = replica, .last = replica->store ? 0 : -ENOENT /* said when it was opened */};
    error = store_follower_start(&replica->follower);
    if (error != 0)
      error = failure_set(failure, error, "cannot begin a replica: %s", strerror(-error));
  }
  if (error != 0) {
    replica_free(replica);
    return error;
  }
  *ret_replica = replica;
  return 0;
}

void replica_halt(struct replica *replica)
{
  if (replica)
    store_follower_halt(&replica->follower);
}

void replica_finish(struct replica *replica, struct store *store)
{
  struct failure failure;
  uint64_t end;
  if (!replica)
    return;
  replica_halt(replica);
  if (store && !replica->given_up) {
    int error = replica->store ? 0 : open_store(replica, store, &failure);
    if (error == 0)
      error = copy_journal(replica, store, &end, &failure);
    if (error == 0)
      error = store_pass_head(store_any(store), as_store(replica), &failure);
    if (error != 0)
      say(replica, SAY_ERROR, "run %s: %s; the newest part of its journal is not in that replica", replica->place.id, failure.text);
  }
  replica_free(replica);
}
