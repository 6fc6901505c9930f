/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1.1 server that counts: each request that has come in whole is one line of LOG, written by one
 * append before the first byte of the answer:
 *
 *   METHOD PATH KEY HASH SIZE executed|repeated
 *
 * KEY is the Idempotency-Key, or "-"; HASH is 16 digits of FNV-1a over the body; `repeated` says that a
 * request with that key had come before, so that a server that honours it would do nothing.
 *
 *   counting_server LOG READY [PORT]
 *
 * It listens on 127.0.0.1, writes its port and a newline to READY (a FIFO: who reads it waits for the
 * server), and runs until it is killed. The path says how it answers:
 *
 *   /bytes/N      N bytes                    /chunked/N    the same, in chunks
 *   /status/N     with that status           /redirect/N   to /redirect/N-1, at last to /
 *   /slow/MS      after that long            /reset/N      N bytes of twice as many, then a reset
 *   /truncated/N  the same, then the end     /cookie/X     sets the cookie c=X
 *   /failing/N/STATUS/SECONDS   the first N requests of that path and key: STATUS, Retry-After: SECONDS, a body; then as others
 *   /breaking/N/...             the same, by a reset in place of an answer
 *   others        "METHOD PATH HASH SIZE\n" of the request
 */
#include "must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define LINE_MAX_SIZE 8192
#define KEYS_MAX 65536

static int log_fd;
static pthread_mutex_t keys_lock = PTHREAD_MUTEX_INITIALIZER;
static char *keys[KEYS_MAX];
static size_t key_count;

/* One side of a connection, read by lines and by bytes. */
struct stream {
  int fd;
  size_t begin, end;
  char bytes[65536];
};

struct request {
  char method[32];
  char path[LINE_MAX_SIZE];
  char key[256];
  uint64_t size, hash;
  bool chunked, close, continues;
};

static bool fill(struct stream *in)
{
  ssize_t got = recv(in->fd, in->bytes, sizeof in->bytes, 0);
  in->begin = 0;
  in->end = got > 0 ? (size_t)got : 0;
  return got > 0;
}

/* Without its CR and LF. */
static bool read_line(struct stream *in, char line[LINE_MAX_SIZE])
{
  for (size_t length = 0; length < LINE_MAX_SIZE - 1;) {
    if (in->begin == in->end && !fill(in))
      return false;
    char byte = in->bytes[in->begin++];
    if (byte == '\n') {
      line[length > 0 && line[length - 1] == '\r' ? length - 1 : length] = 0;
      return true;
    }
    line[length++] = byte;
  }
  return false;
}

static bool read_body(struct stream *in, struct request *request, uint64_t size)
{
  request->size += size;
  while (size) {
    if (in->begin == in->end && !fill(in))
      return false;
    size_t part = in->end - in->begin < size ? in->end - in->begin : (size_t)size;
    for (size_t i = 0; i < part; i++)
      request->hash = (request->hash ^ (uint8_t)in->bytes[in->begin + i]) * 0x100000001b3;
    in->begin += part;
    size -= part;
  }
  return true;
}

static bool read_chunks(struct stream *in, struct request *request)
{
  char line[LINE_MAX_SIZE];
  for (;;) {
    if (!read_line(in, line))
      return false;
    uint64_t size = strtoull(line, NULL, 16);
    if (!size)
      break;
    if (!read_body(in, request, size) || !read_line(in, line))
      return false;
  }
  do
    if (!read_line(in, line))
      return false;
  while (*line);
  return true;
}

/* The value of a header line, if it is that header. */
static const char *header(const char *line, const char *name)
{
  size_t length = strlen(name);
  if (strncasecmp(line, name, length) != 0 || line[length] != ':')
    return NULL;
  line += length + 1;
  return line + strspn(line, " \t");
}

static bool put_all(int fd, const char *bytes, size_t size)
{
  while (size) {
    ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0)
      return false;
    bytes += sent;
    size -= (size_t)sent;
  }
  return true;
}

static bool read_request(struct stream *in, struct request *request)
{
  char line[LINE_MAX_SIZE];
  uint64_t size = 0;
  *request = (struct request){.key = "-", .hash = 0xcbf29ce484222325};
  if (!read_line(in, line) || sscanf(line, "%31s %8191s", request->method, request->path) != 2)
    return false;
  for (;;) {
    const char *value;
    if (!read_line(in, line))
      return false;
    if (!*line)
      break;
    if ((value = header(line, "Content-Length")))
      size = strtoull(value, NULL, 10);
    else if ((value = header(line, "Idempotency-Key")))
      snprintf(request->key, sizeof request->key, "%.250s", value);
    else if ((value = header(line, "Transfer-Encoding")))
      request->chunked = strcasecmp(value, "chunked") == 0;
    else if ((value = header(line, "Connection")))
      request->close = strcasecmp(value, "close") == 0;
    else if ((value = header(line, "Expect")))
      request->continues = true;
  }
  if (request->continues && !put_all(in->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25))
    return false;
  return request->chunked ? read_chunks(in, request) : read_body(in, request, size);
}

static bool key_is_new(const char *key)
{
  bool found = false;
  if (strcmp(key, "-") == 0)
    return true;
  must(pthread_mutex_lock(&keys_lock) == 0);
  for (size_t i = 0; i < key_count && !found; i++)
    found = strcmp(keys[i], key) == 0;
  if (!found) {
    must(key_count < KEYS_MAX && (keys[key_count] = strdup(key)));
    key_count++;
  }
  must(pthread_mutex_unlock(&keys_lock) == 0);
  return !found;
}

static void log_request(const struct request *request)
{
  char line[LINE_MAX_SIZE + 512];
  int length = snprintf(line, sizeof line, "%s %s %s %016llx %llu %s\n", request->method, request->path,
                        request->key, (unsigned long long)request->hash, (unsigned long long)request->size,
                        key_is_new(request->key) ? "executed" : "repeated");
  must(write(log_fd, line, (size_t)length) == length);
}

/* ---- answers ---- */

static bool put_head(int fd, unsigned status, const char *headers, uint64_t size)
{
  char head[LINE_MAX_SIZE];
  int length = snprintf(head, sizeof head, "HTTP/1.1 %u %s\r\n%sContent-Length: %llu\r\n\r\n", status,
                        status < 400 ? "Fine" : "Not fine", headers, (unsigned long long)size);
  return put_all(fd, head, (size_t)length);
}

/* Bytes that depend on their place only. */
static bool put_pattern(int fd, uint64_t size, bool chunked)
{
  char bytes[16384], head[32];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (char)('a' + i % 23);
  while (size) {
    size_t part = size < sizeof bytes ? (size_t)size : sizeof bytes;
    if (chunked && !put_all(fd, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", part)))
      return false;
    if (!put_all(fd, bytes, part) || (chunked && !put_all(fd, "\r\n", 2)))
      return false;
    size -= part;
  }
  return !chunked || put_all(fd, "0\r\n\r\n", 5);
}

/* Ends the connection by RST rather than FIN. What was sent has arrived before: a reset drops what waits to be sent. */
static void make_reset(int fd)
{
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  int at_once = 1, waiting;
  must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once) == 0);
  while (ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting > 0)
    sched_yield();
  must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
}

static bool put_short(int fd, const struct request *request)
{
  char body[LINE_MAX_SIZE + 128];
  int size = snprintf(body, sizeof body, "%s %s %016llx %llu\n", request->method, request->path,
                      (unsigned long long)request->hash, (unsigned long long)request->size);
  return put_head(fd, 200, "Content-Type: text/plain\r\n", (uint64_t)size) &&
         (strcmp(request->method, "HEAD") == 0 || put_all(fd, body, (size_t)size));
}

/* How often that path has been asked for with that key, this time included. */
static uint64_t times_asked(const struct request *request)
{
  static struct { char *what; uint64_t times; } asked[KEYS_MAX];
  static size_t asked_count;
  char what[LINE_MAX_SIZE + 300];
  size_t i = 0;
  snprintf(what, sizeof what, "%s %s", request->path, request->key);
  must(pthread_mutex_lock(&keys_lock) == 0);
  while (i < asked_count && strcmp(asked[i].what, what) != 0)
    i++;
  if (i == asked_count)
    must(asked_count++ < KEYS_MAX && (asked[i].what = strdup(what)));
  uint64_t times = ++asked[i].times;
  must(pthread_mutex_unlock(&keys_lock) == 0);
  return times;
}

static bool put_not_now(int fd, const char *rest)
{
  unsigned status = 503;
  char seconds[32] = "", headers[64] = "";
  static const char words[] = "not now\n";
  sscanf(rest, "%*u/%u/%31[^/]", &status, seconds);
  if (seconds[0])
    snprintf(headers, sizeof headers, "Retry-After: %s\r\n", seconds);
  return put_head(fd, status, headers, sizeof words - 1) && put_all(fd, words, sizeof words - 1);
}

/* False: the connection ends. */
static bool answer(int fd, const struct request *request)
{
  char how[32] = "", rest[256] = "", headers[512];
  sscanf(request->path, "/%31[a-z]/%255s", how, rest);
  uint64_t number = strtoull(rest, NULL, 10);
  if (strcmp(how, "bytes") == 0)
    return put_head(fd, 200, "", number) && put_pattern(fd, number, false);
  if (strcmp(how, "chunked") == 0)
    return put_all(fd, "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n", 49) &&
           put_pattern(fd, number, true);
  if (strcmp(how, "status") == 0)
    return put_head(fd, (unsigned)number, "", 0);
  if (strcmp(how, "cookie") == 0) {
    snprintf(headers, sizeof headers, "Set-Cookie: c=%s; Path=/\r\n", rest);
    return put_head(fd, 200, headers, 0);
  }
  if (strcmp(how, "redirect") == 0) {
    if (number > 0)
      snprintf(headers, sizeof headers, "Location: /redirect/%llu\r\n", (unsigned long long)number - 1);
    else
      snprintf(headers, sizeof headers, "Location: /\r\n");
    return put_head(fd, 302, headers, 0);
  }
  if (strcmp(how, "failing") == 0 && times_asked(request) <= number)
    return put_not_now(fd, rest);
  if (strcmp(how, "breaking") == 0 && times_asked(request) <= number) {
    make_reset(fd);
    return false;
  }
  if (strcmp(how, "slow") == 0)
    poll(NULL, 0, (int)number);
  if (strcmp(how, "reset") == 0 || strcmp(how, "truncated") == 0) {
    put_head(fd, 200, "", number * 2);
    put_pattern(fd, number, false);
    if (strcmp(how, "reset") == 0)
      make_reset(fd);
    return false;
  }
  return put_short(fd, request);
}

static void *serve(void *argument)
{
  struct stream *in = argument;
  struct request request;
  while (read_request(in, &request)) {
    log_request(&request);
    if (!answer(in->fd, &request) || request.close)
      break;
  }
  close(in->fd);
  free(in);
  return NULL;
}

static void tell_port(int listener, const char *path)
{
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  char text[16];
  must(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
  snprintf(text, sizeof text, "%u\n", ntohs(address.sin_port));
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  must(fd >= 0);
  put(fd, text);
  close(fd);
}

int main(int count, char **arguments)
{
  must(count == 3 || count == 4);
  signal(SIGPIPE, SIG_IGN);
  log_fd = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  must(log_fd >= 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (count == 4)
    address.sin_port = htons((uint16_t)atoi(arguments[3]));
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  must(listener >= 0);
  must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
  must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
  must(listen(listener, 128) == 0);
  tell_port(listener, arguments[2]);
  for (;;) {
    struct stream *in = calloc(1, sizeof *in);
    must(in);
    in->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(in->fd >= 0);
    pthread_t thread;
    must(pthread_create(&thread, NULL, serve, in) == 0);
    pthread_detach(thread);
  }
}
