/* SPDX-License-Identifier: Apache-2.0 */
/* The values of curl_easy_getinfo as SEGMENT_INFO holds them: numbers of curl/curl.h, whose upper bits say
 * the type. */
#ifndef PERDURE_JOURNAL_CURL_INFO_H
#define PERDURE_JOURNAL_CURL_INFO_H

#include "journal/entry.h"

#define CURL_INFO_STRING 0x100000u
#define CURL_INFO_LONG 0x200000u
#define CURL_INFO_DOUBLE 0x300000u
#define CURL_INFO_OFF_T 0x600000u
#define CURL_INFO_TYPE_MASK 0xf00000u

#define CURL_INFO_EFFECTIVE_URL (CURL_INFO_STRING + 1)
#define CURL_INFO_RESPONSE_CODE (CURL_INFO_LONG + 2)
#define CURL_INFO_SIZE_UPLOAD (CURL_INFO_OFF_T + 7)
#define CURL_INFO_SIZE_DOWNLOAD (CURL_INFO_OFF_T + 8)
#define CURL_INFO_SIZE_DOWNLOAD_DOUBLE (CURL_INFO_DOUBLE + 8)
#define CURL_INFO_HEADER_SIZE (CURL_INFO_LONG + 11)
#define CURL_INFO_CONTENT_LENGTH (CURL_INFO_OFF_T + 15)
#define CURL_INFO_CONTENT_LENGTH_DOUBLE (CURL_INFO_DOUBLE + 15)
#define CURL_INFO_CONTENT_TYPE (CURL_INFO_STRING + 18)
#define CURL_INFO_COOKIES (0x400000u + 28)
#define CURL_INFO_HTTP_VERSION (CURL_INFO_LONG + 46)
#define CURL_INFO_PROTOCOL (CURL_INFO_LONG + 48)
#define CURL_INFO_SCHEME (CURL_INFO_STRING + 49)
#define CURL_INFO_TOTAL_TIME (CURL_INFO_OFF_T + 50)
#define CURL_INFO_EFFECTIVE_METHOD (CURL_INFO_STRING + 58)

/* The value behind `info`, the first one for NULL; NULL behind the last. Reads nothing past the segment. */
static inline const struct journal_info *journal_next_info(const struct journal_segment *segment,
                                                           const struct journal_info *info)
{
  size_t place = info ? (size_t)(info->data - segment->data) + journal_padded(info->length) : 0;
  if (place > segment->length || segment->length - place < sizeof *info)
    return NULL;
  const struct journal_info *next = (const struct journal_info *)(segment->data + place);
  return next->length <= segment->length - place - sizeof *next ? next : NULL;
}

#endif
