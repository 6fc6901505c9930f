/* SPDX-License-Identifier: Apache-2.0 */
/* A response that a person gives for a request whose outcome nobody knows: put together with what the program
 * has had of it before. Pure: bytes in, bytes out. */
#ifndef PERDURE_SUPERVISOR_RESPONSE_H
#define PERDURE_SUPERVISOR_RESPONSE_H

#include "supervisor/exchange.h"
#include "supervisor/store.h"

struct response {
  char *header;          /* lines, each with CR and LF, as the program gets them from the first one on; malloc'ed */
  size_t header_length;
  const char *body;      /* in the given bytes */
  size_t body_length;
  unsigned status;
  char *content_type;    /* malloc'ed; NULL: it says none */
  int64_t content_length; /* -1: it says none */
  unsigned http_version; /* CURL_HTTP_VERSION_*: 1, 2 or 3 */
};

/* Are the bytes a whole response, from its status line on? Else they are a body alone. */
bool response_is_whole(const char *bytes, size_t length);

/* bytes: a body, or a whole response. status: that of a body; 0: as the program knows it, else 200. had: the
 * header lines that the program has had. method: of the request. -EINVAL: they do not go together; failure
 * says how. Bodies are not compared here. */
int response_make(const char *bytes, size_t length, unsigned status, const char *had, size_t had_length,
                  const char *method, struct response *ret_response, struct failure *failure);
void response_release(struct response *response);

/* The segment INFO for it: what curl_easy_getinfo gives. malloc'ed into *ret_bytes. response NULL: the request
 * failed, after a status had come, or 0. */
int response_info(const struct response *response, const struct exchange *exchange, uint8_t **ret_bytes,
                  size_t *ret_length);

#endif
