/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of a chunk: two stores need not have the same chunks, only the same entries. */
#ifndef PERDURE_SUPERVISOR_CHUNK_CUT_H
#define PERDURE_SUPERVISOR_CHUNK_CUT_H

#include "supervisor/store_head.h"

/* Leaves out the entries before first_seq, of which the chunk has at least one, and not all. Its bytes are *ret_bytes then, for the
 * caller to free. -EBADMSG: an entry is damaged; the chunk is as it was. */
int chunk_cut(struct store_chunk *chunk, uint64_t first_seq, void **ret_bytes, struct failure *failure);

#endif
