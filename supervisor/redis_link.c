/* SPDX-License-Identifier: Apache-2.0 */
/* A crash at any line is harmless: the connection is this process's, and every command says whose it is. */
#include "supervisor/redis_link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 512u
#define REDIS_MAJOR_MIN 7
/* A cluster that sends round in a circle is not followed. */
#define MOVES_MAX 4

static struct redis_word word(const char *text)
{
  return (struct redis_word){text, strlen(text)};
}

static bool number(const char *text, unsigned *ret_number)
{
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  *ret_number = (unsigned)value;
  return end != text && value > 0 && value <= 65535;
}

static struct timeval timeval_ms(unsigned ms)
{
  return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000};
}

/* How the server's errors begin, and what they are. */
static const struct {
  const char *word;
  int error;
  const char *advice;
} errors[] = {
  {"WRONGPASS", -EACCES, "correct its user and password"},
  {"NOAUTH", -EACCES, "give it a user and a password"},
  {"NOPERM", -EACCES, "give the user the right to do that"},
  {"READONLY", -EROFS, "name the primary, or its Sentinels"},
  {"OOM", -ENOSPC, "give it more memory"},
  {"MISCONF", -ENOSPC, "make room on its disk"},
  {"NOREPLICAS", -ENOSPC, "bring its replicas back"},
  {"LOADING", -EAGAIN, "wait until it has loaded its data"},
  {"MASTERDOWN", -EAGAIN, "wait until it has its primary back"},
  {"CLUSTERDOWN", -EAGAIN, "wait until the cluster is whole"},
  {"NOSCRIPT", -ENOENT, "send the script"},
};

/* MOVED SLOT HOST:PORT. */
static bool take_moved(struct redis_link *link, const char *said)
{
  const char *host = strncmp(said, "MOVED ", 6) == 0 ? strchr(said + 6, ' ') : NULL;
  const char *colon = host ? strrchr(++host, ':') : NULL;
  if (!colon || colon == host || (size_t)(colon - host) >= sizeof link->moved.name)
    return false;
  memcpy(link->moved.name, host, (size_t)(colon - host));
  link->moved.name[colon - host] = '\0';
  return number(colon + 1, &link->moved.port);
}

static int server_error(struct redis_link *link, const char *said, struct failure *failure)
{
  if (take_moved(link, said))
    return failure_set(failure, -EXDEV, "the store %s says: %s; name that node", redis_address_text(link->address), said);
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
    if (strncmp(said, errors[i].word, strlen(errors[i].word)) == 0)
      return failure_set(failure, errors[i].error, "the store %s refuses: %s; %s", redis_address_text(link->address), said,
                         errors[i].advice);
  return failure_set(failure, -EIO, "the store %s says: %s", redis_address_text(link->address), said);
}

static int lost(struct redis_link *link, const char *why, struct failure *failure)
{
  int error = failure_set(failure, -ENOTCONN, "the store %s does not answer: %s; start it, or put the network right",
                          redis_address_text(link->address), why);
  redis_link_close(link);
  return error;
}

void redis_link_close(struct redis_link *link)
{
  redis_tls_end(link->tls);
  link->tls = NULL;
  if (link->context)
    redisFree(link->context);
  link->context = NULL;
}

/* Behind what is on its way already. */
static int push(struct redis_link *link, const struct redis_word *words, unsigned count, struct failure *failure)
{
  const char *texts[WORDS_MAX];
  size_t lengths[WORDS_MAX];
  if (count > WORDS_MAX)
    return failure_set(failure, -E2BIG, "a command to the store is too long");
  for (unsigned i = 0; i < count; i++) {
    texts[i] = words[i].bytes;
    lengths[i] = words[i].length;
  }
  if (!link->context)
    return lost(link, "not connected", failure);
  return redisAppendCommandArgv(link->context, (int)count, texts, lengths) == REDIS_OK
           ? 0
           : lost(link, link->context->errstr, failure);
}

static int get_plain_reply(struct redis_link *link, void **ret_reply, struct failure *failure)
{
  if (redisGetReply(link->context, ret_reply) == REDIS_OK && *ret_reply)
    return 0;
  bool late = link->context->err == REDIS_ERR_IO && errno == EAGAIN;
  return lost(link, late ? "no answer in time" : link->context->errstr, failure);
}

static int get_tls_reply(struct redis_link *link, void **ret_reply, struct failure *failure)
{
  int error = redis_tls_reply(link->tls, link->context, ret_reply, failure);
  if (error != 0)
    redis_link_close(link);
  return error;
}

/* A server that has closed the connection is an error, and no signal that ends this process. */
static int get_reply(struct redis_link *link, void **ret_reply, struct failure *failure)
{
  const struct timespec at_once = {0, 0};
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  int error = link->tls ? get_tls_reply(link, ret_reply, failure) : get_plain_reply(link, ret_reply, failure);
  while (error != 0 && !sigismember(&before, SIGPIPE) && sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) {
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

static int pull(struct redis_link *link, redisReply **ret_reply, struct failure *failure)
{
  void *answer = NULL;
  int error = get_reply(link, &answer, failure);
  if (error != 0)
    return error;
  redisReply *reply = answer;
  if (reply->type == REDIS_REPLY_ERROR) {
    error = server_error(link, reply->str, failure);
    freeReplyObject(reply);
    return error;
  }
  *ret_reply = reply;
  return 0;
}

static void set_timeout(struct redis_link *link, unsigned timeout_ms)
{
  if (link->context && link->timeout_ms != timeout_ms)
    redisSetTimeout(link->context, timeval_ms(timeout_ms));
  link->timeout_ms = timeout_ms;
}

static int ask_here(struct redis_link *link, const struct redis_word *words, unsigned count, unsigned wait_ms,
                    redisReply **ret_reply, struct failure *failure)
{
  set_timeout(link, REDIS_TIMEOUT_MS + wait_ms);
  int error = push(link, words, count, failure);
  return error == 0 ? pull(link, ret_reply, failure) : error;
}

int redis_link_ask(struct redis_link *link, const struct redis_word *words, unsigned count, unsigned wait_ms,
                   redisReply **ret_reply, struct failure *failure)
{
  int error = ask_here(link, words, count, wait_ms, ret_reply, failure);
  for (int moves = 0; error == -EXDEV && moves < MOVES_MAX; moves++) {
    redis_link_close(link);
    error = redis_link_open(link, failure);
    if (error == 0)
      error = ask_here(link, words, count, wait_ms, ret_reply, failure);
  }
  return error;
}

int redis_link_ask_both(struct redis_link *link, const struct redis_command commands[2], unsigned wait_ms,
                        redisReply *ret_replies[2], struct failure *failure)
{
  redisReply *replies[2] = {NULL, NULL};
  struct failure second;
  set_timeout(link, REDIS_TIMEOUT_MS + wait_ms);
  int error = push(link, commands[0].words, commands[0].count, failure);
  if (error == 0)
    error = push(link, commands[1].words, commands[1].count, failure);
  if (error != 0)
    return error;
  error = pull(link, &replies[0], failure);
  /* What has been asked is answered, unless the connection is gone. */
  int second_error = link->context ? pull(link, &replies[1], &second) : 0;
  if (error == 0 && second_error != 0) {
    error = second_error;
    *failure = second;
  }
  for (int i = 0; i < 2; i++)
    if (error != 0 && replies[i])
      freeReplyObject(replies[i]);
    else if (error == 0)
      ret_replies[i] = replies[i];
  return error;
}

static int ask_words(struct redis_link *link, const char *const *texts, unsigned count, redisReply **ret_reply,
                     struct failure *failure)
{
  struct redis_word words[8];
  for (unsigned i = 0; i < count; i++)
    words[i] = word(texts[i]);
  return redis_link_ask(link, words, count, 0, ret_reply, failure);
}

static int connect_to(struct redis_link *link, const struct redis_host *host, struct failure *failure)
{
  link->context = redisConnectWithTimeout(host->name, (int)host->port, timeval_ms(REDIS_TIMEOUT_MS));
  if (!link->context || link->context->err)
    return lost(link, link->context ? link->context->errstr : "out of memory", failure);
  link->timeout_ms = 0;
  redisEnableKeepAlive(link->context);
  if (!link->address->tls)
    return 0;
  set_timeout(link, REDIS_TIMEOUT_MS);
  int error = redis_tls_begin(link->address, host, link->context->fd, &link->tls, failure);
  if (error != 0)
    redis_link_close(link);
  return error;
}

/* Asks one Sentinel after the other for the master. */
static int find_master(struct redis_link *link, struct redis_host *ret_master, struct failure *failure)
{
  const char *const question[] = {"SENTINEL", "get-master-addr-by-name", link->address->master};
  int error = -ENOTCONN;
  for (unsigned i = 0; i < link->address->host_count; i++) {
    redisReply *reply;
    error = connect_to(link, &link->address->hosts[i], failure);
    if (error == 0)
      error = ask_words(link, question, 3, &reply, failure);
    redis_link_close(link);
    if (error != 0)
      continue;
    bool known = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (known) {
      snprintf(ret_master->name, sizeof ret_master->name, "%s", reply->element[0]->str);
      ret_master->port = (unsigned)strtoul(reply->element[1]->str, NULL, 10);
    }
    freeReplyObject(reply);
    if (known)
      return 0;
    error = failure_set(failure, -ENOENT, "the Sentinels of %s know no such master; correct its name",
                        redis_address_text(link->address));
  }
  return error;
}

static int sign_in(struct redis_link *link, struct failure *failure)
{
  const struct redis_address *address = link->address;
  if (!address->password[0])
    return 0;
  const char *const words[] = {"AUTH", address->user[0] ? address->user : "default", address->password};
  redisReply *reply;
  int error = ask_words(link, words, 3, &reply, failure);
  if (error == 0)
    freeReplyObject(reply);
  return error;
}

static int select_database(struct redis_link *link, struct failure *failure)
{
  char number[16];
  snprintf(number, sizeof number, "%u", link->address->db);
  const char *const words[] = {"SELECT", number};
  redisReply *reply;
  if (!link->address->db)
    return 0;
  int error = ask_words(link, words, 2, &reply, failure);
  if (error == 0)
    freeReplyObject(reply);
  return error;
}

static int check_role_and_version(struct redis_link *link, struct failure *failure)
{
  const char *const words[] = {"INFO", "all"};
  redisReply *reply;
  int error = ask_words(link, words, 2, &reply, failure);
  if (error != 0)
    return error;
  const char *said = reply->str ? reply->str : "";
  const char *version = strstr(said, "redis_version:");
  if (!version || strtol(version + strlen("redis_version:"), NULL, 10) < REDIS_MAJOR_MIN)
    error = failure_set(failure, -EPROTONOSUPPORT, "the store %s is no Redis of version %d or later; bring it up to date",
                        redis_address_text(link->address), REDIS_MAJOR_MIN);
  else if (strstr(said, "role:slave"))
    error = server_error(link, "READONLY it is a replica", failure);
  link->cluster = strstr(said, "cluster_enabled:1") != NULL;
  freeReplyObject(reply);
  return error;
}

int redis_link_open(struct redis_link *link, struct failure *failure)
{
  struct redis_host master = link->address->hosts[0];
  int error = 0;
  if (link->context)
    return 0;
  if (link->address->master[0])
    error = find_master(link, &master, failure);
  if (error == 0 && link->moved.name[0]) {
    error = connect_to(link, &link->moved, failure);
    if (error != 0) { /* another node knows who has the slot now */
      link->moved.name[0] = '\0';
      error = connect_to(link, &master, failure);
    }
  } else if (error == 0) {
    error = connect_to(link, &master, failure);
  }
  if (error == 0)
    error = sign_in(link, failure);
  if (error == 0)
    error = select_database(link, failure);
  if (error == 0)
    error = check_role_and_version(link, failure);
  if (error != 0)
    redis_link_close(link);
  return error;
}
