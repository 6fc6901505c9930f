/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual tables `entries` and `exchanges` of a store, read only. Unless they are registered with
 * secrets, path, output and url have theirs hidden (secrets.h); the table `chunk` holds the bytes as they are.
 *
 * entries: every entry as a row of SQL
 *
 *   seq, position, stream, call (name), call_id, kind, result, error (errno's name or NULL), time_ns,
 *   time (UTC, ISO 8601 with nanoseconds), path (first PATH segment), args ('a, b, c'), output (first
 *   OUTPUT segment), output_size, signature, flags, attempt (number)
 *
 * Conditions on seq (=, <, <=, >, >=) read only the chunks that they need, and rows come ordered by seq.
 *
 * exchanges: every exchange with a server
 *
 *   seq (of its first entry), time_ns, time, stream, method, url, state (under way, ended, left), status
 *   (of the answer, or NULL), code and code_name (libcurl's, of an ended one), request_size, response_size
 *   (of the bodies, bytes), duration_ns, sent (how often), attempt (that it ended in), replayed (the last
 *   attempt had its answer from the journal), keyed (with perdure's Idempotency-Key), resolved (a person
 *   said how it ended)
 *
 * They need no CREATE: a connection that has them and whose main database is a store sees them.
 *
 * The same sources are the loadable extension perdure_entries.so, for the sqlite3 shell:
 *   .load ./perdure_entries
 */
#ifndef PERDURE_SUPERVISOR_ENTRIES_TABLE_H
#define PERDURE_SUPERVISOR_ENTRIES_TABLE_H

#include <sqlite3.h>
#include <stdbool.h>

/* SQLITE_OK, or SQLite's error code. Every connection of store.h has both, without secrets; doing it again
 * replaces them. */
int entries_table_register(sqlite3 *database, bool secrets);
int exchanges_table_register(sqlite3 *database, bool secrets);

#endif
