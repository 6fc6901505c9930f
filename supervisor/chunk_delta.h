/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk's entries as the store holds them: each as what differs from an earlier one like it.
 *
 * A program makes the same calls again and again, with the same arguments, signature and time but for
 * few words: entries shrink to a third or less, and so does what goes to the disk, twice with SQLite's
 * log, while the program runs. It costs less time than it saves.
 *
 * The format, little-endian, in words of 8 bytes:
 *   u32  length of the entries in bytes, a multiple of 8, at most CHUNK_LENGTH_MAX
 *   then for each entry:
 *     u16  low 15 bits: back, how many words before a word of this entry its model lies: at least as
 *          many as the entry has, at most as many as there are before it; 0: all models are 0. Bit 15:
 *          the position follows
 *     u64  the position, if so; else it is the end of the entry before (position + size; at first 0)
 *     then for each 8 of the words after the position, the last time for what is left:
 *       u8   mask: bit k set: the k-th word follows; clear: it is as its model
 *       u64  the words whose bit is set
 *
 * Bytes are valid if and only if each entry's size is a multiple of 8 and at least
 * JOURNAL_ENTRY_HEADER_SIZE, the last entry ends at the length and at the end of the bytes, and the
 * masks' bits past an entry's end are clear.
 */
#ifndef PERDURE_SUPERVISOR_CHUNK_DELTA_H
#define PERDURE_SUPERVISOR_CHUNK_DELTA_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_LENGTH_MAX (4u << 20)

/* Bytes that `length` bytes of entries take at most. */
static inline size_t chunk_delta_size_max(size_t length)
{
  return length + length / 8 + 64;
}

/* Writes the entries in [bytes, bytes + length), whole and valid ones, at most CHUNK_LENGTH_MAX, to `to`,
 * which has room for chunk_delta_size_max(length). Returns the bytes written. */
size_t chunk_delta_encode(const void *bytes, size_t length, void *to);

/* The length of the entries that `bytes` say they hold; 0 when they say none that is possible. */
size_t chunk_delta_length(const void *bytes, size_t size);

/* Writes the entries to `to`, which is 8-aligned and has room for chunk_delta_length. Trusts no byte.
 * Returns the length up to the first entry that is not valid as listed above, which is all if there is
 * none. What is in the entries is not checked: they have their checksums. */
size_t chunk_delta_decode(const void *bytes, size_t size, void *to);

#endif
