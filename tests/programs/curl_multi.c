/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface, with each of its ways to wait:
 *
 *   curl_multi HOW URL [retried]    HOW: poll, wait, fdset, epoll, wakeup; retried: under a policy, of a server that fails at first
 *
 * Several transfers at once, the same handles in a second round, and one that is taken out before its end. What
 * it prints and the files out-N are the same in every run against the counting server. */
#include "control-api/perdure.h"
#include "must.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/timerfd.h>

#define TRANSFERS 4

struct transfer {
  CURL *easy;
  FILE *out;
  size_t given;
  int code;
  long status;
};

static struct transfer transfers[TRANSFERS];
static CURLM *multi;
static int running;
static char suffix[16]; /* of all addresses: the server counts by them */

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
  struct transfer *transfer = data;
  return fwrite(bytes, size, count, transfer->out);
}

static size_t on_read(char *bytes, size_t size, size_t count, void *data)
{
  struct transfer *transfer = data;
  size_t i = 0;
  for (; i < size * count && transfer->given < 70000; i++)
    bytes[i] = (char)('a' + transfer->given++ % 26);
  return i;
}

static int on_seek(void *data, curl_off_t offset, int origin)
{
  ((struct transfer *)data)->given = (size_t)offset;
  return CURL_SEEKFUNC_OK;
}

static void check(void)
{
  int left;
  CURLMsg *message;
  while ((message = curl_multi_info_read(multi, &left))) {
    struct transfer *transfer;
    must(message->msg == CURLMSG_DONE);
    must(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer) == CURLE_OK);
    must(transfer->easy == message->easy_handle);
    transfer->code = message->data.result;
    must(curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->status) == CURLE_OK);
    must(curl_multi_remove_handle(multi, transfer->easy) == CURLM_OK);
  }
}

/* ---- ways to wait ---- */

static void by_poll(bool wakeable)
{
  do {
    must(curl_multi_perform(multi, &running) == CURLM_OK);
    check();
    if (running && wakeable)
      must(curl_multi_poll(multi, NULL, 0, 1000, NULL) == CURLM_OK);
    else if (running)
      must(curl_multi_wait(multi, NULL, 0, 1000, NULL) == CURLM_OK);
  } while (running);
}

static void by_fdset(void)
{
  do {
    fd_set in, out, other;
    int highest;
    long timeout_ms;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&other);
    must(curl_multi_perform(multi, &running) == CURLM_OK);
    check();
    must(curl_multi_fdset(multi, &in, &out, &other, &highest) == CURLM_OK);
    must(curl_multi_timeout(multi, &timeout_ms) == CURLM_OK);
    if (timeout_ms < 0 || timeout_ms > 1000)
      timeout_ms = 1000;
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (running)
      must(select(highest + 1, &in, &out, &other, &wait) >= 0);
  } while (running);
}

static int set, timer;

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *own)
{
  struct epoll_event event = {.data.fd = fd};
  must(data == &set && easy);
  if (what == CURL_POLL_REMOVE) {
    must(own == &timer);
    /* libcurl closes what is not connected yet before it says so. */
    must(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == 0 || errno == EBADF);
    return 0;
  }
  event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
  must(epoll_ctl(set, own ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0);
  must(curl_multi_assign(multi, fd, &timer) == CURLM_OK);
  return 0;
}

static int on_timer(CURLM *multi_handle, long timeout_ms, void *data)
{
  struct itimerspec when = {.it_value = {timeout_ms / 1000, timeout_ms % 1000 * 1000000}};
  must(data == &timer && multi_handle == multi);
  if (timeout_ms == 0)
    when.it_value.tv_nsec = 1;
  if (timeout_ms < 0)
    when.it_value.tv_sec = when.it_value.tv_nsec = 0;
  must(timerfd_settime(timer, 0, &when, NULL) == 0);
  return 0;
}

static void prepare_epoll(void)
{
  set = epoll_create1(EPOLL_CLOEXEC);
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = timer};
  must(set >= 0 && timer >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, timer, &event) == 0);
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, &set);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, &timer);
}

static void by_epoll(void)
{
  running = 1;
  while (running) {
    struct epoll_event events[8];
    int count = epoll_wait(set, events, 8, -1);
    must(count > 0);
    for (int i = 0; i < count; i++) {
      uint64_t times;
      int fd = events[i].data.fd, ready = 0;
      if (fd == timer) {
        if (read(timer, &times, sizeof times) == sizeof times)
          must(curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running) == CURLM_OK);
        continue;
      }
      if (events[i].events & (EPOLLIN | EPOLLHUP))
        ready |= CURL_CSELECT_IN;
      if (events[i].events & EPOLLOUT)
        ready |= CURL_CSELECT_OUT;
      if (events[i].events & EPOLLERR)
        ready |= CURL_CSELECT_ERR;
      must(curl_multi_socket_action(multi, fd, ready, &running) == CURLM_OK);
    }
    check();
  }
}

/* ---- transfers ---- */

static void set_up(CURL *easy, struct transfer *transfer, const char *base, const char *path)
{
  char url[256];
  snprintf(url, sizeof url, "%s%s%s", base, path, suffix);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

static void set_up_upload(struct transfer *transfer)
{
  transfer->given = 0;
  curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(transfer->easy, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(transfer->easy, CURLOPT_READDATA, transfer);
  curl_easy_setopt(transfer->easy, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(transfer->easy, CURLOPT_SEEKDATA, transfer);
  curl_easy_setopt(transfer->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)70000);
}

static void begin_round(const char *base, int round, bool retried)
{
  static const char *const rounds[][TRANSFERS] = {{"/bytes/40000", "/post", "/put", "/chunked/3000"},
                                                  {"/status/404", "/again", "/put-again", "/truncated/500"},
                                                  {"/failing/1/503//get", "/failing/2/503//post", "/failing/1/503//put", "/breaking/1/get"},
                                                  {"/status/404", "/breaking/2/again", "/failing/1/503//put-again", "/truncated/500"}};
  const char *const *paths = rounds[round + (retried ? 2 : 0)];
  for (int i = 0; i < TRANSFERS; i++) {
    struct transfer *transfer = &transfers[i];
    set_up(transfer->easy, transfer, base, paths[i]);
    transfer->code = -1;
    if (i == 1)
      curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, round ? "two=2" : "one=1");
    if (i == 2)
      set_up_upload(transfer);
    must(curl_multi_add_handle(multi, transfer->easy) == CURLM_OK);
    must(curl_multi_add_handle(multi, transfer->easy) == CURLM_ADDED_ALREADY);
  }
}

static void end_round(int round)
{
  for (int i = 0; i < TRANSFERS; i++)
    printf("%d.%d: %d %ld\n", round, i, transfers[i].code, transfers[i].status);
  fflush(stdout);
}

static void *wake(void *unused)
{
  must(curl_multi_wakeup(multi) == CURLM_OK);
  return NULL;
}

/* Nothing is under way: only another thread ends this wait. */
static void be_woken(void)
{
  pthread_t thread;
  int ready = -1;
  must(pthread_create(&thread, NULL, wake, NULL) == 0);
  must(curl_multi_poll(multi, NULL, 0, 60000, &ready) == CURLM_OK);
  must(pthread_join(thread, NULL) == 0);
  printf("woken: %d\n", ready);
  fflush(stdout);
}

int main(int argc, char **argv)
{
  must(argc == 3 || (argc == 4 && strcmp(argv[3], "retried") == 0));
  const char *how = argv[1];
  const struct perdure_retry_policy policy = {9, 1000000, 4000000, 2, 0, PERDURE_RETRY_503};
  if (argc == 4)
    snprintf(suffix, sizeof suffix, "?%s", how);
  if (argc == 4)
    must(perdure_retry_policy_set(&policy) == 0);
  multi = curl_multi_init();
  must(multi != NULL);
  if (strcmp(how, "epoll") == 0)
    prepare_epoll();
  if (strcmp(how, "wakeup") == 0)
    be_woken();
  for (int i = 0; i < TRANSFERS; i++) {
    char name[16];
    snprintf(name, sizeof name, "out-%d", i);
    transfers[i] = (struct transfer){.easy = curl_easy_init(), .out = fopen(name, "w")};
    must(transfers[i].easy && transfers[i].out);
  }
  for (int round = 0; round < 2; round++) {
    struct transfer none = {.out = stdout};
    CURL *left = curl_easy_init();
    set_up(left, &none, argv[2], "/slow/600000");
    must(curl_multi_add_handle(multi, left) == CURLM_OK);
    begin_round(argv[2], round, argc == 4);
    must((strcmp(how, "epoll") == 0 ? curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running)
                                    : curl_multi_perform(multi, &running)) == CURLM_OK);
    must(curl_multi_remove_handle(multi, left) == CURLM_OK);
    curl_easy_cleanup(left);
    if (strcmp(how, "fdset") == 0)
      by_fdset();
    else if (strcmp(how, "epoll") == 0)
      by_epoll();
    else
      by_poll(strcmp(how, "wait") != 0);
    end_round(round);
  }
  must(curl_multi_cleanup(multi) == CURLM_OK);
  for (int i = 0; i < TRANSFERS; i++) {
    curl_easy_cleanup(transfers[i].easy);
    fclose(transfers[i].out);
  }
  return 0;
}
