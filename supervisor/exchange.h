/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges with servers, put together from a journal's entries: INTENT, callbacks, RESULT. Pure: entries in,
 * a list out. Several of a stream may be under way at once; which one an entry belongs to is what
 * docs/recovery.md says of them. */
#ifndef PERDURE_SUPERVISOR_EXCHANGE_H
#define PERDURE_SUPERVISOR_EXCHANGE_H

#include "journal/entry.h"

enum exchange_state {
  EXCHANGE_UNDER_WAY, /* its end has not come */
  EXCHANGE_ENDED,
  EXCHANGE_LEFT,      /* its program ended, or another took its place, before its end */
};

struct exchange {
  uint64_t seq, position; /* of the INTENT */
  uint32_t stream;
  enum exchange_state state;
  char *method, *url;
  uint64_t time_ns;
  uint64_t duration_ns;  /* as far as it has come */
  uint64_t request_size; /* of the body, bytes */
  uint64_t answer_size;  /* of the body, bytes */
  uint64_t given_size;   /* what of it has been given to the program, bytes */
  int64_t status;        /* of the answer; 0: none has come, or the protocol has none */
  int64_t code;          /* CURLE_*, when ended */
  uint32_t sent_count;   /* how often libcurl was told to send it */
  uint32_t attempt;      /* that it ended in, or that has gone on with it last */
  bool safe, keyed;
  bool resolved;         /* a person has said how it ended */
  uint64_t last_length, last_hash; /* of the latest piece of body, which may be a line of the header */
};

struct exchanges {
  struct exchange *list; /* in the order of their INTENTs */
  size_t count, room;
  uint32_t attempt;      /* the last that has begun */
  size_t first_open;     /* all before it are over */
};

#define EXCHANGE_NONE SIZE_MAX

/* The next entry of the journal, and its number. *ret_index: the exchange that it belongs to, or
 * EXCHANGE_NONE. -ENOMEM: nothing was added. */
int exchanges_add(struct exchanges *exchanges, const struct journal_entry *entry, uint64_t seq,
                  size_t *ret_index);
void exchanges_release(struct exchanges *exchanges);

/* Was its answer, in the attempt that began last, given from the journal? */
bool exchange_replayed(const struct exchanges *exchanges, const struct exchange *exchange);

/* "under way", "ended", "left". Static strings. */
const char *exchange_state_name(enum exchange_state state);

/* "CURLE_OK", ...; NULL for what is none. Static strings. */
const char *curl_code_name(int64_t code);
/* libcurl's words for it, or "". */
const char *curl_code_words(int64_t code);
/* By its name, with or without CURLE_; -1: no such. */
int curl_code_named(const char *name);

#endif
