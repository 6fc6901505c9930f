/* SPDX-License-Identifier: Apache-2.0 */
/* Two POSTs: paying URL. The first may be sent again after a crash, the second may not. */
#include "control-api/perdure.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
  return size * count;
}

static int post(CURL *easy, const char *base, const char *path, const char *body)
{
  char url[512];
  snprintf(url, sizeof url, "%s%s", base, path);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  return curl_easy_perform(easy) != CURLE_OK;
}

int main(int argc, char **argv)
{
  CURL *easy = curl_easy_init();
  int failed = post(easy, argv[1], "/order", "one");
  PERDURE_WITH_IDEMPOTENCE(0)
    failed |= post(easy, argv[1], "/charge", "two");
  failed |= post(easy, argv[1], "/receipt", "three");
  curl_easy_cleanup(easy);
  return failed;
}
