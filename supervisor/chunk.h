/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk: the entries of one row of the store (store.h), packed one after another in the tail's own
 * format. */
#ifndef PERDURE_SUPERVISOR_CHUNK_H
#define PERDURE_SUPERVISOR_CHUNK_H

#include "journal/entry.h"

#include <stdbool.h>

struct chunk {
  uint64_t first_seq;
  uint64_t first_position;
  uint64_t end_position;
  uint64_t entry_count;
  const uint8_t *bytes; /* 8-aligned; the owner's */
  size_t length;        /* bytes */
};

/* Walks one chunk. Start with {.chunk = ...} and zeros. */
struct chunk_walk {
  struct chunk chunk;
  size_t offset;     /* of the next entry in the bytes */
  uint64_t index;    /* of the next entry: its seq is first_seq + index */
  uint64_t position; /* no entry may begin below */
  bool trusted;      /* checksums have been checked before */
};

/* The next entry and its seq; *ret_entry is NULL after the last. Each entry is checked: valid
 * (entry.h), not before its predecessor's end, inside the chunk's positions; the last one ends the bytes
 * and makes the count. Otherwise -EBADMSG, *ret_seq the bad one's, *ret_defect (static) what is wrong. */
int chunk_next(struct chunk_walk *walk, const struct journal_entry **ret_entry, uint64_t *ret_seq,
               const char **ret_defect);

#endif
