/* SPDX-License-Identifier: Apache-2.0 */
/* text.h says what it does. */
#include "supervisor/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_begin(struct text *text, char *buffer, size_t size)
{
  assert(size > 0);
  *text = (struct text){.buffer = buffer, .size = size};
  buffer[0] = '\0';
}

static void add_bytes(struct text *text, const char *bytes, size_t length)
{
  if (text->length + 1 < text->size) {
    size_t room = text->size - text->length - 1;
    size_t fits = length < room ? length : room;
    memcpy(text->buffer + text->length, bytes, fits);
    text->buffer[text->length + fits] = '\0';
  }
  text->length += length;
}

void text_add(struct text *text, const char *string)
{
  add_bytes(text, string, strlen(string));
}

void text_addf(struct text *text, const char *format, ...)
{
  size_t room = text->length < text->size ? text->size - text->length : 0;
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(room > 0 ? text->buffer + text->length : NULL, room, format, arguments);
  va_end(arguments);
  assert(length >= 0);
  text->length += (size_t)length;
}

/* How many bytes at `bytes` are one character of UTF-8 that is neither a control character nor a
 * surrogate nor longer than it must be; 0 for none. (RFC 3629, section 4.) */
static size_t utf8_length(const uint8_t *bytes, size_t available)
{
  uint8_t first = bytes[0];
  if (first < 0x80)
    return first >= 0x20 && first != 0x7f ? 1 : 0;
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || length > available)
    return 0;
  for (size_t i = 1; i < length; i++)
    if ((bytes[i] & 0xc0) != 0x80)
      return 0;
  uint8_t second = bytes[1];
  if ((first == 0xc2 && second < 0xa0) || (first == 0xe0 && second < 0xa0) ||
      (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
      (first == 0xf4 && second >= 0x90))
    return 0;
  return length;
}

static const char *short_escape(uint8_t byte)
{
  switch (byte) {
  case '"': return "\\\"";
  case '\\': return "\\\\";
  case '\n': return "\\n";
  case '\r': return "\\r";
  case '\t': return "\\t";
  }
  return NULL;
}

static void add_escaped(struct text *text, const uint8_t *bytes, size_t length, const char *low,
                        const char *high)
{
  add_bytes(text, "\"", 1);
  for (size_t i = 0; i < length;) {
    const char *escape = short_escape(bytes[i]);
    size_t character = utf8_length(bytes + i, length - i);
    char number[16];
    if (escape != NULL) {
      text_add(text, escape);
      character = 1;
    } else if (character > 0) {
      add_bytes(text, (const char *)bytes + i, character);
    } else {
      int digits = snprintf(number, sizeof number, "%s%02x", bytes[i] < 0x80 ? low : high, bytes[i]);
      add_bytes(text, number, (size_t)digits);
      character = 1;
    }
    i += character;
  }
  add_bytes(text, "\"", 1);
}

void text_add_quoted(struct text *text, const void *bytes, size_t length)
{
  add_escaped(text, bytes, length, "\\x", "\\x");
}

void text_add_json(struct text *text, const void *bytes, size_t length)
{
  add_escaped(text, bytes, length, "\\u00", "\\udc");
}

void text_add_json_string(struct text *text, const char *string)
{
  text_add_json(text, string, strlen(string));
}

bool text_is_plain(const void *bytes, size_t length)
{
  const uint8_t *at = bytes;
  for (size_t i = 0; i < length;) {
    size_t character = at[i] == '\t' || at[i] == '\r' || at[i] == '\n' ? 1 : utf8_length(at + i, length - i);
    if (character == 0)
      return false;
    i += character;
  }
  return true;
}
