/* SPDX-License-Identifier: Apache-2.0 */
/* Three POSTs: paying URL. The first and the last may be sent again after a crash, the second may not. With a second
 * argument, all in an atomic region instead. */
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

static int all_in_a_region(CURL *easy, const char *base)
{
  int failed = 0;
  PERDURE_ATOMICALLY {
    failed |= post(easy, base, "/order", "one");
    failed |= post(easy, base, "/charge", "two");
  }
  return failed | post(easy, base, "/receipt", "three");
}

int main(int argc, char **argv)
{
  CURL *easy = curl_easy_init();
  if (argc > 2)
    return all_in_a_region(easy, argv[1]);
  int failed = post(easy, argv[1], "/order", "one");
  PERDURE_WITH_IDEMPOTENCE(0)
    failed |= post(easy, argv[1], "/charge", "two");
  failed |= post(easy, argv[1], "/receipt", "three");
  curl_easy_cleanup(easy);
  return failed;
}
