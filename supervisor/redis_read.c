/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody reads who takes a run over, or looks at it. Trusts no byte. */
#include "supervisor/frame.h"
#include "supervisor/redis_run_internal.h"
#include "supervisor/store_head.h"

#include <endian.h>
#include <errno.h>

static int damaged(struct failure *failure)
{
  return failure_set(failure, -EBADMSG,
                     "the store holds a part of the run that is damaged; take it from a replica or a backup");
}

static int unpack(const void *packed, size_t packed_length, size_t length_max, void **ret_bytes, size_t *ret_length,
                  struct failure *failure)
{
  int error = frame_unpack(packed, packed_length, length_max, ret_bytes, ret_length);
  return error == -ENOMEM ? failure_set(failure, error, "cannot read the store: out of memory") : error ? damaged(failure) : 0;
}

#define HEAD_LENGTH_MAX (64u << 20)

/* The run's fields of those names, of which the first is its format, and the second is there in every run. */
static int ask_fields(struct redis_run *run, const char *const *names, unsigned count, redisReply **ret_reply, struct failure *failure)
{
  struct command command = {0};
  redisReply *reply;
  add(&command, "HMGET");
  add(&command, run->key_run);
  for (unsigned i = 0; i < count; i++)
    add(&command, names[i]);
  int error = redis_link_open(&run->link, failure);
  if (error == 0)
    error = redis_link_ask(&run->link, command.words, command.count, 0, &reply, failure);
  if (error != 0)
    return error;
  const char *where = redis_address_text(&run->address);
  if (!text_at(reply, 1)[0])
    error = failure_set(failure, -ENOENT, "%s does not have the run", where);
  else if (number_at(reply, 0) != REDIS_RUN_FORMAT)
    error = failure_set(failure, -EPROTO, "the run is in format %s in %s, and this perdure knows %d; use the perdure that wrote it",
                        text_at(reply, 0), where, REDIS_RUN_FORMAT);
  if (error == 0)
    *ret_reply = reply;
  else
    freeReplyObject(reply);
  return error;
}

static int now_us(struct redis_run *run, uint64_t *ret_time_us, struct failure *failure)
{
  const struct redis_word word = {"TIME", 4};
  redisReply *reply;
  int error = redis_link_ask(&run->link, &word, 1, 0, &reply, failure);
  if (error != 0)
    return error;
  *ret_time_us = number_at(reply, 0) * 1000000 + number_at(reply, 1);
  freeReplyObject(reply);
  return 0;
}

int redis_run_look(struct redis_run *run, struct redis_look *ret_look, struct failure *failure)
{
  static const char *const names[] = {"format", "head", "state", "next_seq", "epoch", "name", "lease_until_us"};
  redisReply *reply;
  uint64_t time_us = 0;
  int error = ask_fields(run, names, sizeof names / sizeof names[0], &reply, failure);
  if (error != 0)
    return error;
  struct redis_look look = {.next_seq = number_at(reply, 3), .epoch = number_at(reply, 4)};
  uint64_t lease_until_us = number_at(reply, 6);
  snprintf(look.owner, sizeof look.owner, "%s", text_at(reply, 5));
  snprintf(look.head.state, sizeof look.head.state, "%s", text_at(reply, 2));
  error = unpack(reply->element[1]->str, reply->element[1]->len, HEAD_LENGTH_MAX, &look.head.bytes, &look.head.length, failure);
  freeReplyObject(reply);
  if (error != 0)
    return error;
  error = lease_until_us > 0 ? now_us(run, &time_us, failure) : 0;
  if (error != 0) {
    free(look.head.bytes);
    return error;
  }
  look.lease_left_ms = lease_until_us > time_us ? (lease_until_us - time_us + 999) / 1000 : 0;
  *ret_look = look;
  return 0;
}

int redis_run_head(struct redis_run *run, struct store_head *ret_head, struct failure *failure)
{
  struct redis_look look;
  int error = redis_run_look(run, &look, failure);
  if (error == 0)
    *ret_head = look.head;
  return error;
}

static int any_head(void *self, struct store_head *ret_head, struct failure *failure)
{
  return redis_run_head(self, ret_head, failure);
}

static int any_end(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *failure)
{
  static const char *const names[] = {"format", "next_seq", "end_position"};
  redisReply *reply;
  int error = ask_fields(self, names, 3, &reply, failure);
  if (error != 0)
    return error;
  *ret_next_seq = number_at(reply, 1);
  *ret_position = number_at(reply, 2);
  freeReplyObject(reply);
  return 0;
}

static int visit(const redisReply *item, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure)
{
  struct packed_header header;
  void *bytes;
  if (item->type != REDIS_REPLY_STRING || item->len < sizeof header)
    return damaged(failure);
  memcpy(&header, item->str, sizeof header);
  struct store_chunk chunk = {
    .first_seq = le64toh(header.first_seq),
    .first_position = le64toh(header.first_position),
    .end_position = le64toh(header.end_position),
    .entry_count = le64toh(header.entry_count),
    .time_ns = (int64_t)le64toh(header.time_ns),
  };
  int error = unpack(item->str + sizeof header, item->len - sizeof header, le64toh(header.length), &bytes, &chunk.length, failure);
  if (error != 0)
    return error;
  chunk.bytes = bytes;
  error = chunk.length == le64toh(header.length) ? store_chunk_visit_from(&chunk, first_seq, each, context, failure)
                                                 : damaged(failure);
  free(bytes);
  return error;
}

static int any_chunks(void *self, uint64_t first_seq, store_chunk_visit *each, void *context, struct failure *failure)
{
  struct redis_run *run = self;
  for (uint64_t place = 0;; place += CHUNKS_PER_COMMAND) {
    struct command command = {0};
    redisReply *reply;
    add(&command, "LRANGE");
    add(&command, run->key_chunks);
    add_number(&command, place);
    add_number(&command, place + CHUNKS_PER_COMMAND - 1);
    int error = redis_link_open(&run->link, failure);
    if (error == 0)
      error = redis_link_ask(&run->link, command.words, command.count, 0, &reply, failure);
    if (error != 0)
      return error;
    size_t count = reply->elements;
    for (size_t i = 0; i < count && error == 0; i++)
      error = visit(reply->element[i], first_seq, each, context, failure);
    freeReplyObject(reply);
    if (error != 0 || count < CHUNKS_PER_COMMAND)
      return error;
  }
}

struct any_store redis_run_any(struct redis_run *run)
{
  static const struct store_kind kind = {.end = any_end, .head = any_head, .chunks = any_chunks};
  return (struct any_store){&kind, run};
}
