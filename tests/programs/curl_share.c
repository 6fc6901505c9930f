/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's share interface: curl_share URL. Two handles share cookies, names and connections; then two threads
 * use one handle each, under the share's locks. What it prints is the same in every run against the counting server. */
#include "must.h"

#include <curl/curl.h>
#include <pthread.h>

static pthread_mutex_t locks[CURL_LOCK_DATA_LAST];
static char url[256];

static void on_lock(CURL *handle, curl_lock_data data, curl_lock_access access, void *context)
{
  (void)handle, (void)access, (void)context;
  pthread_mutex_lock(&locks[data]);
}

static void on_unlock(CURL *handle, curl_lock_data data, void *context)
{
  (void)handle, (void)context;
  pthread_mutex_unlock(&locks[data]);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *length)
{
  (void)bytes;
  *(size_t *)length += size * count;
  return size * count;
}

static void fetch(CURL *handle, const char *path)
{
  char whole[300];
  size_t length = 0;
  long status = 0;
  snprintf(whole, sizeof whole, "%s%s", url, path);
  curl_easy_setopt(handle, CURLOPT_URL, whole);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &length);
  must(curl_easy_perform(handle) == CURLE_OK);
  must(curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
  flockfile(stdout);
  printf("%s: %ld, %zu bytes\n", path, status, length);
  funlockfile(stdout);
}

static void print_cookies(CURL *handle)
{
  struct curl_slist *cookies = NULL;
  must(curl_easy_getinfo(handle, CURLINFO_COOKIELIST, &cookies) == CURLE_OK);
  for (const struct curl_slist *line = cookies; line; line = line->next)
    puts(line->data);
  curl_slist_free_all(cookies);
}

static CURL *sharing(CURLSH *share)
{
  CURL *handle = curl_easy_init();
  must(handle != NULL);
  curl_easy_setopt(handle, CURLOPT_SHARE, share);
  curl_easy_setopt(handle, CURLOPT_COOKIEFILE, "");
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  return handle;
}

static void *fetch_in_thread(void *handle)
{
  fetch(handle, "/bytes/20000");
  return NULL;
}

int main(int argc, char **argv)
{
  must(argc == 2);
  snprintf(url, sizeof url, "%s", argv[1]);
  must(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
  for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
    pthread_mutex_init(&locks[i], NULL);
  CURLSH *share = curl_share_init();
  must(share != NULL);
  must(curl_share_setopt(share, CURLSHOPT_LOCKFUNC, on_lock) == CURLSHE_OK);
  must(curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, on_unlock) == CURLSHE_OK);
  must(curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE) == CURLSHE_OK);
  must(curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK);
  CURL *one = sharing(share), *other = sharing(share);

  fetch(one, "/cookie/from-one");
  print_cookies(other);
  fetch(other, "/post");
  fetch(one, "/cookie/from-one-again");
  print_cookies(other);
  pthread_t threads[2];
  must(pthread_create(&threads[0], NULL, fetch_in_thread, one) == 0);
  must(pthread_create(&threads[1], NULL, fetch_in_thread, other) == 0);
  for (int i = 0; i < 2; i++)
    must(pthread_join(threads[i], NULL) == 0);
  curl_easy_cleanup(one);
  curl_easy_cleanup(other);
  must(curl_share_cleanup(share) == CURLSHE_OK);
  puts("through");
  return 0;
}
