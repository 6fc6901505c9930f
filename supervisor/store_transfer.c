/* SPDX-License-Identifier: Apache-2.0 */
/* From one store to another, whatever they are. A crash at any line: what `to` has is what it had, or the beginning of what
 * `from` has. */
#include "supervisor/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What goes to a store at once. */
#define BATCH_CHUNKS 64u
#define BATCH_BYTES (1u << 20)

struct batch {
  struct any_store to;
  struct failure *failure;
  struct store_chunk chunks[BATCH_CHUNKS];
  unsigned count;
  size_t bytes;
};

static void empty(struct batch *batch)
{
  while (batch->count > 0)
    free((void *)batch->chunks[--batch->count].bytes);
  batch->bytes = 0;
}

static int send(struct batch *batch)
{
  int error = batch->count ? batch->to.kind->append(batch->to.self, batch->chunks, batch->count, batch->failure) : 0;
  empty(batch);
  return error;
}

static int collect(const struct store_chunk *chunk, void *context)
{
  struct batch *batch = context;
  void *bytes = malloc(chunk->length ? chunk->length : 1);
  if (!bytes)
    return failure_set(batch->failure, -ENOMEM, "cannot copy the journal: out of memory");
  memcpy(bytes, chunk->bytes, chunk->length);
  batch->chunks[batch->count] = *chunk;
  batch->chunks[batch->count++].bytes = bytes;
  batch->bytes += chunk->length;
  return batch->count == BATCH_CHUNKS || batch->bytes >= BATCH_BYTES ? send(batch) : 0;
}

/* Inside of what begin() began. */
static int copy_chunks(struct any_store from, uint64_t first_seq, struct any_store to, struct failure *failure)
{
  struct batch *batch = calloc(1, sizeof *batch);
  if (!batch)
    return failure_set(failure, -ENOMEM, "cannot copy the journal: out of memory");
  *batch = (struct batch){.to = to, .failure = failure};
  int error = from.kind->chunks(from.self, first_seq, collect, batch, failure);
  if (error == 0)
    error = send(batch);
  empty(batch);
  free(batch);
  return error;
}

static int begin(struct any_store to, struct failure *failure)
{
  return to.kind->begin ? to.kind->begin(to.self, failure) : 0;
}

/* Of what was done with that error. */
static int end(struct any_store to, int error, struct failure *failure)
{
  if (error == 0)
    return to.kind->commit ? to.kind->commit(to.self, failure) : 0;
  if (to.kind->rollback)
    to.kind->rollback(to.self);
  return error;
}

static int copy_head(struct any_store from, struct any_store to, struct failure *failure)
{
  struct store_head head;
  int error = from.kind->head(from.self, &head, failure);
  if (error != 0)
    return error;
  error = to.kind->put_head(to.self, &head, failure);
  free(head.bytes);
  return error;
}

/* What `from` says is asked before it is read: it may grow meanwhile. */
static int copy_all(struct any_store from, struct any_store to, struct failure *failure)
{
  uint64_t said = 0, came = 0, position;
  int error = from.kind->end(from.self, &said, &position, failure);
  if (error == 0)
    error = copy_head(from, to, failure);
  if (error == 0)
    error = copy_chunks(from, 1, to, failure);
  if (error == 0)
    error = to.kind->end(to.self, &came, &position, failure);
  if (error == 0 && came < said)
    error = failure_set(failure, -EBADMSG, "the store has %llu entries of the run, and says that it has %llu; take them from a replica or a "
                        "backup", (unsigned long long)came - 1, (unsigned long long)said - 1);
  return error;
}

int store_fill(struct any_store from, struct any_store to, struct failure *failure)
{
  int error = begin(to, failure);
  return error == 0 ? end(to, copy_all(from, to, failure), failure) : error;
}

static int catch_up_once(struct any_store from, struct any_store to, struct failure *failure)
{
  uint64_t next_seq, position;
  int error = to.kind->end(to.self, &next_seq, &position, failure);
  if (error == 0)
    error = begin(to, failure);
  return error == 0 ? end(to, copy_chunks(from, next_seq, to, failure), failure) : error;
}

int store_catch_up(struct any_store from, struct any_store to, struct failure *failure)
{
  int error = catch_up_once(from, to, failure);
  /* What a server lacks, it says once: a replica that lacked it has taken the primary's place. */
  return error == -EILSEQ ? catch_up_once(from, to, failure) : error;
}

int store_pass_head(struct any_store from, struct any_store to, struct failure *failure)
{
  struct store_head head;
  int error = from.kind->head(from.self, &head, failure);
  if (error != 0)
    return error;
  error = begin(to, failure);
  if (error == 0)
    error = end(to, to.kind->put_head(to.self, &head, failure), failure);
  free(head.bytes);
  return error;
}

int store_replace_chunks(struct any_store from, struct any_store to, struct failure *failure)
{
  int error = begin(to, failure);
  if (error != 0)
    return error;
  error = to.kind->forget(to.self, failure);
  if (error == 0)
    error = copy_chunks(from, 1, to, failure);
  return end(to, error, failure);
}
