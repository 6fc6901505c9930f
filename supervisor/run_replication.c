/* SPDX-License-Identifier: Apache-2.0 */
/* A crash while a run is fetched leaves a store without a state, which counts as a run that never began here, and is
 * fetched again. */
#include "supervisor/run_replication.h"

#include "supervisor/clock.h"
#include "supervisor/replication.h"
#include "supervisor/run_replicas.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define IDENTITY_SIZE 33

/* ---- who this is ---- */

static int make_identity(const char *path, struct failure *failure)
{
  uint8_t bytes[(IDENTITY_SIZE - 1) / 2];
  char text[IDENTITY_SIZE], made[PATH_MAX + 32];

  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
    return failure_set(failure, -EIO, "there are no random numbers");
  for (size_t i = 0; i < sizeof bytes; i++)
    snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  /* Whole, or not there; the first of two that make it wins. */
  snprintf(made, sizeof made, "%s.%d", path, (int)getpid());
  int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool written = fd >= 0 && write(fd, text, IDENTITY_SIZE - 1) == IDENTITY_SIZE - 1 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  if (written && link(made, path) < 0 && errno != EEXIST)
    written = false;
  unlink(made);
  return written ? 0 : failure_set(failure, -EIO, "cannot write %s; make room, or look at its directory's permissions", path);
}

/* Of perdure's directory, for ever: two machines that share a host's name and a directory's are two owners. */
static int get_identity(const char *base, char *ret_text, struct failure *failure)
{
  char path[PATH_MAX + 16];
  int error = 0;

  snprintf(path, sizeof path, "%s/identity", base);
  if (access(path, F_OK) < 0)
    error = make_identity(path, failure);
  int fd = error == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  bool read_whole = fd >= 0 && read(fd, ret_text, IDENTITY_SIZE - 1) == IDENTITY_SIZE - 1;
  if (fd >= 0)
    close(fd);
  ret_text[IDENTITY_SIZE - 1] = '\0';
  if (error == 0 && !read_whole)
    error = failure_set(failure, -EIO, "cannot read %s; remove it", path);
  return error;
}

/* ---- what the run's own store knows ---- */

struct local {
  bool there;
  bool begun;     /* it has a state */
  char *url;      /* NULL: it knows none */
  int64_t epoch;  /* 0: none */
};

static int look_at_local(struct run_attempt *attempt, struct local *ret_local, struct failure *failure)
{
  struct store *store;
  struct failure ignored;
  enum run_state state;
  char path[PATH_MAX];

  run_place_path(&attempt->place, "run.db", path);
  *ret_local = (struct local){.there = access(path, F_OK) == 0};
  if (!ret_local->there)
    return run_replicas_find(attempt, NULL, failure);
  int error = store_open(path, true, &store, failure);
  if (error < 0)
    return error;
  ret_local->begun = run_get_state(store, &state, &ignored) == 0;
  store_meta_text(store, "store", &ret_local->url, &ignored);
  store_meta_number(store, "store_epoch", &ret_local->epoch, &ignored);
  error = run_replicas_find(attempt, store, failure);
  store_close(store);
  return error;
}

/* ---- beginning ---- */

int run_state_of_lost(struct store *store, struct failure *failure)
{
  enum run_state state;
  int error = run_get_state(store, &state, failure);

  if (error == 0 && state == RUN_STATE_RUNNING)
    error = store_attempts_lost(store, failure);
  if (error == 0 && state == RUN_STATE_RUNNING)
    error = run_set_state(store, RUN_STATE_UNFINISHED, failure);
  return error;
}

static int fetch(struct run_attempt *attempt, struct failure *failure)
{
  struct store *store = NULL;
  char path[PATH_MAX];
  int64_t began_ns = clock_ns(CLOCK_MONOTONIC);
  int error = run_place_clear(&attempt->place, failure);

  if (error == 0)
    error = run_place_folders(&attempt->place, failure);
  run_place_path(&attempt->place, "run.db", path);
  if (error == 0)
    error = store_create(path, TAIL_SYNC_REMOTE, &store, failure);
  if (error == 0)
    error = replication_fetch(attempt->replication, store, failure);
  if (error == 0)
    error = run_state_of_lost(store, failure);
  if (error == 0)
    error = store_sync(store, failure);
  store_close(store);
  if (error < 0)
    return error;
  run_say(attempt, SAY_NOTICE, "run %s: taken over from another machine", attempt->place.id);
  run_say(attempt, SAY_DETAIL, "run %s: fetched in %.1f ms", attempt->place.id, (double)(clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e6);
  return error;
}

static void say_for_attempt(enum run_loudness loudness, const char *line, void *context)
{
  const struct run_attempt *attempt = context;

  attempt->options->say(loudness, line, attempt->options->context);
}

static int claim(struct run_attempt *attempt, const struct local *local, const char *url, struct failure *failure)
{
  const struct run_options *options = attempt->options;
  char identity[IDENTITY_SIZE], host[128] = "?", name[PATH_MAX + 256];
  int error = get_identity(attempt->place.base, identity, failure);

  if (error < 0)
    return error;
  gethostname(host, sizeof host - 1);
  snprintf(name, sizeof name, "%s:%s", host, attempt->place.base);
  const struct replication_options wanted = {
    .url = url, .identity = identity, .name = name,
    .lease_ms = options->lease_ms ? options->lease_ms : REPLICATION_LEASE_MS_DEFAULT,
    .stop_on_loss = options->stop_on_store_loss,
    .say = say_for_attempt, .context = attempt,
  };
  return replication_open(&wanted, attempt->place.id, (uint64_t)local->epoch, &attempt->replication, failure);
}

int run_replication_begin(struct run_attempt *attempt, struct failure *failure)
{
  struct local local;
  int error = look_at_local(attempt, &local, failure);
  const char *url = attempt->options->store ? attempt->options->store : local.url;

  if (error == 0 && url) {
    snprintf(attempt->store_url, sizeof attempt->store_url, "%s", url);
    error = claim(attempt, &local, attempt->store_url, failure);
  }
  free(local.url);
  if (error == 0 && !attempt->replication && attempt->options->before_remote > attempt->replica_count + 1)
    error = failure_set(failure, -EINVAL, "--min-replicas %u: the run has %u and no other store; give more by --replica",
                        attempt->options->before_remote - 1, attempt->replica_count);
  if (error < 0 || !attempt->replication)
    return error;
  uint64_t head_epoch = replication_head_epoch(attempt->replication);
  if (head_epoch > 0 && (!local.begun || head_epoch > (uint64_t)local.epoch))
    error = fetch(attempt, failure);
  return error;
}

int run_replication_reconcile(struct run_attempt *attempt, struct failure *failure)
{
  if (!attempt->replication || replication_head_epoch(attempt->replication) == 0)
    return 0;
  return replication_reconcile(attempt->replication, attempt->store, failure);
}

int run_replication_reset(struct run_attempt *attempt, struct failure *failure)
{
  int error = run_replicas_reset(attempt, failure);

  return error == 0 && attempt->replication ? replication_reset(attempt->replication, failure) : error;
}

static int remember_owner(struct run_attempt *attempt, struct failure *failure)
{
  int error = store_meta_set_text(attempt->store, "store", attempt->store_url, failure);

  return error < 0 ? error
                   : store_meta_set_number(attempt->store, "store_epoch",
                                           (int64_t)replication_epoch(attempt->replication), failure);
}

int run_replication_remember(struct run_attempt *attempt, struct failure *failure)
{
  int error = run_replicas_remember(attempt, failure);

  return error == 0 && attempt->replication ? remember_owner(attempt, failure) : error;
}

/* The epoch is on disk here before anybody sees it there. */
static int start_store(struct run_attempt *attempt, const char *path, struct failure *failure)
{
  int error = store_sync(attempt->store, failure);

  if (error == 0)
    error = store_sync_names(attempt->store, failure);
  if (error == 0)
    error = replication_send_head(attempt->replication, attempt->store, failure);
  return error < 0 ? error
                   : replication_start(attempt->replication, path, &attempt->tail, &attempt->acknowledgements, failure);
}

int run_replication_start(struct run_attempt *attempt, struct failure *failure)
{
  struct tail_replication *shared = &attempt->tail.header->replication;
  char path[PATH_MAX];

  if (!attempt->replication && attempt->replica_count == 0)
    return 0;
  run_place_path(&attempt->place, "run.db", path);
  acknowledgements_begin(&attempt->acknowledgements, attempt->tail.header, attempt->replication != NULL, attempt->replica_count);
  shared->before_remote = attempt->options->before_remote;
  shared->on = TAIL_REPLICATION_ON | (attempt->replica_count > 0 ? TAIL_REPLICATION_DRAINED : 0);
  /* Of directories nobody else is the owner. */
  if (!attempt->replication)
    atomic_store(&shared->lease_until_ns, INT64_MAX);
  int error = run_replicas_start(attempt, path, failure);
  return error == 0 && attempt->replication ? start_store(attempt, path, failure) : error;
}

int run_replication_halt(struct run_attempt *attempt, struct failure *failure)
{
  int error = attempt->replication ? replication_halt(attempt->replication, failure) : 0;

  run_replicas_halt(attempt);
  acknowledgements_end(&attempt->acknowledgements);
  return error;
}

/* An attempt that never began (nobody can tell, or nothing is left to do) has remembered nothing yet. */
static int finish_store(struct run_attempt *attempt, struct failure *failure)
{
  int error = remember_owner(attempt, failure);

  if (error == 0)
    error = store_sync(attempt->store, failure);
  return error == 0 ? replication_finish(attempt->replication, attempt->store, failure) : error;
}

void run_replication_finish(struct run_attempt *attempt)
{
  struct failure failure;

  run_replicas_finish(attempt);
  if (!attempt->replication)
    return;
  if (replication_halt(attempt->replication, &failure) == 0 && attempt->store &&
      finish_store(attempt, &failure) < 0)
    run_say(attempt, SAY_ERROR, "run %s: %s; the newest part of its journal is on this machine alone", attempt->place.id,
            failure.text);
  replication_close(attempt->replication);
  attempt->replication = NULL;
}
