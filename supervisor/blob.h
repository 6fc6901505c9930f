/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that entries refer to, in files of a run's blobs/ (SEGMENT_BLOB). The shim writes them. */
#ifndef PERDURE_SUPERVISOR_BLOB_H
#define PERDURE_SUPERVISOR_BLOB_H

#include "journal/tail.h"
#include "supervisor/store.h"

#define BLOBS_NAME "blobs"

/* All that has been written to the blobs of the run that the tail belongs to is on disk after it. Costs nothing
 * when nothing was. -errno: entries that refer to them must not count as durable. */
int blobs_sync(struct tail_header *header, struct failure *failure);

/* Are the bytes there that the entry refers to, and are they what they were? 0 (also when it refers to none),
 * -EBADMSG, or why they cannot be read. */
int blob_check(const struct journal_entry *entry, const char *run_directory);

/* Reads from the segment's bytes, at most `size`; the length, or -errno. The hash is not checked. */
int64_t blob_read(const struct journal_segment *segment, const char *run_directory, void *bytes, size_t size);

/* blob_check() for all entries of a store, one blob in memory at a time. `say` gets a line for each defect.
 * Returns their number, or -errno. */
int64_t blobs_verify(struct store *store, const char *run_directory,
                     void (*say)(const char *line, void *context), void *context, struct failure *failure);

/* What the run's directory `to` lacks of the blobs of `from` is copied there, and on disk: all that entries which were appended
 * before the call refer to. 0 or -errno. Costs a look at each file's size where nothing is lacking. */
int blobs_copy(const char *from, const char *to);

#endif
