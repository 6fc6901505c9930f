/* SPDX-License-Identifier: Apache-2.0 */
/* The store: a run's journal at rest, one SQLite database per run, written by the supervisor alone.
 *
 * Tables (STORE_VERSION in PRAGMA user_version):
 *   chunk(first_seq INTEGER PRIMARY KEY, first_position, end_position, entry_count, time_ns, bytes BLOB)
 *        entries one after another, about 256 KiB of them a row, each as what differs from an earlier
 *        one (supervisor/chunk_delta.h); gaps of the tail are left out. seq is an entry's ordinal in the run, from 1.
 *   meta(key TEXT PRIMARY KEY, value)   id, created_ns, cwd, sync, ... (store_meta_*); store_create
 *        writes created_ns and sync (the number of sync.def)
 *   argument(place INTEGER PRIMARY KEY, value BLOB), environment(place, value BLOB)
 *   attempt(number INTEGER PRIMARY KEY, began_ns, ended_ns, first_seq, ended TEXT, status)
 *   note(seq, time_ns, text)
 * Virtual table `entries`: every entry as a row (supervisor/entries_table.h).
 *
 * Journal mode WAL; synchronous NORMAL unless the run's sync is none: a commit survives the death of every
 * process, and that of the machine after store_sync(). A crash at any line leaves the last commit; what
 * was not committed is still in the tail.
 */
#ifndef PERDURE_SUPERVISOR_STORE_H
#define PERDURE_SUPERVISOR_STORE_H

#include "journal/entry.h"

#include <sqlite3.h>
#include <stdbool.h>

#define STORE_VERSION 2

/* Why something failed, for one line to a person. Untouched on success. */
struct failure {
  char text[1024]; /* what failed, on what, what to do; no newline, no final full stop */
};
/* Fills `failure` (printf) and returns `error`. */
int failure_set(struct failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- what every store of a run's journal can: the run's own (store_any()), one in another directory (replica.h), one in a Redis
 * (replication.h for its owner, redis_run.h for whoever looks) ---- */

/* A row of the table chunk. The bytes belong to whoever gives it. */
struct store_chunk {
  uint64_t first_seq, first_position, end_position, entry_count;
  int64_t time_ns;
  const void *bytes;
  size_t length;
};
typedef int store_chunk_visit(const struct store_chunk *chunk, void *context);

/* All of a store but its chunks (store_head.h). */
struct store_head {
  char state[32]; /* enum run_state's name */
  void *bytes;    /* malloc'ed */
  size_t length;
};

/* Each returns 0 or that store's own errors, after which nothing was done. */
struct store_kind {
  /* What comes next there, and the position behind what is there. */
  int (*end)(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *failure);
  int (*head)(void *self, struct store_head *ret_head, struct failure *failure);
  /* Calls `each` with the chunks from the entry first_seq on, in order, until it returns non-zero, which is returned. The first
   * one is what is left of its chunk where that begins before. */
  int (*chunks)(void *self, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure);
  /* What follows writes, and is NULL where only somebody else may. */
  int (*put_head)(void *self, const struct store_head *head, struct failure *failure);
  /* -EILSEQ, -EBADMSG: they do not follow on what is there. */
  int (*append)(void *self, const struct store_chunk *chunks, unsigned count, struct failure *failure);
  int (*forget)(void *self, struct failure *failure); /* the chunks */
  /* All between is done or not; as sure as that store makes it. NULL: each of the above is one step for itself. */
  int (*begin)(void *self, struct failure *failure);
  int (*commit)(void *self, struct failure *failure);
  void (*rollback)(void *self);
};
struct any_store {
  const struct store_kind *kind;
  void *self;
};

/* store_transfer.c: the same between any two. Errors are either one's. */

/* `to`, which has just been made, gets all that `from` has. -EBADMSG: that has less than it says. */
int store_fill(struct any_store from, struct any_store to, struct failure *failure);
/* `to` gets the chunks that `from` has more. */
int store_catch_up(struct any_store from, struct any_store to, struct failure *failure);
/* `to` gets the head of `from` in place of its own, */
int store_pass_head(struct any_store from, struct any_store to, struct failure *failure);
/* or all its chunks. */
int store_replace_chunks(struct any_store from, struct any_store to, struct failure *failure);

/* ---- the run's own ---- */

struct store;

/* Also of a store that was opened read-only: its head is read beside whoever writes it. */
struct any_store store_any(struct store *store);

/* Creates the store at `path`, mode 0600, which must not exist. sync: enum tail_sync. */
int store_create(const char *path, unsigned sync, struct store **ret_store, struct failure *failure);
/* Opens an existing store. Refuses, in one line each: missing, owned by another user, not a database,
 * corrupt, another version (newer or older). read_only: takes no write lock and changes nothing. */
int store_open(const char *path, bool read_only, struct store **ret_store, struct failure *failure);
/* NULL is fine. */
void store_close(struct store *store);
sqlite3 *store_database(struct store *store);

/* A transaction belongs to the thread that began it; statements of other threads wait for its end. It does
 * not nest. Writes outside of one are a transaction each. A commit that fails has rolled back. */
int store_begin(struct store *store, struct failure *failure);
int store_commit(struct store *store, struct failure *failure);
void store_rollback(struct store *store);
/* All that was committed is on disk when it returns 0, unless the store's sync is none: then it does nothing. On
 * failure commits stay as they are, and may or may not be on disk. */
int store_sync(struct store *store, struct failure *failure);
/* The names in the store's directory are on disk when it returns 0. */
int store_sync_names(struct store *store, struct failure *failure);
/* Begins to write to the disk what was committed, and does not wait: a later store_sync() is short. Only what
 * has grown by megabytes is worth it; no error matters, since store_sync() finds it. */
void store_write_out(struct store *store);
/* Another sync than the store was made with (enum tail_sync), for this connection. */
int store_set_sync(struct store *store, unsigned sync, struct failure *failure);

/* Appends `entry_count` packed entries, `length` bytes, from first_position up to end_position (which
 * may lie further than the bytes where there were gaps). Inside a transaction. */
int store_append(struct store *store, const void *bytes, size_t length, uint64_t entry_count,
                 uint64_t first_position, uint64_t end_position, struct failure *failure);
/* Notes that what follows the last entry up to end_position is a gap. Inside a transaction. */
int store_skip_to(struct store *store, uint64_t end_position, struct failure *failure);
/* The position after the last one stored (0 when empty) and the number of entries. */
int store_end(struct store *store, uint64_t *ret_position, uint64_t *ret_entry_count,
              struct failure *failure);

/* Values of meta. A missing key: -ENOENT, outputs untouched. Texts are malloc'ed for the caller. */
int store_meta_set_text(struct store *store, const char *key, const char *value, struct failure *failure);
int store_meta_set_number(struct store *store, const char *key, int64_t value, struct failure *failure);
int store_meta_text(struct store *store, const char *key, char **ret_value, struct failure *failure);
int store_meta_number(struct store *store, const char *key, int64_t *ret_value, struct failure *failure);
/* The program's argv or environment, a NULL-terminated array, whole. table: "argument" or "environment".
 * Read: one malloc'ed block of pointers and strings. */
int store_strings_set(struct store *store, const char *table, char *const *strings, struct failure *failure);
int store_strings(struct store *store, const char *table, char ***ret_strings, struct failure *failure);

int store_attempt_begin(struct store *store, unsigned number, uint64_t first_seq, struct failure *failure);
/* ended: "exited", "killed", "diverged", "failed", ...; status: exit status or signal. */
int store_attempt_end(struct store *store, unsigned number, const char *ended, int status,
                      struct failure *failure);

/* Attempts without an end have been lost. */
int store_attempts_lost(struct store *store, struct failure *failure);

/* Walks all entries in order, a chunk in memory at a time. */
struct store_cursor;
int store_cursor_open(struct store *store, uint64_t first_seq, struct store_cursor **ret_cursor,
                      struct failure *failure);
/* The next entry, valid until the next call; *ret_entry is NULL after the last. Every entry is
 * checked; a bad one is -EBADMSG and names its seq. */
int store_cursor_next(struct store_cursor *cursor, const struct journal_entry **ret_entry,
                      uint64_t *ret_seq, struct failure *failure);
/* From here on checksums are not checked: another cursor has just done so. Entries stay safe to walk. */
void store_cursor_trust(struct store_cursor *cursor);
void store_cursor_close(struct store_cursor *cursor);

#endif
