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

/* ---- fetching ---- */

static int fetch_all(struct replication *replication, struct store *store, struct failure *failure)
{
  struct store_chunk_target target = {store, failure};
  char state[32];
  void *head;
  size_t length;
  uint64_t position, entry_count;
  int error = redis_run_head(replication->run, state, &head, &length, failure);
  if (error != 0)
    return error;
  error = store_head_put(store, head, length, failure);
  free(head);
  if (error == 0)
    error = redis_run_chunks(replication->run, 0, store_chunk_put_to, &target, failure);
  if (error == 0)
    error = store_end(store, &position, &entry_count, failure);
  if (error == 0 && entry_count + 1 != replication->next_seq)
    error = failure_set(failure, -EBADMSG, "the other store has %llu entries of the run, and says that it has %llu; take them from "
                        "a replica or a backup", (unsigned long long)entry_count, (unsigned long long)replication->next_seq - 1);
  return error;
}

int replication_fetch(struct replication *replication, struct store *store, struct failure *failure)
{
  int error = store_begin(store, failure);
  if (error != 0)
    return error;
  error = fetch_all(replication, store, failure);
  if (error == 0)
    return store_commit(store, failure);
  store_rollback(store);
  return error;
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
  struct store_chunk_target target = {store, failure};
  int error = store_begin(store, failure);
  if (error != 0)
    return error;
  error = store_chunks_forget(store, failure);
  if (error == 0)
    error = redis_run_chunks(replication->run, 0, store_chunk_put_to, &target, failure);
  if (error == 0)
    error = store_commit(store, failure);
  else
    store_rollback(store);
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

#define BATCH_CHUNKS 64u
#define BATCH_BYTES (1u << 20)

struct batch {
  struct replication *replication;
  struct failure *failure;
  struct store_chunk chunks[BATCH_CHUNKS];
  unsigned count;
  size_t bytes;
};

static int send_batch(struct batch *batch)
{
  struct replication *replication = batch->replication;
  int64_t lease_until_ns;
  uint64_t next_seq = replication->next_seq, end = 0;
  if (!batch->count)
    return 0;
  int error = redis_run_append(replication->run, batch->chunks, batch->count, replication->options.lease_ms, &next_seq,
                               &lease_until_ns, batch->failure);
  end = batch->chunks[batch->count - 1].end_position;
  while (batch->count > 0)
    free((void *)batch->chunks[--batch->count].bytes);
  batch->bytes = 0;
  if (error != 0) {
    replication_is_at(replication, next_seq);
    return error;
  }
  replication_has(replication, next_seq, end);
  replication_has_lease(replication, lease_until_ns);
  return 0;
}

static int collect(const struct store_chunk *chunk, void *context)
{
  struct batch *batch = context;
  void *bytes = malloc(chunk->length);
  if (!bytes)
    return failure_set(batch->failure, -ENOMEM, "cannot send the journal to the other store: out of memory");
  memcpy(bytes, chunk->bytes, chunk->length);
  batch->chunks[batch->count] = *chunk;
  batch->chunks[batch->count++].bytes = bytes;
  batch->bytes += chunk->length;
  return batch->count == BATCH_CHUNKS || batch->bytes >= BATCH_BYTES ? send_batch(batch) : 0;
}

int replication_send(struct replication *replication, struct store *store, struct failure *failure)
{
  struct batch *batch = calloc(1, sizeof *batch);
  if (!batch)
    return failure_set(failure, -ENOMEM, "cannot send the journal to the other store: out of memory");
  int error;
  /* What the server lacks, it says once: a replica that lacked it has taken the primary's place. */
  for (int tries = 0; tries < 2; tries++) {
    *batch = (struct batch){.replication = replication, .failure = failure};
    error = store_chunks(store, replication->next_seq, collect, batch, failure);
    if (error == 0)
      error = send_batch(batch);
    while (batch->count > 0)
      free((void *)batch->chunks[--batch->count].bytes);
    if (error != -EILSEQ)
      break;
  }
  free(batch);
  return error;
}

int replication_send_head(struct replication *replication, struct store *store, struct failure *failure)
{
  char *state = NULL;
  void *head = NULL;
  size_t length;
  int error = store_meta_text(store, "state", &state, failure);
  if (error == 0)
    error = replication->store_path ? store_head_of(replication->store_path, &head, &length, failure)
                                    : store_head_take(store, &head, &length, failure);
  if (error == 0)
    error = redis_run_set_head(replication->run, state, head, length, failure);
  free(state);
  free(head);
  return error == 0 ? replication_send(replication, store, failure) : error;
}
