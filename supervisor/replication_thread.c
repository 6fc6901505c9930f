/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that sends what is drained, keeps the lease, and tells the program who has acknowledged what. It owns nothing
 * that a crash could lose. */
#include "supervisor/replication_internal.h"
#include "supervisor/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* After an error the next try is as late as this. */
#define RETRY_NS 200000000l
/* How long WAIT may hold up what else there is to do: this, and no more than a quarter of a lease. */
#define WAIT_STEP_MS_MAX 500u

void replication_has_lease(struct replication *replication, int64_t lease_until_ns)
{
  replication->lease_until_ns = lease_until_ns;
  if (!replication->header)
    return;
  struct tail_replication *shared = &replication->header->replication;
  bool had_ended = atomic_load(&shared->lease_until_ns) <= clock_ns(CLOCK_BOOTTIME);
  atomic_store(&shared->lease_until_ns, lease_until_ns);
  if (had_ended)
    acknowledgements_tell(shared);
}

bool replication_lease_is_old(const struct replication *replication)
{
  return clock_ns(CLOCK_BOOTTIME) > replication->lease_until_ns - (int64_t)replication->options.lease_ms * 1000000 * 2 / 3;
}

static int renew(struct replication *replication, struct failure *failure)
{
  uint64_t next_seq;
  int64_t lease_until_ns;
  int error = redis_run_renew(replication->run, replication->options.lease_ms, &next_seq, &lease_until_ns, failure);
  if (error != 0)
    return error;
  if (next_seq < replication->next_seq)
    replication_is_at(replication, next_seq);
  replication_has_lease(replication, lease_until_ns);
  return 0;
}

/* ---- acknowledgements ---- */

/* How many replicas somebody waits for; -1: nobody does. */
static int most_waited_for(const struct tail_replication *shared)
{
  uint64_t wanted = atomic_load(&shared->wanted);
  for (int n = TAIL_REPLICAS_MAX; n >= 0; n--)
    if (atomic_load(&shared->waiting[n]) && atomic_load(&shared->acknowledged[n]) < wanted)
      return n;
  return -1;
}

static unsigned step_ms(const struct replication *replication)
{
  unsigned quarter_ms = replication->options.lease_ms / 4;
  unsigned least_ms = quarter_ms > 1 ? quarter_ms : 1;
  return least_ms < WAIT_STEP_MS_MAX ? least_ms : WAIT_STEP_MS_MAX;
}

/* Nobody is told of a replica that is only slow. */
static void report_count(struct replication *replication, unsigned wanted, unsigned count)
{
  int64_t now_ns = clock_ns(CLOCK_BOOTTIME);
  if (count >= wanted) {
    if (replication->short_said)
      replication_say(replication, SAY_ERROR, "run %s: enough replicas have the journal again", replication->run_id);
    replication->short_since_ns = 0;
    replication->short_said = false;
  } else if (!replication->short_since_ns) {
    replication->short_since_ns = now_ns;
  } else if (!replication->short_said && now_ns - replication->short_since_ns > (int64_t)replication->options.lease_ms * 1000000) {
    replication->short_said = true;
    replication_say(replication, SAY_ERROR, "run %s: %u of the %u replicas that it waits for have its journal; bring the others back, or "
                    "start new ones: nothing is lost, and it goes on when there are enough", replication->run_id, count, wanted);
  }
}

/* What has been written on this connection is what WAIT asks about: a new one has to write first. */
static int ask_replicas(struct replication *replication, bool *wrote, struct failure *failure)
{
  struct tail_replication *shared = &replication->header->replication;
  int wanted = most_waited_for(shared);
  unsigned count = 0;
  if (wanted <= 0 || atomic_load(&shared->wanted) > replication->sent_end)
    return 0;
  uint64_t next_before = replication->next_seq;
  int error = *wrote ? 0 : renew(replication, failure);
  if (error != 0 || replication->next_seq < next_before)
    return error;
  *wrote = true;
  uint64_t end = replication->sent_end;
  error = redis_run_wait(replication->run, (unsigned)wanted, step_ms(replication), &count, failure);
  if (error == -ETIME)
    error = 0;
  if (error != 0)
    return error;
  acknowledgements_primary(replication->acknowledgements, count, end);
  report_count(replication, (unsigned)wanted, count);
  return 0;
}

/* ---- one round ---- */

/* As long as that is faster than the drain. *ret_done: it was, and the other store has all that was asked for. */
static int send_wanted(struct replication *replication, bool *ret_done, struct failure *failure)
{
  struct tail_replication *shared = &replication->header->replication;
  int wanted, error = 0;
  bool sent = true;
  uint64_t sent_before = replication->sent_end;
  while (error == 0 && sent && (wanted = most_waited_for(shared)) >= 0 && atomic_load(&shared->wanted) > replication->sent_end)
    error = replication_ring_send(replication, (unsigned)wanted, step_ms(replication), &sent, failure);
  if (error == 0 && !sent) {
    atomic_fetch_add(&replication->header->drain_futex, 1);
    syscall(SYS_futex, &replication->header->drain_futex, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  }
  *ret_done = sent && replication->sent_end != sent_before && most_waited_for(shared) < 0;
  return error;
}

static int send_and_ask(struct replication *replication, struct store *store, struct failure *failure)
{
  uint64_t sent_before = replication->sent_end;
  int error = replication_send(replication, store, failure);
  if (error != 0)
    return error;
  bool wrote = replication->sent_end != sent_before;
  acknowledgements_primary(replication->acknowledgements, 0, replication->sent_end);
  if (!wrote && replication_lease_is_old(replication)) {
    error = renew(replication, failure);
    wrote = true;
  }
  return error == 0 ? ask_replicas(replication, &wrote, failure) : error;
}

/* The server may have forgotten the run: then it is ours as before, or another's. */
static int one_round(void *context, struct store *store, struct failure *failure)
{
  struct replication *replication = context;
  bool done;
  int error = send_wanted(replication, &done, failure);
  if (error == 0 && !done)
    error = send_and_ask(replication, store, failure);
  if (error != -ENOENT)
    return error;
  error = replication_claim(replication, replication->epoch, failure);
  if (error == 0)
    replication_say(replication, SAY_ERROR, "run %s: the other store has lost it, or its owner: it is sent again; look why, if nobody "
                    "restarted it", replication->run_id);
  return error == 0 ? replication_send_head(replication, store, failure) : error;
}

/* Another owner has the run: nothing more may happen here. Whoever is about to change something remotely waits for a lease
 * that does not come, until it is ended. */
static void lose(struct replication *replication, int error, const struct failure *why)
{
  replication->lost = error;
  replication->lost_why = *why;
  atomic_store(&replication->header->replication.lease_until_ns, 0);
  atomic_store(&replication->header->stopped, 1);
  int32_t pid = atomic_load(&replication->pid);
  if (pid > 0)
    kill(pid, SIGKILL);
}

static bool is_final(const struct replication *replication, int error)
{
  if (error == -ESTALE || error == -EPROTO)
    return true;
  /* A replica that lacked this claim is the primary now, and knows the owner before: if that one lives, it says so again. */
  if (error == -EBUSY)
    return clock_ns(CLOCK_BOOTTIME) > replication->lease_until_ns + (int64_t)replication->options.lease_ms * 1000000;
  return error != 0 && replication->options.stop_on_loss && clock_ns(CLOCK_BOOTTIME) > replication->lease_until_ns;
}

static void report(struct replication *replication, int error, int last, const struct failure *failure)
{
  if (error != 0 && error != last)
    replication_say(replication, SAY_ERROR, "run %s: %s; nothing is lost: the run goes on, and its remote changes wait once its lease "
                    "has ended", replication->run_id, failure->text);
  else if (error == 0 && last != 0)
    replication_say(replication, SAY_ERROR, "run %s: the other store works again", replication->run_id);
}

static int64_t after_round(void *context, int error, int last, const struct failure *failure)
{
  struct replication *replication = context;
  if (is_final(replication, error)) {
    lose(replication, error, failure);
    return -1;
  }
  report(replication, error, last, failure);
  bool soon = error != 0 || most_waited_for(&replication->header->replication) >= 0;
  return soon ? RETRY_NS : (int64_t)replication->options.lease_ms * 1000000 / 4;
}

/* ---- from the supervisor ---- */

int replication_start(struct replication *replication, const char *store_path, struct tail_file *tail,
                      struct acknowledgements *acknowledgements, struct failure *failure)
{
  replication->store_path = strdup(store_path);
  if (!replication->store_path)
    return failure_set(failure, -ENOMEM, "cannot send the journal to the other store: out of memory");
  replication->tail = tail;
  replication->header = tail->header;
  replication->acknowledgements = acknowledgements;
  atomic_store(&tail->header->replication.lease_until_ns, replication->lease_until_ns);
  int error = replication_ring_begin(replication, failure);
  if (error != 0) {
    replication_ring_end(replication);
    replication->header = NULL;
    return error;
  }
  replication->follower = (struct store_follower){.source_path = replication->store_path, .shared = &tail->header->replication,
                                                  .round = one_round, .after = after_round, .context = replication};
  error = store_follower_start(&replication->follower);
  if (error != 0) {
    replication_ring_end(replication);
    replication->header = NULL;
    return failure_set(failure, error, "cannot send the journal to the other store: %s", strerror(-error));
  }
  return 0;
}

void replication_watch(struct replication *replication, pid_t pid)
{
  atomic_store(&replication->pid, pid);
  if (atomic_load(&replication->header->stopped)) /* lost before it was known */
    kill(pid, SIGKILL);
}

static void stop_thread(struct replication *replication)
{
  store_follower_halt(&replication->follower);
  replication_ring_end(replication);
  replication->header = NULL;
  atomic_store(&replication->pid, 0);
  free(replication->store_path);
  replication->store_path = NULL;
}

int replication_halt(struct replication *replication, struct failure *failure)
{
  if (replication->header)
    stop_thread(replication);
  if (replication->lost != 0)
    *failure = replication->lost_why;
  return replication->lost;
}

int replication_finish(struct replication *replication, struct store *store, struct failure *failure)
{
  int error = replication_send_head(replication, store, failure);
  return error == 0 ? redis_run_release(replication->run, failure) : error;
}
