/* SPDX-License-Identifier: Apache-2.0 */
/* A form with a part that is read from the program as it is sent: curl_form URL. */
#include "must.h"

#define CURL_DISABLE_DEPRECATION
#include <curl/curl.h>

#define SIZE 50000

static size_t on_read(char *bytes, size_t size, size_t count, void *data)
{
  size_t *given = data, i = 0;
  for (; i < size * count && *given < SIZE; i++)
    bytes[i] = (char)('a' + (*given)++ % 26);
  return i;
}

int main(int argc, char **argv)
{
  must(argc == 2);
  CURL *easy = curl_easy_init();
  struct curl_httppost *form = NULL, *last = NULL;
  size_t given = 0;
  must(easy != NULL);
  must(curl_formadd(&form, &last, CURLFORM_COPYNAME, "plain", CURLFORM_COPYCONTENTS, "x", CURLFORM_END) == 0);
  must(curl_formadd(&form, &last, CURLFORM_COPYNAME, "stream", CURLFORM_STREAM, &given, CURLFORM_CONTENTLEN,
                    (curl_off_t)SIZE, CURLFORM_FILENAME, "name", CURLFORM_END) == 0);
  curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(easy, CURLOPT_HTTPPOST, form);
  CURLcode code = curl_easy_perform(easy);
  printf("%d %zu\n", code, given);
  fflush(stdout);
  curl_easy_cleanup(easy);
  curl_formfree(form);
  return 0;
}
