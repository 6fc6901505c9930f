/* SPDX-License-Identifier: Apache-2.0 */
/* One POST by libcurl, as the examples make it. */
#ifndef PERDURE_EXAMPLES_REQUEST_H
#define PERDURE_EXAMPLES_REQUEST_H

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

struct answer {
  char text[4096];
  size_t length;
};

static size_t take_answer(char *bytes, size_t size, size_t count, void *data)
{
  struct answer *answer = data;
  size_t length = size * count, room = sizeof answer->text - 1 - answer->length;
  memcpy(answer->text + answer->length, bytes, length < room ? length : room);
  answer->length += length < room ? length : room;
  return length;
}

/* The HTTP status, or 0: there was no answer. key NULL: perdure adds one of its own. */
static long post(const char *server, const char *path, const char *body, const char *key, struct answer *ret_answer)
{
  char url[1024], header[64];
  struct curl_slist *headers = NULL;
  long status = 0;
  CURL *curl = curl_easy_init();
  if (!curl)
    return 0;
  *ret_answer = (struct answer){.length = 0};
  snprintf(url, sizeof url, "%s%s", server, path);
  if (key) {
    snprintf(header, sizeof header, "Idempotency-Key: %s", key);
    headers = curl_slist_append(NULL, header);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  }
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret_answer);
  if (curl_easy_perform(curl) == CURLE_OK)
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(curl);
  curl_slist_free_all(headers);
  return status;
}

#endif
