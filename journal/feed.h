/* SPDX-License-Identifier: Apache-2.0 */
/* The replay feed: what recovery publishes for the program to replay, in a file that is mapped
 * read-only at FEED_ADDRESS.
 *
 *   0                  struct feed_header
 *   entries_offset     the entries to replay, one after another, in the journal's order and format;
 *                      their position field is the entry's own, not the feed's
 *   blobs_offset       old bytes that referenced reads need, 8-aligned
 *   files_offset       struct feed_file[file_count], sorted by (device, inode, birth_ns); behind them,
 *                      up to strings_offset, rows for kept copies that FEED_SOURCE_KEPT extents name
 *   strings_offset     NUL-terminated paths
 *
 * In it, and nothing else:
 *   - COMPLETE and EXIT entries, INTENT entries with their RESULT, START, and the DATA before them;
 *   - an unfinished INTENT with JOURNAL_FLAG_UNFINISHED, only where its handler wants to see it
 *     (sleeps: the deadline; exchanges, which go on in the middle of an answer; remote changes whose
 *     outcome is unknown: to stop there); other
 *     unfinished intents are left out, the call runs anew;
 *   - at the end the RESULTs, with JOURNAL_FLAG_RESOLVED, of unfinished intents that recovery found to
 *     have happened; their positions lie behind all others;
 *   - not: ATTEMPT, NOTE, KEEP, and intents of earlier attempts that were dropped.
 * A REFERENCE segment whose bytes have changed since is followed, in the same entry, by an EXTENTS
 * segment of the same argument; without one, the bytes are in the file. Such an entry may be longer
 * than JOURNAL_ENTRY_SIZE_MAX.
 */
#ifndef PERDURE_JOURNAL_FEED_H
#define PERDURE_JOURNAL_FEED_H

#include "journal/entry.h"

#define FEED_MAGIC "perdfeed"

struct feed_header {
  char magic[8];
  uint32_t version; /* JOURNAL_VERSION */
  uint32_t header_size;
  uint64_t entries_offset, entries_end;
  uint64_t blobs_offset;
  uint64_t files_offset, file_count;
  uint64_t strings_offset, size; /* size of the whole feed, bytes */
  uint64_t entry_count;
};

enum {
  FEED_FILE_GHOST = 1,   /* has no name any more: rebuilt from the replayed writes, unless KEPT too */
  FEED_FILE_KEPT = 2,    /* a ghost, and path is in kept/: the file itself where device and inode
                            agree, else a copy as it was before its last name was taken away */
  FEED_FILE_CHANGED = 4, /* the run itself has changed it: times and size prove nothing */
  FEED_FILE_REBORN = 8,  /* it was a ghost and goes on as another file: the row `primary` has its path, and
                            the file there has another identity */
};

struct feed_file {
  uint64_t device, inode, birth_ns;
  uint64_t path; /* offset in the feed of where it is now; 0: nowhere */
  uint32_t flags;
  uint32_t primary; /* REBORN: index of the row with the file's first identity; else 0 */
};

/* KEPT: a copy in kept/ from before the run cut the file, which may be there and have a name still;
 * `zero` is the index of its row, which lies behind the file_count sorted ones. */
enum { FEED_SOURCE_FILE = 0, FEED_SOURCE_BLOB = 1, FEED_SOURCE_KEPT = 2 };

struct feed_extent {
  uint32_t source; /* FEED_SOURCE_* */
  uint32_t zero;
  uint64_t offset; /* in the file, in the feed, or in the kept copy */
  uint64_t length; /* bytes; the extents of one segment add up to the reference's length */
};

#endif
