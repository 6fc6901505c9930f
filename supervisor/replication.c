/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming, and making two stores agree. The thread is in replication_thread.c. */
#include "supervisor/replication_internal.h"

#include "journal/entry.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void replication_say(const struct replication *replication, enum run_loudness loudness, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  say_list(replication->options.say, replication->options.context, loudness, format, arguments);
  va_end(arguments);
}

void replication_has(struct replication *replication, uint64_t next_seq, uint64_t end)
{
  replication->next_seq = next_seq;
  replication->sent_end = end;
  if (replication->header && end > replication->header->base) {
    replication->ring_position = end;
    replication->follows = true;
  }
}

void replication_is_at(struct replication *replication, uint64_t next_seq)
{
  if (next_seq < replication->next_seq && replication->header)
    replication_say(replication, SAY_ERROR, "run %s: the other store lacks %llu entries that it had: they are sent again; look whether a "
                    "replica that was behind has taken its primary's place", replication->run_id,
                    (unsigned long long)(replication->next_seq - next_seq));
  if (next_seq != replication->next_seq)
    replication->follows = false;
  replication->next_seq = next_seq;
}

int replication_claim(struct replication *replication, uint64_t epoch, struct failure *failure)
{
  const struct redis_claim claim = {replication->options.identity, replication->options.name, replication->options.lease_ms,
                                    epoch + 1};
  struct redis_claimed claimed;
  int error = redis_run_claim(replication->run, &claim, &claimed, &replication->left_ms, failure);
  if (error != 0)
    return error;
  replication->epoch = claimed.epoch;
  replication->head_epoch = claimed.head_epoch;
  replication->follows = false;
  replication->next_seq = claimed.next_seq;
  replication->sent_end = claimed.end_position;
  replication->lease_until_ns = claimed.lease_until_ns;
  return 0;
}

/* Waits for another owner's lease to end; a living one has a new one by then. */
static int claim_in_time(struct replication *replication, uint64_t epoch, struct failure *failure)
{
  int error = replication_claim(replication, epoch, failure);
  if (error != -EBUSY)
    return error;
  replication_say(replication, SAY_NOTICE, "run %s: %s", replication->run_id, failure->text);
  poll(NULL, 0, (int)replication->left_ms + 1);
  return replication_claim(replication, epoch, failure);
}

int replication_open(const struct replication_options *options, const char *run_id, uint64_t epoch,
                     struct replication **ret_replication, struct failure *failure)
{
  struct replication *replication = calloc(1, sizeof *replication);
  struct redis_address address;
  if (!replication)
    return failure_set(failure, -ENOMEM, "cannot open the other store: out of memory");
  replication->options = *options;
  snprintf(replication->run_id, sizeof replication->run_id, "%s", run_id);
  int error = redis_address_parse(options->url, &address, failure);
  if (error == 0)
    error = redis_run_open(&address, run_id, &replication->run, failure);
  if (error == 0)
    error = claim_in_time(replication, epoch, failure);
  if (error != 0) {
    replication_close(replication);
    return error;
  }
  *ret_replication = replication;
  return 0;
}

void replication_close(struct replication *replication)
{
  if (!replication)
    return;
  redis_run_close(replication->run);
  free(replication->store_path);
  free(replication);
}

uint64_t replication_epoch(const struct replication *replication)
{
  return replication->epoch;
}

uint64_t replication_head_epoch(const struct replication *replication)
{
  return replication->head_epoch;
}

int replication_reset(struct replication *replication, struct failure *failure)
{
  int error = redis_run_reset(replication->run, failure);
  if (error == 0)
    replication_is_at(replication, 1);
  if (error == 0)
    replication->sent_end = 0;
  return error;
}

/* ---- as one of all stores ---- */

/* What is known of it, since nobody else writes there. */
static int replication_end(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *failure)
{
  const struct replication *replication = self;
  (void)failure;
  *ret_next_seq = replication->next_seq;
  *ret_position = replication->sent_end;
  return 0;
}

static int replication_head(void *self, struct store_head *ret_head, struct failure *failure)
{
  return redis_run_head(((struct replication *)self)->run, ret_head, failure);
}

static int replication_chunks(void *self, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure)
{
  struct any_store there = redis_run_any(((struct replication *)self)->run);
  return there.kind->chunks(there.self, first_seq, each, context, failure);
}

static int replication_put_head(void *self, const struct store_head *head, struct failure *failure)
{
  return redis_run_set_head(((struct replication *)self)->run, head->state, head->bytes, head->length, failure);
}

static int replication_append(void *self, const struct store_chunk *chunks, unsigned count, struct failure *failure)
{
  struct replication *replication = self;
  int64_t lease_until_ns;
  uint64_t next_seq = replication->next_seq;
  int error = redis_run_append(replication->run, chunks, count, replication->options.lease_ms, &next_seq, &lease_until_ns, failure);
  if (error != 0) {
    replication_is_at(replication, next_seq);
    return error;
  }
  replication_has(replication, next_seq, chunks[count - 1].end_position);
  replication_has_lease(replication, lease_until_ns);
  return 0;
}

static int replication_forget(void *self, struct failure *failure)
{
  return replication_reset(self, failure);
}

static struct any_store as_store(struct replication *replication)
{
  static const struct store_kind kind = {.end = replication_end, .head = replication_head, .chunks = replication_chunks,
                                         .put_head = replication_put_head, .append = replication_append,
                                         .forget = replication_forget};
  return (struct any_store){&kind, replication};
}

int replication_fetch(struct replication *replication, struct store *store, struct failure *failure)
{
  return store_fill(as_store(replication), store_any(store), failure);
}

/* ---- agreeing ---- */

/* Where that entry ends. */
static int end_of(struct store *store, uint64_t seq, uint64_t *ret_end, struct failure *failure)
{
  struct store_cursor *cursor;
  const struct journal_entry *entry;
  uint64_t found;
  int error = store_cursor_open(store, seq, &cursor, failure);
  if (error != 0)
    return error;
  error = store_cursor_next(cursor, &entry, &found, failure);
  if (error == 0)
    *ret_end = entry && found == seq ? entry->position + entry->size : 0;
  store_cursor_close(cursor);
  return error;
}

static int take_all(struct replication *replication, struct store *store, struct failure *failure)
{
  int error = store_replace_chunks(as_store(replication), store_any(store), failure);
  return error == 0 ? store_sync(store, failure) : error;
}

int replication_reconcile(struct replication *replication, struct store *store, struct failure *failure)
{
  uint64_t position, count, end = 0, there = replication->next_seq - 1;
  int error = there ? store_end(store, &position, &count, failure) : 0;
  if (error != 0 || there == 0)
    return error;
  if (there <= count)
    error = end_of(store, there, &end, failure);
  if (error != 0 || end == replication->sent_end)
    return error;
  return position >= replication->sent_end ? replication_reset(replication, failure) : take_all(replication, store, failure);
}

/* ---- sending ---- */

int replication_send(struct replication *replication, struct store *store, struct failure *failure)
{
  return store_catch_up(store_any(store), as_store(replication), failure);
}

int replication_send_head(struct replication *replication, struct store *store, struct failure *failure)
{
  int error = store_pass_head(store_any(store), as_store(replication), failure);
  return error == 0 ? replication_send(replication, store, failure) : error;
}
