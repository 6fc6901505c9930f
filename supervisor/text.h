/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows in a buffer of fixed size, as snprintf counts: what does not fit is left out, and the
 * length says how much would have been needed. Always NUL-terminated. */
#ifndef PERDURE_SUPERVISOR_TEXT_H
#define PERDURE_SUPERVISOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
  char *buffer;
  size_t size;   /* of the buffer, bytes, at least 1 */
  size_t length; /* needed so far, without the NUL */
};

void text_begin(struct text *text, char *buffer, size_t size);
void text_add(struct text *text, const char *string);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `length` bytes in double quotes, as C would write them: control characters and what is not UTF-8
 * are escaped, so that no byte of a journal reaches the terminal as more than a character. */
void text_add_quoted(struct text *text, const void *bytes, size_t length);
/* The same as a JSON string. A byte that is not UTF-8 becomes \udcXX, as Python's surrogateescape
 * writes it: nothing is lost. */
void text_add_json(struct text *text, const void *bytes, size_t length);
void text_add_json_string(struct text *text, const char *string);

/* Is it all UTF-8 without control characters but tabs and line ends? */
bool text_is_plain(const void *bytes, size_t length);

#endif
