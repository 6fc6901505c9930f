/* SPDX-License-Identifier: Apache-2.0 */
/* A store taken apart for its way to another machine: the head (all tables but the chunks, as the image of an SQLite
 * database), and the chunks as they are. */
#ifndef PERDURE_SUPERVISOR_STORE_HEAD_H
#define PERDURE_SUPERVISOR_STORE_HEAD_H

#include "supervisor/store.h"

/* The head as it is now; the caller frees it. Not of a store that was opened read-only: SQLite then makes no other database either. */
int store_head_take(struct store *store, void **ret_bytes, size_t *ret_length, struct failure *failure);
/* Puts it in place of the store's own tables. Inside a transaction. -EBADMSG: it is no such image. */
int store_head_put(struct store *store, const void *bytes, size_t length, struct failure *failure);

/* A head by itself, to be read: a store without a table chunk. where: for errors. -EBADMSG: it is no such image. */
int store_head_open(const struct store_head *head, const char *where, struct store **ret_store, struct failure *failure);

/* What tells one chunk from another. */
struct store_mark {
  uint64_t first_seq, entry_count, end_position, hash; /* of the bytes */
};
/* The last chunk that begins before next_seq; zeros: there is none. */
int store_mark_before(struct store *store, uint64_t next_seq, struct store_mark *ret_mark, struct failure *failure);

/* As store_kind's. */
int store_chunks(struct store *store, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure);
/* For a walk over chunks: calls `each` with the part of it from first_seq on, if there is any. */
int store_chunk_visit_from(const struct store_chunk *chunk, uint64_t first_seq, store_chunk_visit *each, void *context,
                           struct failure *failure);
/* All of them, inside a transaction. */
int store_chunks_forget(struct store *store, struct failure *failure);
/* Inside a transaction. -EBADMSG: it does not follow on the last one. */
int store_chunk_put(struct store *store, const struct store_chunk *chunk, struct failure *failure);

#endif
