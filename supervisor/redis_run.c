/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about one run: each is one call of redis_run.lua, or reads. A crash at any line: redis_run.h. */
#include "supervisor/redis_run_internal.h"

#include "supervisor/clock.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Chunks are small deltas already; more effort costs more than it saves. */
#define ZSTD_LEVEL 1
/* Of what is as small as this somebody waits for the end; tables of its own would be longer than what they save. */
#define ZSTD_LEVEL_SMALL (-20)
#define SMALL_SIZE 1024u
/* WAIT is asked for in steps, so that a server that is gone is noticed. */
#define WAIT_STEP_MS 5000u

/* redis_run.lua as it is. */
extern const char redis_run_script[];

static void begin(struct command *command, const struct redis_run *run, const char *verb)
{
  command->count = command->number_count = 0;
  add(command, "EVALSHA");
  add(command, run->script_hash);
  add(command, "2");
  add(command, run->key_run);
  add(command, run->key_chunks);
  add(command, verb);
  add_number(command, REDIS_RUN_FORMAT);
}

static void begin_as_owner(struct command *command, const struct redis_run *run, const char *verb)
{
  begin(command, run, verb);
  add_number(command, run->epoch);
}

/* What the script's word means. */
static int judge(const struct redis_run *run, const redisReply *reply, struct failure *failure)
{
  const char *where = redis_address_text(&run->address), *answer = text_at(reply, 0);
  if (strcmp(answer, "ok") == 0)
    return 0;
  if (strcmp(answer, "held") == 0)
    return failure_set(failure, -EBUSY, "the run is %s's in %s for %.1f s more; wait that long, or end it there",
                       text_at(reply, 1), where, (double)number_at(reply, 2) / 1000);
  if (strcmp(answer, "stale") == 0)
    return failure_set(failure, -ESTALE, "taken over by %s in %s", text_at(reply, 1), where);
  if (strcmp(answer, "gap") == 0)
    return failure_set(failure, -EILSEQ, "%s has the journal up to entry %llu only", where,
                       (unsigned long long)number_at(reply, 1) - 1);
  if (strcmp(answer, "missing") == 0)
    return failure_set(failure, -ENOENT, "%s does not have the run", where);
  if (strcmp(answer, "format") == 0)
    return failure_set(failure, -EPROTO, "the run is in format %s in %s, and this perdure knows %d; use the perdure that wrote it",
                       text_at(reply, 1), where, REDIS_RUN_FORMAT);
  return failure_set(failure, -EIO, "%s gave an answer that means nothing", where);
}

/* Asks; where the server does not know the script, once more with its text. */
static int ask(struct redis_run *run, struct command *command, redisReply **ret_reply, struct failure *failure)
{
  int error = redis_link_open(&run->link, failure);
  if (error == 0)
    error = redis_link_ask(&run->link, command->words, command->count, 0, ret_reply, failure);
  if (error != -ENOENT)
    return error;
  command->words[0] = (struct redis_word){"EVAL", 4};
  command->words[1] = (struct redis_word){redis_run_script, strlen(redis_run_script)};
  return redis_link_ask(&run->link, command->words, command->count, 0, ret_reply, failure);
}

/* Asks and judges; the reply is there after -EBUSY and -EILSEQ too. NULL as ret_reply: nobody wants it. */
static int tell(struct redis_run *run, struct command *command, redisReply **ret_reply, struct failure *failure)
{
  redisReply *reply = NULL;
  int error = ask(run, command, &reply, failure);
  if (error == 0)
    error = judge(run, reply, failure);
  if (reply && ret_reply && (error == 0 || error == -EBUSY || error == -EILSEQ))
    *ret_reply = reply;
  else if (reply)
    freeReplyObject(reply);
  return error;
}

/* ---- opening ---- */

static int hash_script(struct redis_run *run, struct failure *failure)
{
  redisReply *reply;
  const struct redis_word words[] = {
    {"SCRIPT", 6}, {"LOAD", 4}, {redis_run_script, strlen(redis_run_script)}};
  int error = redis_link_ask(&run->link, words, 3, 0, &reply, failure);
  if (error != 0)
    return error;
  snprintf(run->script_hash, sizeof run->script_hash, "%s", reply->str ? reply->str : "");
  freeReplyObject(reply);
  return 0;
}

int redis_run_open_to_look(const struct redis_address *address, const char *id, struct redis_run **ret_run, struct failure *failure)
{
  struct redis_run *run = calloc(1, sizeof *run);
  if (!run)
    return failure_set(failure, -ENOMEM, "cannot open the store: out of memory");
  run->address = *address;
  run->link.address = &run->address;
  redis_run_name(run, id);
  int error = redis_link_open(&run->link, failure);
  if (error != 0) {
    redis_run_close(run);
    return error;
  }
  *ret_run = run;
  return 0;
}

int redis_run_open(const struct redis_address *address, const char *id, struct redis_run **ret_run,
                   struct failure *failure)
{
  struct redis_run *run;
  int error = redis_run_open_to_look(address, id, &run, failure);
  if (error != 0)
    return error;
  run->compressor = ZSTD_createCCtx();
  error = run->compressor ? hash_script(run, failure) : failure_set(failure, -ENOMEM, "cannot open the store: out of memory");
  if (error != 0) {
    redis_run_close(run);
    return error;
  }
  *ret_run = run;
  return 0;
}

void redis_run_close(struct redis_run *run)
{
  if (!run)
    return;
  redis_link_close(&run->link);
  ZSTD_freeCCtx(run->compressor);
  free(run);
}

/* ---- owning ---- */

int redis_run_claim(struct redis_run *run, const struct redis_claim *claim, struct redis_claimed *ret_claimed,
                    uint64_t *ret_left_ms, struct failure *failure)
{
  struct command command;
  redisReply *reply = NULL;
  int64_t before_ns = clock_ns(CLOCK_BOOTTIME);
  begin(&command, run, "claim");
  add(&command, claim->owner);
  add(&command, claim->name);
  add_number(&command, claim->lease_ms);
  add_number(&command, claim->epoch_min ? claim->epoch_min : 1);
  int error = tell(run, &command, &reply, failure);
  if (error == -EBUSY && ret_left_ms)
    *ret_left_ms = number_at(reply, 2);
  if (error == 0) {
    run->epoch = number_at(reply, 1);
    *ret_claimed = (struct redis_claimed){run->epoch, number_at(reply, 2), number_at(reply, 3), number_at(reply, 4),
                                          before_ns + (int64_t)claim->lease_ms * 1000000};
  }
  if (reply)
    freeReplyObject(reply);
  return error;
}

int redis_run_renew(struct redis_run *run, unsigned lease_ms, uint64_t *ret_next_seq, int64_t *ret_lease_until_ns,
                    struct failure *failure)
{
  struct command command;
  redisReply *reply = NULL;
  int64_t before_ns = clock_ns(CLOCK_BOOTTIME);
  begin_as_owner(&command, run, "renew");
  add_number(&command, lease_ms);
  int error = tell(run, &command, &reply, failure);
  if (error != 0)
    return error;
  *ret_next_seq = number_at(reply, 1);
  *ret_lease_until_ns = before_ns + (int64_t)lease_ms * 1000000;
  freeReplyObject(reply);
  return 0;
}

static int tell_verb(struct redis_run *run, const char *verb, struct failure *failure)
{
  struct command command;
  begin_as_owner(&command, run, verb);
  return tell(run, &command, NULL, failure);
}

int redis_run_release(struct redis_run *run, struct failure *failure)
{
  return tell_verb(run, "release", failure);
}

int redis_run_remove(struct redis_run *run, struct failure *failure)
{
  return tell_verb(run, "remove", failure);
}

int redis_run_reset(struct redis_run *run, struct failure *failure)
{
  return tell_verb(run, "reset", failure);
}

/* ---- writing ---- */

/* A header and a zstd frame, malloc'ed. */
static int pack(struct redis_run *run, const struct store_chunk *chunk, void **ret_bytes, size_t *ret_length, struct failure *failure)
{
  const struct packed_header header = {
    htole64(chunk->first_seq),   htole64(chunk->first_position),    htole64(chunk->end_position),
    htole64(chunk->entry_count), htole64((uint64_t)chunk->time_ns), htole64(chunk->length)};
  size_t room = ZSTD_compressBound(chunk->length);
  uint8_t *bytes = malloc(sizeof header + room);
  if (!bytes)
    return failure_set(failure, -ENOMEM, "cannot write to the store: out of memory");
  memcpy(bytes, &header, sizeof header);
  size_t length = ZSTD_compressCCtx(run->compressor, bytes + sizeof header, room, chunk->bytes, chunk->length,
                                    chunk->length < SMALL_SIZE ? ZSTD_LEVEL_SMALL : ZSTD_LEVEL);
  if (ZSTD_isError(length)) {
    free(bytes);
    return failure_set(failure, -EIO, "cannot compress a part of the journal: %s", ZSTD_getErrorName(length));
  }
  *ret_bytes = bytes;
  *ret_length = sizeof header + length;
  return 0;
}

/* An append that grows: its chunks are packed for as long as it is told. */
struct appending {
  struct command command;
  void *packed[CHUNKS_PER_COMMAND];
  unsigned packed_count;
};

/* At most CHUNKS_PER_COMMAND. On an error too, end_append() is due. */
static int begin_append(struct redis_run *run, struct appending *appending, const struct store_chunk *chunks, unsigned count,
                        unsigned lease_ms, struct failure *failure)
{
  struct command *command = &appending->command;
  begin_as_owner(command, run, "append");
  if (lease_ms == REDIS_LEASE_KEEP)
    add(command, "");
  else
    add_number(command, lease_ms);
  for (appending->packed_count = 0; appending->packed_count < count; appending->packed_count++) {
    const struct store_chunk *chunk = &chunks[appending->packed_count];
    size_t length = 0;
    int error = pack(run, chunk, &appending->packed[appending->packed_count], &length, failure);
    if (error != 0)
      return error;
    add_number(command, chunk->first_seq);
    add_number(command, chunk->entry_count);
    add_number(command, chunk->end_position);
    add_bytes(command, appending->packed[appending->packed_count], length);
  }
  return 0;
}

static void end_append(struct appending *appending)
{
  while (appending->packed_count > 0)
    free(appending->packed[--appending->packed_count]);
}

static int append_some(struct redis_run *run, const struct store_chunk *chunks, unsigned count, unsigned lease_ms,
                       uint64_t *ret_next_seq, struct failure *failure)
{
  struct appending appending;
  redisReply *reply = NULL;
  int error = begin_append(run, &appending, chunks, count, lease_ms, failure);
  if (error == 0)
    error = tell(run, &appending.command, &reply, failure);
  if (reply)
    *ret_next_seq = number_at(reply, 1);
  if (reply)
    freeReplyObject(reply);
  end_append(&appending);
  return error;
}

int redis_run_append(struct redis_run *run, const struct store_chunk *chunks, unsigned count, unsigned lease_ms,
                     uint64_t *ret_next_seq, int64_t *ret_lease_until_ns, struct failure *failure)
{
  int error = 0;
  for (unsigned done = 0; done < count && error == 0; done += CHUNKS_PER_COMMAND) {
    unsigned some = count - done < CHUNKS_PER_COMMAND ? count - done : CHUNKS_PER_COMMAND;
    int64_t before_ns = clock_ns(CLOCK_BOOTTIME);
    error = append_some(run, chunks + done, some, lease_ms, ret_next_seq, failure);
    if (error == 0 && lease_ms != REDIS_LEASE_KEEP)
      *ret_lease_until_ns = before_ns + (int64_t)lease_ms * 1000000;
  }
  return error;
}

int redis_run_set_head(struct redis_run *run, const char *state, const void *bytes, size_t length,
                       struct failure *failure)
{
  struct command command;
  size_t room = ZSTD_compressBound(length);
  void *packed = malloc(room);
  if (!packed)
    return failure_set(failure, -ENOMEM, "cannot write to the store: out of memory");
  size_t packed_length = ZSTD_compressCCtx(run->compressor, packed, room, bytes, length, ZSTD_LEVEL);
  int error = ZSTD_isError(packed_length) ? failure_set(failure, -EIO, "cannot compress the run's head") : 0;
  if (error == 0) {
    begin_as_owner(&command, run, "head");
    add(&command, state);
    add_bytes(&command, packed, packed_length);
    error = tell(run, &command, NULL, failure);
  }
  free(packed);
  return error;
}

/* ---- waiting ---- */

static void begin_wait(struct command *command, unsigned replicas, unsigned timeout_ms)
{
  command->count = command->number_count = 0;
  add(command, "WAIT");
  add_number(command, replicas);
  add_number(command, timeout_ms);
}

static unsigned count_of(const redisReply *reply)
{
  return reply->type == REDIS_REPLY_INTEGER && reply->integer > 0 ? (unsigned)reply->integer : 0;
}

static int wait_once(struct redis_run *run, unsigned replicas, unsigned timeout_ms, unsigned *ret_acknowledged,
                     struct failure *failure)
{
  struct command command;
  redisReply *reply;
  begin_wait(&command, replicas, timeout_ms);
  int error = redis_link_ask(&run->link, command.words, command.count, timeout_ms, &reply, failure);
  if (error != 0)
    return error;
  *ret_acknowledged = count_of(reply);
  freeReplyObject(reply);
  return 0;
}

int redis_run_append_and_wait(struct redis_run *run, const struct store_chunk *chunk, unsigned lease_ms, unsigned replicas,
                              unsigned timeout_ms, struct redis_appended *ret_appended, struct failure *failure)
{
  struct appending appending;
  struct command wait;
  redisReply *replies[2];
  int64_t before_ns = clock_ns(CLOCK_BOOTTIME);
  int error = begin_append(run, &appending, chunk, 1, lease_ms, failure);
  begin_wait(&wait, replicas, timeout_ms);
  const struct redis_command both[2] = {{appending.command.words, appending.command.count}, {wait.words, wait.count}};
  if (error == 0)
    error = redis_link_open(&run->link, failure);
  if (error == 0)
    error = redis_link_ask_both(&run->link, both, timeout_ms, replies, failure);
  end_append(&appending);
  if (error == -ENOENT || error == -EXDEV) /* redis_run_append() brings the script, or goes to where the slot is */
    return failure_set(failure, -EAGAIN, "the store %s does not know the script, or has not the slot", redis_address_text(&run->address));
  if (error != 0)
    return error;
  error = judge(run, replies[0], failure);
  if (error == 0 || error == -EILSEQ)
    *ret_appended = (struct redis_appended){number_at(replies[0], 1), lease_ms == REDIS_LEASE_KEEP ? 0 : before_ns + (int64_t)lease_ms * 1000000,
                                            count_of(replies[1])};
  freeReplyObject(replies[0]);
  freeReplyObject(replies[1]);
  return error;
}

int redis_run_wait(struct redis_run *run, unsigned replicas, unsigned timeout_ms, unsigned *ret_acknowledged,
                   struct failure *failure)
{
  int64_t end_ns = clock_ns(CLOCK_BOOTTIME) + (int64_t)timeout_ms * 1000000;
  for (;;) {
    int64_t left_ms = timeout_ms ? (end_ns - clock_ns(CLOCK_BOOTTIME) + 999999) / 1000000 : WAIT_STEP_MS;
    unsigned step_ms = left_ms < 1 ? 1 : left_ms > WAIT_STEP_MS ? WAIT_STEP_MS : (unsigned)left_ms;
    int error = wait_once(run, replicas, step_ms, ret_acknowledged, failure);
    if (error != 0 || *ret_acknowledged >= replicas)
      return error;
    if (timeout_ms && clock_ns(CLOCK_BOOTTIME) >= end_ns)
      return failure_set(failure, -ETIME, "%u of %u replicas of %s have the journal after %u ms", *ret_acknowledged, replicas,
                         redis_address_text(&run->address), timeout_ms);
  }
}
