/* SPDX-License-Identifier: Apache-2.0 */
/* The short way for what somebody waits for: from the tail's ring to the other store, beside the drain. What the other store
 * has more than the run's own one then, is in the tail; after the machine's death, which may have cost the tail that, it is
 * fetched (replication_reconcile()). Owns nothing that a crash could lose. */
#include "supervisor/replication_internal.h"

#include "journal/entry.h"
#include "supervisor/chunk_delta.h"
#include "supervisor/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More than that is what the drain is for. */
#define PART_SIZE (256u << 10)

int replication_ring_begin(struct replication *replication, struct failure *failure)
{
  replication->ring_bytes = malloc(PART_SIZE);
  replication->ring_delta = malloc(chunk_delta_size_max(PART_SIZE));
  if (!replication->ring_bytes || !replication->ring_delta)
    return failure_set(failure, -ENOMEM, "cannot send the journal to the other store: out of memory");
  /* The head has been sent, and all that is in the run's own store: what comes next is the attempt's, if not its first. */
  uint64_t base = replication->tail->header->base;
  replication->ring_position = replication->sent_end > base ? replication->sent_end : base;
  replication->follows = true;
  return 0;
}

void replication_ring_end(struct replication *replication)
{
  free(replication->ring_bytes);
  free(replication->ring_delta);
  replication->ring_bytes = replication->ring_delta = NULL;
  replication->follows = false;
}

/* What is published from there on. *ret_length: 0 where that is nothing, or more than fits. -errno: the tail cannot be read. */
static int take(struct replication *replication, uint64_t position, size_t *ret_length, uint64_t *ret_count)
{
  uint64_t head = atomic_load(&replication->tail->header->head), count = 0;
  size_t length = 0;
  *ret_length = *ret_count = 0;
  if (head <= position || head - position > PART_SIZE)
    return 0;
  size_t available = (size_t)(head - position);
  int error = tail_file_read(replication->tail, position, replication->ring_bytes, available);
  if (error != 0)
    return error;
  while (length < available && journal_entry_valid(replication->ring_bytes + length, available - length, position + length)) {
    length += ((const struct journal_entry *)(replication->ring_bytes + length))->size;
    count++;
  }
  *ret_length = length;
  *ret_count = count;
  return 0;
}

static int append(struct replication *replication, const struct store_chunk *chunk, unsigned replicas, unsigned step_ms,
                  struct redis_appended *ret_appended, struct failure *failure)
{
  unsigned lease_ms = replication_lease_is_old(replication) ? replication->options.lease_ms : REDIS_LEASE_KEEP;
  int error = -EAGAIN;
  *ret_appended = (struct redis_appended){0};
  if (replicas > 0)
    error = redis_run_append_and_wait(replication->run, chunk, lease_ms, replicas, step_ms, ret_appended, failure);
  if (error == -EAGAIN)
    error = redis_run_append(replication->run, chunk, 1, lease_ms, &ret_appended->next_seq, &ret_appended->lease_until_ns, failure);
  return error;
}

int replication_ring_send(struct replication *replication, unsigned replicas, unsigned step_ms, bool *ret_sent, struct failure *failure)
{
  struct redis_appended appended;
  size_t length;
  uint64_t count, position = replication->ring_position;
  *ret_sent = false;
  if (!replication->follows || take(replication, position, &length, &count) != 0 || count == 0)
    return 0;
  const struct store_chunk chunk = {
    .first_seq = replication->next_seq, .first_position = position, .end_position = position + length, .entry_count = count,
    .time_ns = clock_ns(CLOCK_REALTIME), .bytes = replication->ring_delta,
    .length = chunk_delta_encode(replication->ring_bytes, length, replication->ring_delta)};
  int error = append(replication, &chunk, replicas, step_ms, &appended, failure);
  if (error == -EILSEQ) { /* a replica that lacked entries is the primary now: the drain has them */
    replication_is_at(replication, appended.next_seq);
    return 0;
  }
  if (error != 0)
    return error;
  replication_has(replication, appended.next_seq, chunk.end_position);
  if (appended.lease_until_ns)
    replication_has_lease(replication, appended.lease_until_ns);
  acknowledgements_primary(replication->acknowledgements, appended.acknowledged, chunk.end_position);
  *ret_sent = true;
  return 0;
}
