/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes too many for the tail and the store: files in the run's blobs/. */
#ifndef PERDURE_SHIM_BLOB_H
#define PERDURE_SHIM_BLOB_H

#include "shim/engine.h"

#define BLOB_NAME_ROOM 64

/* One file: written live, or read in replay. Zeros but for fd = -1. */
struct blob {
  int64_t fd;
  uint64_t size; /* written, bytes */
  bool writing;
  char name[BLOB_NAME_ROOM];
  struct journal_blob piece; /* of the draft that it was added to last */
};

/* Writes the bytes to the blob, a new one where none is being written, and adds the segment to the draft,
 * which has to be appended before the next one. Killed inside: bytes that nothing refers to. */
void blob_add(struct draft *draft, struct blob *blob, const void *bytes, size_t length);
/* Reads what the entry's BLOB names, at most `room` bytes, and checks it; ends the process where it is not
 * what it was. Returns the length; 0: the entry has none. */
size_t blob_take(struct blob *blob, const struct journal_entry *entry, void *bytes, size_t room);
/* Reads `length` bytes of it from `offset` on; ends the process where they are not there. */
void blob_read_at(struct blob *blob, const struct journal_entry *entry, uint64_t offset, void *bytes, size_t length);
void blob_close(struct blob *blob);

/* All that has been written to blobs is on disk after it; a failing disk ends the process. */
void blobs_sync(void);

#endif
