/* SPDX-License-Identifier: Apache-2.0 */
/* secrets.h says what is hidden. Pure: bytes in, bytes out. */
#include "supervisor/secrets.h"

#include "journal/curl_info.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = {
#define SECRET(name) name,
#include "supervisor/secrets.def"
#undef SECRET
};

static bool is_name_byte(uint8_t byte)
{
  return isalnum(byte) || byte == '-' || byte == '_';
}

static bool ends_line(uint8_t byte)
{
  return byte == '\r' || byte == '\n' || byte == '\0';
}

/* Where the value of a secret field begins whose name begins at `place`; 0: none does. */
static size_t value_at(const uint8_t *bytes, size_t length, size_t place)
{
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t end = place + strlen(names[i]);
    if (end >= length || strncasecmp((const char *)bytes + place, names[i], end - place) != 0)
      continue;
    /* JSON and the like put the name between quotes. */
    if (bytes[end] == '"' || bytes[end] == '\'')
      end++;
    while (end < length && (bytes[end] == ' ' || bytes[end] == '\t'))
      end++;
    if (end >= length || bytes[end] != ':')
      continue;
    for (end++; end < length && (bytes[end] == ' ' || bytes[end] == '\t');)
      end++;
    return end;
  }
  return 0;
}

static bool ends_authority(uint8_t byte)
{
  return byte <= ' ' || byte == 0x7f || strchr("/?#\\\"'<>`{}|^", byte) != NULL;
}

static bool is_port(const uint8_t *bytes, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if (!isdigit(bytes[i]))
      return false;
  return true;
}

/* The password in the authority that begins at `place` (behind "://"). */
static void hide_password(uint8_t *bytes, size_t length, size_t place)
{
  size_t colon = 0, at = 0, end = place;
  for (; end < length && !ends_authority(bytes[end]); end++)
    if (bytes[end] == '@')
      at = end;
    else if (bytes[end] == ':' && colon == 0)
      colon = end;
  if (colon == 0)
    return;
  if (at == 0 && end == length && bytes[place] != '[' && !is_port(bytes + colon + 1, end - colon - 1))
    at = end;
  if (at > colon)
    memset(bytes + colon + 1, '*', at - colon - 1);
}

void secrets_hide(void *begin, size_t length)
{
  uint8_t *bytes = begin;
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] == ':' && length - i > 3 && bytes[i + 1] == '/' && bytes[i + 2] == '/') {
      hide_password(bytes, length, i + 3);
      continue;
    }
    if (!isalpha(bytes[i]) || (i > 0 && is_name_byte(bytes[i - 1])))
      continue;
    size_t value = value_at(bytes, length, i);
    if (value == 0)
      continue;
    for (i = value; i < length && !ends_line(bytes[i]); i++)
      bytes[i] = '*';
  }
}

/* A line of a cookie file: the last of seven fields between tabs is the value. */
static void hide_cookie(uint8_t *line, size_t length)
{
  size_t tabs = 0;
  for (size_t i = 0; i < length && line[i] != '\0'; i++)
    if (tabs == 6)
      line[i] = '*';
    else
      tabs += line[i] == '\t';
}

static void hide_info(struct journal_segment *segment)
{
  const struct journal_info *info = NULL;
  while ((info = journal_next_info(segment, info)) != NULL)
    if (info->info == CURL_INFO_COOKIES)
      hide_cookie((uint8_t *)info->data, info->length);
    else if ((info->info & CURL_INFO_TYPE_MASK) == CURL_INFO_STRING)
      secrets_hide((uint8_t *)info->data, info->length);
}

void secrets_hide_entry(struct journal_entry *entry)
{
  const uint8_t *end = (const uint8_t *)entry + entry->size;
  const struct journal_segment *segment = journal_first_segment(entry);
  if ((const uint8_t *)segment >= end)
    return;
  for (; segment != NULL; segment = journal_next_segment(entry, segment))
    if (segment->type == SEGMENT_INFO)
      hide_info((struct journal_segment *)segment);
    else
      secrets_hide((uint8_t *)segment->data, segment->length);
}
