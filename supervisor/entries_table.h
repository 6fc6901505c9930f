/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual table `entries`: every entry of a store as a row of SQL, read only.
 *
 *   seq, position, stream, call (name), call_id, kind, result, error (errno's name or NULL), time_ns,
 *   time (UTC, ISO 8601 with nanoseconds), path (first PATH segment), args ('a, b, c'), output (first
 *   OUTPUT segment), output_size, signature, flags, attempt (number)
 *
 * It needs no CREATE: a connection that has it and whose main database is a store sees it. Conditions
 * on seq (=, <, <=, >, >=) read only the chunks that they need, and rows come ordered by seq.
 *
 * The same source is the loadable extension perdure_entries.so, for the sqlite3 shell:
 *   .load ./perdure_entries
 */
#ifndef PERDURE_SUPERVISOR_ENTRIES_TABLE_H
#define PERDURE_SUPERVISOR_ENTRIES_TABLE_H

#include <sqlite3.h>

/* SQLITE_OK, or SQLite's error code. Every connection of store.h has it. */
int entries_table_register(sqlite3 *database);

#endif
