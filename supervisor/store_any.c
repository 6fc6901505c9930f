/* SPDX-License-Identifier: Apache-2.0 */
/* The run's own store as one of all. Harmless at any crash: reads, or writes inside a transaction. */
#include "supervisor/store_head.h"
#include "supervisor/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

static int any_end(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *failure)
{
  uint64_t entry_count;
  int error = store_end(self, ret_position, &entry_count, failure);
  if (error == 0)
    *ret_next_seq = entry_count + 1;
  return error;
}

/* A store that was opened read-only cannot make the image. */
static int take_beside(const char *path, struct store_head *head, struct failure *failure)
{
  struct store *store;
  int error = store_open(path, false, &store, failure);
  if (error != 0)
    return error;
  error = store_head_take(store, &head->bytes, &head->length, failure);
  store_close(store);
  return error;
}

static int any_head(void *self, struct store_head *ret_head, struct failure *failure)
{
  struct store *store = self;
  struct store_head head;
  char *state = NULL;
  int error = store_meta_text(store, "state", &state, failure);
  if (error == 0)
    snprintf(head.state, sizeof head.state, "%s", state);
  free(state);
  if (error == 0)
    error = store->read_only ? take_beside(store->path, &head, failure) : store_head_take(store, &head.bytes, &head.length, failure);
  if (error == 0)
    *ret_head = head;
  return error;
}

static int any_chunks(void *self, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure)
{
  return store_chunks(self, first_seq, each, context, failure);
}

static int any_put_head(void *self, const struct store_head *head, struct failure *failure)
{
  return store_head_put(self, head->bytes, head->length, failure);
}

static int any_append(void *self, const struct store_chunk *chunks, unsigned count, struct failure *failure)
{
  int error = 0;
  for (unsigned i = 0; error == 0 && i < count; i++)
    error = store_chunk_put(self, &chunks[i], failure);
  return error;
}

static int any_forget(void *self, struct failure *failure)
{
  return store_chunks_forget(self, failure);
}

static int any_begin(void *self, struct failure *failure)
{
  return store_begin(self, failure);
}

static int any_commit(void *self, struct failure *failure)
{
  return store_commit(self, failure);
}

static void any_rollback(void *self)
{
  store_rollback(self);
}

struct any_store store_any(struct store *store)
{
  static const struct store_kind kind = {any_end,    any_head,  any_chunks, any_put_head, any_append,
                                         any_forget, any_begin, any_commit, any_rollback};
  return (struct any_store){&kind, store};
}
