/* SPDX-License-Identifier: Apache-2.0 */
/* One journal entry for people and for programs. */
#ifndef PERDURE_SUPERVISOR_FORMAT_ENTRY_H
#define PERDURE_SUPERVISOR_FORMAT_ENTRY_H

#include "journal/entry.h"

#include <stddef.h>

/* Room that every line, and every JSON object, fits into. */
#define FORMAT_ENTRY_SIZE_MAX (256u << 10)

/* As a line without newline, readable like strace:
 *   14:02:33.120034817 #17 [1] openat(AT_FDCWD, "a", O_RDONLY) = 3 </home/u/a>  [observe]
 * local time, seq, stream, call, result, and in brackets what it was. No byte of the entry reaches a
 * terminal unescaped. The entry must be valid (entry.h). Writes at most size bytes (at least 1) with the
 * final NUL, and returns the length that the whole line has, as snprintf does. */
size_t format_entry(const struct journal_entry *entry, uint64_t seq, char *ret_line, size_t size);
/* The same, with `mark` (without bytes that a terminal would obey) and a space before the call unless it is empty. */
size_t format_entry_marked(const struct journal_entry *entry, uint64_t seq, const char *mark, char *ret_line, size_t size);
/* The time that such a line begins with. */
#define FORMAT_TIME_SIZE 32u
void format_time(uint64_t time_ns, char ret_text[FORMAT_TIME_SIZE]);

/* As one JSON object in one line: seq, position, time_ns, time (UTC), stream, call, call_id, class, kind,
 * flags, args (raw and as text), result, error, error_text, paths, full_paths, output_size, output (the
 * first bytes), text, segments, signature. Size and result as above. */
size_t format_entry_json(const struct journal_entry *entry, uint64_t seq, char *ret_json, size_t size);

#endif
