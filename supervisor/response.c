/* SPDX-License-Identifier: Apache-2.0 */
/* response.h says what it makes.
 *
 * What the program has had of the header may be several blocks: those of 1xx answers and of redirects, each
 * with its empty line. Only the last one, or a new one behind them, is of the given response. */
#include "supervisor/response.h"

#include "journal/curl_info.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- lines ---- */

static size_t line_length(const char *bytes, size_t length)
{
  const char *end = memchr(bytes, '\n', length);
  return end != NULL ? (size_t)(end - bytes) + 1 : length;
}

/* Without its line end. */
static size_t text_length(const char *line, size_t length)
{
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
    length--;
  return length;
}

/* "HTTP/1.1 200 ..."; 0: it is none. */
static unsigned status_of_line(const char *line, size_t length)
{
  if (length < 12 || memcmp(line, "HTTP/", 5) != 0)
    return 0;
  const char *space = memchr(line, ' ', length);
  if (space == NULL || line + length - space < 4 || !isdigit(space[1]) || !isdigit(space[2]) || !isdigit(space[3]))
    return 0;
  return (unsigned)((space[1] - '0') * 100 + (space[2] - '0') * 10 + (space[3] - '0'));
}

struct block {
  size_t begin, end; /* end: behind the empty line, or where the bytes end */
  unsigned status;   /* 0: no status line */
  bool whole;        /* its empty line is there */
};

/* The block of header lines that begins at `begin`. */
static struct block find_block(const char *bytes, size_t length, size_t begin)
{
  struct block block = {.begin = begin, .end = begin};
  while (block.end < length && !block.whole) {
    size_t line = line_length(bytes + block.end, length - block.end);
    if (block.end == begin)
      block.status = status_of_line(bytes + begin, text_length(bytes + begin, line));
    block.whole = text_length(bytes + block.end, line) == 0 && bytes[block.end + line - 1] == '\n';
    block.end += line;
  }
  return block;
}

static bool is_passing(unsigned status, unsigned wanted)
{
  return status / 100 == 1 || (status / 100 == 3 && status != wanted);
}

bool response_is_whole(const char *bytes, size_t length)
{
  struct block block = find_block(bytes, length, 0);
  return block.status != 0 && block.whole;
}

/* The value of a field in the block's lines, without blanks around it; NULL: it has none. */
static char *find_field(const char *bytes, const struct block *block, const char *name)
{
  size_t name_length = strlen(name);
  for (size_t place = block->begin; place < block->end;) {
    size_t line = line_length(bytes + place, block->end - place), text = text_length(bytes + place, line);
    if (text > name_length && strncasecmp(bytes + place, name, name_length) == 0 && bytes[place + name_length] == ':') {
      size_t from = name_length + 1;
      while (from < text && (bytes[place + from] == ' ' || bytes[place + from] == '\t'))
        from++;
      return strndup(bytes + place + from, text - from);
    }
    place += line;
  }
  return NULL;
}

/* ---- putting it together ---- */

struct making {
  const char *had;
  size_t had_length;
  struct block last; /* of what the program has had, when any */
  FILE *stream;
  struct failure *failure;
};

static void put_lines(FILE *stream, const char *bytes, size_t length)
{
  while (length > 0) {
    size_t line = line_length(bytes, length);
    fwrite(bytes, 1, text_length(bytes, line), stream);
    fputs("\r\n", stream);
    bytes += line;
    length -= line;
  }
}

static void find_last(struct making *making)
{
  while (making->last.end < making->had_length)
    making->last = find_block(making->had, making->had_length, making->last.end);
}

static int other_status(const struct making *making, unsigned status)
{
  return failure_set(making->failure, -EINVAL, "the program has been told status %u, and the response that is given "
                     "has %u: it cannot go on with that; give --status %u", making->last.status, status,
                     making->last.status);
}

/* A body alone: header lines are made, as far as the program has not had them. */
static int make_header(struct making *making, unsigned status, size_t body_length)
{
  const struct block *last = &making->last;
  bool begun = making->had_length > 0 && !(last->whole && is_passing(last->status, status != 0 ? status : 200));
  if (begun && status != 0 && last->status != 0 && last->status != status)
    return other_status(making, status);
  fwrite(making->had, 1, making->had_length, making->stream);
  if (begun && last->whole)
    return 0;
  if (!begun)
    fprintf(making->stream, "HTTP/1.1 %u Given\r\n", status != 0 ? status : 200);
  char *known = begun ? find_field(making->had, last, "Content-Length") : NULL;
  char *coded = begun ? find_field(making->had, last, "Transfer-Encoding") : NULL;
  if (known == NULL && coded == NULL)
    fprintf(making->stream, "Content-Length: %zu\r\n", body_length);
  fputs("\r\n", making->stream);
  free(known);
  free(coded);
  return 0;
}

/* A whole response: its lines must begin with those that the program has had. */
static int copy_header(struct making *making, const char *bytes, size_t length, const struct block *block)
{
  unsigned status = block->status;
  size_t from = 0;
  char *given = NULL;
  size_t given_length = 0;
  /* What went before it, and the file does not have. */
  for (struct block had = find_block(making->had, making->had_length, 0);
       had.whole && is_passing(had.status, status) && !is_passing(find_block(bytes, length, 0).status, status);
       had = find_block(making->had, making->had_length, had.end))
    from = had.end;
  FILE *stream = open_memstream(&given, &given_length);
  if (stream == NULL)
    return failure_set(making->failure, -ENOMEM, "out of memory; free some");
  put_lines(stream, bytes, block->end);
  fclose(stream);
  size_t had_length = making->had_length - from;
  bool begins = given_length >= had_length && memcmp(given, making->had + from, had_length) == 0;
  if (begins) {
    fwrite(making->had, 1, from, making->stream);
    fwrite(given, 1, given_length, making->stream);
  }
  free(given);
  if (begins)
    return 0;
  if (making->last.status != 0 && making->last.status != status)
    return other_status(making, status);
  return failure_set(making->failure, -EINVAL, "the response that is given does not begin with the header lines "
                     "that the program has had: it cannot go on with it; give the body alone");
}

static int describe(struct response *response, const char *method, struct failure *failure)
{
  struct block block = {0};
  while (block.end < response->header_length)
    block = find_block(response->header, response->header_length, block.end);
  const char *line = response->header + block.begin;
  response->status = block.status;
  response->http_version = strncmp(line, "HTTP/1.0", 8) == 0 ? 1 : strncmp(line, "HTTP/1", 6) == 0 ? 2 : 3;
  response->content_type = find_field(response->header, &block, "Content-Type");
  response->content_length = -1;
  char *said = find_field(response->header, &block, "Content-Length");
  char *coded = find_field(response->header, &block, "Content-Encoding");
  int error = 0;
  if (said != NULL)
    response->content_length = strtoll(said, NULL, 10);
  if (strcmp(method, "HEAD") == 0 && response->body_length > 0)
    error = failure_set(failure, -EINVAL, "a response to HEAD has no body: the file holds one of %zu bytes; give an "
                        "empty file", response->body_length);
  else if (strcmp(method, "HEAD") != 0 && said != NULL && coded == NULL &&
           (uint64_t)response->content_length != response->body_length)
    error = failure_set(failure, -EINVAL, "the response's Content-Length is %s, and the body that is given has %zu "
                        "bytes: they must be the same; give all of the body, and nothing else", said,
                        response->body_length);
  free(said);
  free(coded);
  return error;
}

int response_make(const char *bytes, size_t length, unsigned status, const char *had, size_t had_length,
                  const char *method, struct response *ret_response, struct failure *failure)
{
  struct making making = {.had = had, .had_length = had_length, .failure = failure};
  struct response response = {.body = bytes, .body_length = length};
  int error;
  find_last(&making);
  making.stream = open_memstream(&response.header, &response.header_length);
  if (making.stream == NULL)
    return failure_set(failure, -ENOMEM, "out of memory; free some");
  if (response_is_whole(bytes, length)) {
    struct block block = find_block(bytes, length, 0), next;
    /* Answers on the way to the last one. */
    while ((block.status / 100 == 1 || block.status / 100 == 3) &&
           (next = find_block(bytes, length, block.end)).status != 0 && next.whole)
      block = next;
    error = status != 0 ? failure_set(failure, -EINVAL, "the file holds a whole response, with its own status %u: "
                                      "--status does not go with it; leave it out", block.status)
                        : copy_header(&making, bytes, length, &block);
    response.body += block.end;
    response.body_length -= block.end;
  } else {
    error = make_header(&making, status, length);
  }
  if (fclose(making.stream) != 0 && error == 0)
    error = failure_set(failure, -ENOMEM, "out of memory; free some");
  if (error == 0)
    error = describe(&response, method, failure);
  if (error == 0)
    *ret_response = response;
  else
    response_release(&response);
  return error;
}

void response_release(struct response *response)
{
  free(response->header);
  free(response->content_type);
  *response = (struct response){0};
}

/* ---- what getinfo gives ---- */

static void put(FILE *stream, uint32_t number, const void *value, size_t length)
{
  static const uint8_t zeros[8];
  struct journal_info info = {.info = number, .length = (uint32_t)length};
  fwrite(&info, sizeof info, 1, stream);
  fwrite(value, 1, length, stream);
  fwrite(zeros, 1, journal_padded(length) - length, stream);
}

static void put_number(FILE *stream, uint32_t number, int64_t value)
{
  if (value != 0)
    put(stream, number, &value, sizeof value);
}

/* A size, which getinfo gives as two types. */
static void put_size(FILE *stream, uint32_t number, uint32_t number_double, int64_t value)
{
  double as_double = (double)value;
  put_number(stream, number, value);
  if (value != 0)
    put(stream, number_double, &as_double, sizeof as_double);
}

static void put_text(FILE *stream, uint32_t number, const char *text)
{
  if (text != NULL)
    put(stream, number, text, strlen(text) + 1);
}

int response_info(const struct response *response, const struct exchange *exchange, uint8_t **ret_bytes,
                  size_t *ret_length)
{
  bool secure = strncasecmp(exchange->url, "https:", 6) == 0;
  char *bytes = NULL;
  FILE *stream = open_memstream(&bytes, ret_length);
  if (stream == NULL)
    return -ENOMEM;
  put_text(stream, CURL_INFO_EFFECTIVE_URL, exchange->url);
  put_text(stream, CURL_INFO_EFFECTIVE_METHOD, exchange->method);
  put_text(stream, CURL_INFO_SCHEME, secure ? "HTTPS" : "HTTP");
  put_number(stream, CURL_INFO_PROTOCOL, secure ? 2 : 1);
  put_size(stream, CURL_INFO_SIZE_UPLOAD, CURL_INFO_DOUBLE + 7, (int64_t)exchange->request_size);
  put_number(stream, CURL_INFO_RESPONSE_CODE, response != NULL ? (int64_t)response->status : exchange->status);
  put_size(stream, CURL_INFO_SIZE_DOWNLOAD, CURL_INFO_SIZE_DOWNLOAD_DOUBLE,
           (int64_t)(response != NULL ? response->body_length : exchange->given_size));
  if (response != NULL) {
    put_number(stream, CURL_INFO_HEADER_SIZE, (int64_t)response->header_length);
    put_size(stream, CURL_INFO_CONTENT_LENGTH, CURL_INFO_CONTENT_LENGTH_DOUBLE, response->content_length);
    put_text(stream, CURL_INFO_CONTENT_TYPE, response->content_type);
    put_number(stream, CURL_INFO_HTTP_VERSION, response->http_version);
  }
  if (fclose(stream) != 0) {
    free(bytes);
    return -ENOMEM;
  }
  *ret_bytes = (uint8_t *)bytes;
  return 0;
}
