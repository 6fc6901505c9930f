/* SPDX-License-Identifier: Apache-2.0 */
/* The streams that the walk has met, by number. */
#include "supervisor/analysis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stream *analysis_stream(const struct analysis *analysis, uint32_t number)
{
  uint32_t i = analysis->stream_buckets[number & (analysis->stream_bucket_count - 1)];
  while (i != UINT32_MAX && analysis->streams[i].number != number)
    i = analysis->streams[i].next_in_bucket;
  return i == UINT32_MAX ? NULL : &analysis->streams[i];
}

static uint32_t *stream_bucket(const struct analysis *analysis, uint32_t number)
{
  return &analysis->stream_buckets[number & (analysis->stream_bucket_count - 1)];
}

static int grow_stream_buckets(struct analysis *analysis)
{
  uint32_t count = analysis->stream_bucket_count * 2;
  uint32_t *buckets = malloc(count * sizeof *buckets);
  if (!buckets)
    return -ENOMEM;
  memset(buckets, 0xff, count * sizeof *buckets);
  free(analysis->stream_buckets);
  analysis->stream_buckets = buckets;
  analysis->stream_bucket_count = count;
  for (uint32_t i = 0; i < analysis->stream_count; i++) {
    uint32_t *bucket = stream_bucket(analysis, analysis->streams[i].number);
    analysis->streams[i].next_in_bucket = *bucket;
    *bucket = i;
  }
  return 0;
}

int analysis_stream_get(struct analysis *analysis, uint32_t number,
                        struct stream **ret_stream)
{
  uint32_t i = *stream_bucket(analysis, number);
  while (i != UINT32_MAX && analysis->streams[i].number != number)
    i = analysis->streams[i].next_in_bucket;
  if (i != UINT32_MAX) {
    *ret_stream = &analysis->streams[i];
    return 0;
  }
  if (number == UINT32_MAX)
    return -EBADMSG;
  if (analysis->stream_count >= analysis->stream_bucket_count) {
    int error = grow_stream_buckets(analysis);
    if (error)
      return error;
  }
  if (analysis->stream_count == analysis->stream_room) {
    uint32_t room = analysis->stream_room ? analysis->stream_room * 2 : 4;
    struct stream *grown = realloc(analysis->streams, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    analysis->streams = grown;
    analysis->stream_room = room;
  }
  uint32_t *bucket = stream_bucket(analysis, number);
  analysis->streams[analysis->stream_count] =
      (struct stream){.number = number, .next_in_bucket = *bucket, .born = analysis->last_position};
  *bucket = analysis->stream_count;
  *ret_stream = &analysis->streams[analysis->stream_count++];
  if (number >= analysis->summary.stream_next)
    analysis->summary.stream_next = number + 1;
  return 0;
}
