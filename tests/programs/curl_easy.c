/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's easy interface with every callback: curl_easy URL. What it prints is the same in every run
 * against the counting server; what its callbacks are given goes to the file `seen`. */
#include "must.h"

#include <curl/curl.h>
#include <stdbool.h>

static FILE *seen;
static size_t taken;

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
  *(size_t *)data += size * count;
  return size * count;
}

/* Unpaused by the progress callback. */
static size_t on_body_with_pause(char *bytes, size_t size, size_t count, void *data)
{
  bool *paused = data;
  *paused = !*paused;
  if (*paused)
    return CURL_WRITEFUNC_PAUSE;
  taken += size * count;
  return size * count;
}

static int on_progress(void *easy, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
  curl_easy_pause(easy, CURLPAUSE_CONT);
  return 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *easy)
{
  long status = 0;
  char *type = NULL;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
  fprintf(seen, "%ld %s %.*s", status, type ? type : "-", (int)(size * count), line);
  return size * count;
}

struct upload {
  size_t place, size;
  unsigned asked;
};

static size_t on_read(char *bytes, size_t size, size_t count, void *data)
{
  struct upload *upload = data;
  size_t i = 0;
  for (; i < size * count && upload->place < upload->size; i++)
    bytes[i] = (char)('a' + upload->place++ % 26);
  return i;
}

static int on_seek(void *data, curl_off_t offset, int origin)
{
  ((struct upload *)data)->place = (size_t)offset;
  return CURL_SEEKFUNC_OK;
}

/* Has nothing to give every third time, until the progress callback says that it goes on. */
static size_t on_read_with_pause(char *bytes, size_t size, size_t count, void *data)
{
  struct upload *upload = data;
  if (++upload->asked % 3 == 0)
    return CURL_READFUNC_PAUSE;
  return on_read(bytes, size, count < 20000 ? count : 20000, data);
}

static void perform(CURL *easy, const char *what)
{
  char *url;
  long status = 0;
  curl_off_t length = 0;
  double time = -1;
  CURLcode code = curl_easy_perform(easy);
  must(curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK);
  must(curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
  must(curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &length) == CURLE_OK);
  must(curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME, &time) == CURLE_OK && time >= 0);
  printf("%s: %d %s %ld %ld\n", what, code, strrchr(url, '/'), status, (long)length);
  fflush(stdout);
}

static void set_url(CURL *easy, const char *base, const char *path)
{
  char url[256];
  snprintf(url, sizeof url, "%s%s", base, path);
  curl_easy_setopt(easy, CURLOPT_URL, url);
}

static void download(CURL *easy, const char *base)
{
  size_t total = 0;
  bool paused = false;
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &total);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, easy);
  set_url(easy, base, "/bytes/70000");
  perform(easy, "get");
  CURL *copy = curl_easy_duphandle(easy);
  curl_easy_setopt(copy, CURLOPT_HEADERDATA, copy);
  set_url(copy, base, "/chunked/5000");
  perform(copy, "copy");
  curl_easy_setopt(copy, CURLOPT_WRITEFUNCTION, on_body_with_pause);
  curl_easy_setopt(copy, CURLOPT_WRITEDATA, &paused);
  curl_easy_setopt(copy, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(copy, CURLOPT_XFERINFODATA, copy);
  curl_easy_setopt(copy, CURLOPT_NOPROGRESS, 0L);
  set_url(copy, base, "/bytes/30000");
  perform(copy, "paused");
  curl_easy_cleanup(copy);
  printf("%zu bytes, %zu\n", total, taken);
}

static void upload(CURL *easy, const char *base)
{
  struct upload upload = {.size = 100000};
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(easy, CURLOPT_READDATA, &upload);
  curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(easy, CURLOPT_SEEKDATA, &upload);
  curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)upload.size);
  set_url(easy, base, "/put");
  perform(easy, "put");
  upload = (struct upload){.size = 100000};
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read_with_pause);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, easy);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  perform(easy, "paused put");
  must(upload.place == upload.size && upload.asked > 3);
}

static void post(CURL *easy, const char *base)
{
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "one");
  set_url(easy, base, "/first");
  perform(easy, "post");
  curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, "two");
  set_url(easy, base, "/second");
  perform(easy, "copied");
  struct curl_slist *headers = curl_slist_append(NULL, "Idempotency-Key: my-own");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  perform(easy, "keyed");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
  curl_slist_free_all(headers);
  char words[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, words);
  curl_easy_setopt(easy, CURLOPT_URL, "unknown://nowhere/");
  printf("%d %s\n", curl_easy_perform(easy), words);
}

int main(int argc, char **argv)
{
  must(argc == 2);
  seen = fopen("seen", "w");
  must(seen != NULL);
  CURL *easy = curl_easy_init();
  must(easy != NULL);
  download(easy, argv[1]);
  upload(easy, argv[1]);
  post(easy, argv[1]);
  curl_easy_cleanup(easy);
  fclose(seen);
  return 0;
}
