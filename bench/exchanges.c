/* SPDX-License-Identifier: Apache-2.0 */
/* exchanges METHOD URL N [FILE]: N requests by libcurl, one after another over one connection. POST sends 64 bytes.
 * With FILE, before each request 512 bytes of that file, which has room for them, are written and put on disk: what
 * a program would do that writes its own log. */
#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_SIZE 512
#define BODY_SIZE 64

static size_t drop(char *bytes, size_t size, size_t count, void *data)
{
  (void)bytes, (void)data;
  return size * count;
}

static int log_request(int fd, long i)
{
  char record[RECORD_SIZE];
  memset(record, (int)(1 + i % 100), sizeof record);
  return pwrite(fd, record, sizeof record, i * RECORD_SIZE) == RECORD_SIZE && fdatasync(fd) == 0;
}

int main(int argc, char **argv)
{
  static char body[BODY_SIZE + 1];
  if (argc < 4)
    return 2;
  long count = atol(argv[3]);
  int fd = argc > 4 ? open(argv[4], O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (argc > 4 && (fd < 0 || posix_fallocate(fd, 0, count * RECORD_SIZE + 1) != 0 || fsync(fd) != 0)) {
    perror(argv[4]);
    return 1;
  }
  curl_global_init(CURL_GLOBAL_ALL);
  CURL *easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, argv[2]);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
  memset(body, 'b', BODY_SIZE);
  if (strcmp(argv[1], "POST") == 0)
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
  for (long i = 0; i < count; i++) {
    if (fd >= 0 && !log_request(fd, i)) {
      perror(argv[4]);
      return 1;
    }
    CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK) {
      fprintf(stderr, "%s: %s\n", argv[2], curl_easy_strerror(code));
      return 1;
    }
  }
  curl_easy_cleanup(easy);
  return 0;
}
