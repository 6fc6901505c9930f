/* SPDX-License-Identifier: Apache-2.0 */
/* Forms with parts that are read from the program as they are sent, by curl_formadd and by curl_mime_data_cb, and by a
 * copy of the handle: curl_form URL. */
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

static void send_form(CURL *easy)
{
  struct curl_httppost *form = NULL, *last = NULL;
  size_t given = 0;
  must(curl_formadd(&form, &last, CURLFORM_COPYNAME, "plain", CURLFORM_COPYCONTENTS, "x", CURLFORM_END) == 0);
  must(curl_formadd(&form, &last, CURLFORM_COPYNAME, "stream", CURLFORM_STREAM, &given, CURLFORM_CONTENTLEN,
                    (curl_off_t)SIZE, CURLFORM_FILENAME, "name", CURLFORM_END) == 0);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(easy, CURLOPT_HTTPPOST, form);
  CURLcode code = curl_easy_perform(easy);
  printf("%d %zu\n", code, given);
  fflush(stdout);
  curl_easy_setopt(easy, CURLOPT_HTTPPOST, NULL);
  curl_formfree(form);
}

static int on_seek(void *given, curl_off_t offset, int origin)
{
  must(origin == SEEK_SET);
  *(size_t *)given = (size_t)offset;
  return CURL_SEEKFUNC_OK;
}

static void add_part(curl_mime *mime, const char *name, size_t *given)
{
  curl_mimepart *part = curl_mime_addpart(mime);
  must(curl_mime_name(part, name) == CURLE_OK);
  must(curl_mime_data_cb(part, SIZE, on_read, on_seek, NULL, given) == CURLE_OK);
}

/* Each time the data are read from their beginning; the copy reads them too. */
static void send_mime(CURL *easy)
{
  size_t first = 0, second = 0;
  curl_mime *mime = curl_mime_init(easy);
  curl_mimepart *plain = curl_mime_addpart(mime);
  must(curl_mime_name(plain, "plain") == CURLE_OK && curl_mime_data(plain, "x", CURL_ZERO_TERMINATED) == CURLE_OK);
  add_part(mime, "first", &first);
  add_part(mime, "second", &second);
  curl_easy_setopt(easy, CURLOPT_MIMEPOST, mime);
  CURLcode code = curl_easy_perform(easy);
  printf("%d %zu %zu\n", code, first, second);
  fflush(stdout);
  CURL *copy = curl_easy_duphandle(easy);
  must(copy != NULL);
  first = second = 0;
  code = curl_easy_perform(copy);
  printf("copy: %d %zu %zu\n", code, first, second);
  fflush(stdout);
  curl_easy_cleanup(copy);
  curl_easy_setopt(easy, CURLOPT_MIMEPOST, NULL);
  curl_mime_free(mime);
}

int main(int argc, char **argv)
{
  must(argc == 2);
  CURL *easy = curl_easy_init();
  must(easy != NULL);
  curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
  send_form(easy);
  send_mime(easy);
  curl_easy_cleanup(easy);
  return 0;
}
