/* SPDX-License-Identifier: Apache-2.0 */
/* What redis_run.c, redis_read.c and redis_runs.c share; nobody else includes it. */
#ifndef PERDURE_SUPERVISOR_REDIS_RUN_INTERNAL_H
#define PERDURE_SUPERVISOR_REDIS_RUN_INTERNAL_H

#include "supervisor/redis_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define CHUNKS_PER_COMMAND 64u

/* A chunk in the list: these numbers, little-endian, and then a zstd frame of the row's bytes. */
struct packed_header {
  uint64_t first_seq, first_position, end_position, entry_count, time_ns, length;
};
_Static_assert(sizeof(struct packed_header) == 48, "it is a format");

struct redis_run {
  struct redis_address address;
  struct redis_link link;
  char key_run[192];
  char key_chunks[192];
  char script_hash[41];
  uint64_t epoch;
  ZSTD_CCtx *compressor; /* making one each time costs more than a small chunk */
};

/* Another run, by the same connection. */
static inline void redis_run_name(struct redis_run *run, const char *id)
{
  snprintf(run->key_run, sizeof run->key_run, "perdure:{%s}:run", id);
  snprintf(run->key_chunks, sizeof run->key_chunks, "perdure:{%s}:chunks", id);
}

/* A command that grows, and the numbers in it. */
struct command {
  struct redis_word words[CHUNKS_PER_COMMAND * 4 + 16];
  char numbers[CHUNKS_PER_COMMAND * 3 + 8][24];
  unsigned count, number_count;
};

static inline void add_bytes(struct command *command, const void *bytes, size_t length)
{
  command->words[command->count++] = (struct redis_word){bytes, length};
}

static inline void add(struct command *command, const char *text)
{
  add_bytes(command, text, strlen(text));
}

static inline void add_number(struct command *command, uint64_t number)
{
  char *text = command->numbers[command->number_count++];
  snprintf(text, sizeof command->numbers[0], "%llu", (unsigned long long)number);
  add(command, text);
}

static inline const char *text_at(const redisReply *reply, size_t place)
{
  return place < reply->elements && reply->element[place]->str ? reply->element[place]->str : "";
}

static inline uint64_t number_at(const redisReply *reply, size_t place)
{
  return strtoull(text_at(reply, place), NULL, 10);
}

#endif
