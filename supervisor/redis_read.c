/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody reads who takes a run over, or looks at it. Trusts no byte. */
#include "supervisor/frame.h"
#include "supervisor/redis_run_internal.h"
#include "supervisor/run_place.h"
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

/* The run's fields of those names, of which the first is its format. */
static int ask_fields(struct redis_run *run, const char *second, const char *third, redisReply **ret_reply, struct failure *failure)
{
  struct command command = {0};
  redisReply *reply;
  add(&command, "HMGET");
  add(&command, run->key_run);
  add(&command, "format");
  add(&command, second);
  add(&command, third);
  int error = redis_link_open(&run->link, failure);
  if (error == 0)
    error = redis_link_ask(&run->link, command.words, command.count, 0, &reply, failure);
  if (error != 0)
    return error;
  const char *where = redis_address_text(&run->address);
  if (!text_at(reply, 2)[0])
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

int redis_run_head(struct redis_run *run, struct store_head *ret_head, struct failure *failure)
{
  redisReply *reply;
  struct store_head head;
  int error = ask_fields(run, "state", "head", &reply, failure);
  if (error != 0)
    return error;
  error = unpack(reply->element[2]->str, reply->element[2]->len, HEAD_LENGTH_MAX, &head.bytes, &head.length, failure);
  snprintf(head.state, sizeof head.state, "%s", text_at(reply, 1));
  freeReplyObject(reply);
  if (error == 0)
    *ret_head = head;
  return error;
}

static int any_head(void *self, struct store_head *ret_head, struct failure *failure)
{
  return redis_run_head(self, ret_head, failure);
}

static int any_end(void *self, uint64_t *ret_next_seq, uint64_t *ret_position, struct failure *failure)
{
  redisReply *reply;
  int error = ask_fields(self, "end_position", "next_seq", &reply, failure);
  if (error != 0)
    return error;
  *ret_position = number_at(reply, 1);
  *ret_next_seq = number_at(reply, 2);
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

/* ---- all runs ---- */

#define KEY_BEFORE "perdure:{"
#define KEY_BEHIND "}:run"

/* The key's run is visited if it is in that state. */
static int visit_key(struct redis_link *link, const redisReply *key, const char *state,
                     int (*each)(const char *id, void *context), void *context, struct failure *failure)
{
  size_t before = strlen(KEY_BEFORE), behind = strlen(KEY_BEHIND);
  const struct redis_word words[] = {{"HGET", 4}, {key->str, key->len}, {"state", 5}};
  char id[RUN_ID_SIZE];
  redisReply *reply;
  if (key->len <= before + behind || key->len - before - behind >= sizeof id)
    return 0;
  int error = redis_link_ask(link, words, 3, 0, &reply, failure);
  if (error != 0)
    return error;
  snprintf(id, sizeof id, "%.*s", (int)(key->len - before - behind), key->str + before);
  bool wanted = reply->type == REDIS_REPLY_STRING && strcmp(reply->str, state) == 0;
  freeReplyObject(reply);
  return wanted ? each(id, context) : 0;
}

int redis_runs(const struct redis_address *address, const char *state, int (*each)(const char *id, void *context), void *context,
               struct failure *failure)
{
  struct redis_link link = {.address = address};
  char cursor[32] = "0";
  int error = redis_link_open(&link, failure);
  do {
    const struct redis_word words[] = {{"SCAN", 4}, {cursor, strlen(cursor)}, {"MATCH", 5}, {KEY_BEFORE "*" KEY_BEHIND, 15}, {"COUNT", 5},
                                       {"1000", 4}};
    redisReply *reply = NULL;
    if (error == 0)
      error = redis_link_ask(&link, words, 6, 0, &reply, failure);
    if (error != 0)
      break;
    snprintf(cursor, sizeof cursor, "%s", text_at(reply, 0));
    for (size_t i = 0; error == 0 && reply->elements == 2 && i < reply->element[1]->elements; i++)
      error = visit_key(&link, reply->element[1]->element[i], state, each, context, failure);
    freeReplyObject(reply);
  } while (error == 0 && strcmp(cursor, "0") != 0 && cursor[0]);
  redis_link_close(&link);
  return error;
}
