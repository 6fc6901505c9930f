/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges with servers, for http and show. */
#ifndef PERDURE_CLI_EXCHANGE_TEXT_H
#define PERDURE_CLI_EXCHANGE_TEXT_H

#include "supervisor/exchange.h"
#include "supervisor/run_read.h"

#include <stdio.h>

/* Bytes of a body that are shown; the rest is counted. */
#define EXCHANGE_BODY_SHOWN_MAX (256u << 10)

/* All of a run's, as a table or a JSON array, with a mark at what was taken back. */
void exchange_text_table(FILE *stream, const struct exchanges *exchanges, const struct run_rewound *rewound);
void exchange_text_array(FILE *stream, const struct exchanges *exchanges, const struct run_rewound *rewound);

/* One exchange with what was sent and received, as far as it is recorded. */
struct exchange_parts {
  struct exchange exchange;
  bool replayed;
  char *sent_header, *sent_body, *header, *body; /* malloc'ed, with a NUL behind each */
  size_t sent_header_length, sent_body_length, header_length, body_length;
};
/* The parts of the exchange that entry `seq` belongs to, from the run's journal; `secrets` shows them.
 * *ret_found: there is one. */
int exchange_parts_read(const struct run_place *place, uint64_t seq, bool secrets,
                        struct exchange_parts *ret_parts, bool *ret_found, struct failure *failure);
void exchange_parts_release(struct exchange_parts *parts);
/* For people: lines. For programs: the members of a JSON object. */
void exchange_parts_print(FILE *stream, const struct exchange_parts *parts);
void exchange_parts_json(FILE *stream, const struct exchange_parts *parts);

#endif
