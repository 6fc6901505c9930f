/* SPDX-License-Identifier: Apache-2.0 */
/* Where bytes that a run has read lie now, after the run itself has changed the files.
 *
 * KEEP entries say what a range held before a change (OLD), or that the whole file was kept (KEPT).
 * Only where they lie is held here, never the bytes: memory is one old_record an OLD segment and one
 * old_page for each 4 KiB page that it touches.
 *
 * A KEPT file is one of two things. Before a truncation it is a copy: what it holds stays as it was
 * then, so nothing that was kept later matters to a read before it. Before an unlink or a rename over
 * the file it may be a hard link, the file itself: later changes show through it, and their OLD bytes
 * come first. Which of the two it was is told by the intent that it was kept for.
 */
#ifndef PERDURE_SUPERVISOR_OLD_BYTES_H
#define PERDURE_SUPERVISOR_OLD_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OLD_PAGE_SIZE 4096u

struct old_record {
  uint64_t position; /* of the KEEP */
  uint64_t offset;
  uint32_t length;
  uint32_t file; /* number in known_files */
};

struct old_page {
  uint64_t page;
  uint32_t file;
  uint32_t record;
};

struct kept_file {
  uint64_t position;
  uint32_t file;
  uint32_t stream;
  bool settled; /* the intent that it was kept for has come */
  bool copy;
  char *name; /* in kept/ */
};

struct old_bytes {
  struct old_record *records; /* in the journal's order */
  uint32_t record_count, record_room;
  struct old_page *pages; /* after old_bytes_index: by file, page, record */
  size_t page_count, page_room;
  struct kept_file *kept; /* after old_bytes_index: by file, position */
  uint32_t kept_count, kept_room, kept_unsettled;
};

void old_bytes_release(struct old_bytes *old);

/* -ENOMEM; -EBADMSG: past the end of all offsets. */
int old_bytes_add(struct old_bytes *old, uint32_t file, uint64_t position, uint64_t offset,
                  uint32_t length);
/* copy: it is one for sure; else the intent that follows in the stream tells. */
int old_bytes_keep(struct old_bytes *old, uint32_t file, uint64_t position, uint32_t stream,
                   const char *name, size_t length, bool copy);
/* An intent of `stream` has come: what the stream kept was for it. */
void old_bytes_settle(struct old_bytes *old, uint32_t stream, bool copy);
/* What `stream` kept was for an intent that never came. */
void old_bytes_settle_all(struct old_bytes *old);
/* No more is added. */
void old_bytes_index(struct old_bytes *old);

/* The kept file that stands for a file without a name, or NULL. */
const struct kept_file *old_bytes_ghost(const struct old_bytes *old, uint32_t file);

enum piece_source { PIECE_FILE, PIECE_RECORD, PIECE_KEPT };

struct piece {
  enum piece_source source;
  uint32_t number; /* of the record, or of the kept file */
  uint64_t offset; /* in the file or kept file; from the record's first byte */
  uint64_t length;
};

struct piece_list {
  struct piece *pieces;
  size_t count, room;
};

/* Where `length` bytes at `offset` of `file`, read at `position`, lie now: pieces in order, which add
 * up to length. The list is emptied first, and freed by the caller. -ENOMEM. */
int old_bytes_pieces(const struct old_bytes *old, uint32_t file, uint64_t position, uint64_t offset,
                     uint64_t length, struct piece_list *list);

#endif
