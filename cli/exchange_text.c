/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_text.h says what is printed. */
#include "cli/exchange_text.h"

#include "cli/command.h"
#include "cli/hex_dump.h"
#include "supervisor/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void put_time(FILE *stream, uint64_t time_ns)
{
  time_t seconds = (time_t)(time_ns / 1000000000);
  struct tm broken;

  if (localtime_r(&seconds, &broken) != NULL)
    fprintf(stream, "%02d:%02d:%02d.%03u", broken.tm_hour, broken.tm_min, broken.tm_sec,
            (unsigned)(time_ns % 1000000000 / 1000000));
}

static const char *how_ended(const struct exchange *exchange)
{
  if (exchange->state != EXCHANGE_ENDED)
    return exchange_state_name(exchange->state);
  const char *name = curl_code_name(exchange->code);
  return exchange->code == 0 ? (exchange->resolved ? "given" : "ok") : name != NULL ? name : "failed";
}

static void put_status(char ret_text[24], const struct exchange *exchange)
{
  if (exchange->status != 0)
    snprintf(ret_text, 24, "%" PRId64, exchange->status);
  else
    strcpy(ret_text, "-");
}

/* No byte of a URL or method reaches a terminal unescaped. */
static void put_escaped(FILE *stream, const char *words)
{
  char buffer[16384];
  struct text text;

  text_begin(&text, buffer, sizeof buffer);
  text_add_quoted(&text, words, strlen(words));
  size_t length = text.length < sizeof buffer ? text.length : sizeof buffer - 1;
  fwrite(buffer + 1, 1, length > 2 ? length - 2 : 0, stream);
}

void exchange_text_table(FILE *stream, const struct exchanges *exchanges, const struct run_rewound *rewound)
{
  if (exchanges->count > 0)
    fprintf(stream, "%6s  %-12s  %-7s %6s %10s %10s %12s %5s  %-8s  %-9s  %s\n", "SEQ", "TIME", "METHOD", "STATUS",
            "REQUEST", "RESPONSE", "DURATION", "SENT", "BY", "ENDED", "URL");
  for (size_t i = 0; i < exchanges->count; i++) {
    const struct exchange *exchange = &exchanges->list[i];
    char status[24];

    put_status(status, exchange);
    fprintf(stream, "%6" PRIu64 "  ", exchange->seq);
    put_time(stream, exchange->time_ns);
    fprintf(stream, "  %-7.31s %6s %10" PRIu64 " %10" PRIu64 " %9.3f ms %5" PRIu32 "  %-8s  %-9s  ",
            exchange->method, status, exchange->request_size, exchange->answer_size,
            (double)exchange->duration_ns / 1e6, exchange->sent_count,
            exchange_replayed(exchanges, exchange) ? "replayed" : "live", how_ended(exchange));
    put_escaped(stream, exchange->url);
    fputs(run_rewound_has(rewound, exchange->position) ? "  [taken back]\n" : "\n", stream);
  }
}

static void member(FILE *stream, const char *name, const char *text, size_t length)
{
  fprintf(stream, ",\"%s\":", name);
  command_json_string(stream, text, length);
}

static void put_members(FILE *stream, const struct exchange *exchange, bool replayed)
{
  const char *name = curl_code_name(exchange->code);

  fprintf(stream, "\"seq\":%" PRIu64 ",\"time_ns\":%" PRIu64 ",\"stream\":%" PRIu32, exchange->seq,
          exchange->time_ns, exchange->stream);
  member(stream, "method", exchange->method, strlen(exchange->method));
  member(stream, "url", exchange->url, strlen(exchange->url));
  fprintf(stream, ",\"state\":\"%s\",\"status\":", exchange_state_name(exchange->state));
  if (exchange->status != 0)
    fprintf(stream, "%" PRId64, exchange->status);
  else
    fputs("null", stream);
  if (exchange->state == EXCHANGE_ENDED)
    fprintf(stream, ",\"code\":%" PRId64 ",\"code_name\":\"%s\"", exchange->code, name != NULL ? name : "");
  else
    fputs(",\"code\":null,\"code_name\":null", stream);
  fprintf(stream, ",\"request_size\":%" PRIu64 ",\"response_size\":%" PRIu64 ",\"duration_ns\":%" PRIu64
          ",\"sent\":%" PRIu32 ",\"attempt\":%" PRIu32 ",\"replayed\":%s,\"keyed\":%s,\"resolved\":%s",
          exchange->request_size, exchange->answer_size, exchange->duration_ns, exchange->sent_count,
          exchange->attempt, replayed ? "true" : "false", exchange->keyed ? "true" : "false",
          exchange->resolved ? "true" : "false");
}

void exchange_text_array(FILE *stream, const struct exchanges *exchanges, const struct run_rewound *rewound)
{
  fputc('[', stream);
  for (size_t i = 0; i < exchanges->count; i++) {
    fputs(i > 0 ? ",\n{" : "{", stream);
    put_members(stream, &exchanges->list[i], exchange_replayed(exchanges, &exchanges->list[i]));
    fprintf(stream, ",\"taken_back\":%s}", run_rewound_has(rewound, exchanges->list[i].position) ? "true" : "false");
  }
  fputs("]\n", stream);
}

/* ---- one with its parts ---- */

/* Lines with `mark` in front of each; what is no text is quoted. */
static void put_header(FILE *stream, const char *mark, const char *bytes, size_t length)
{
  while (length > 0) {
    const char *end = memchr(bytes, '\n', length);
    size_t line = end != NULL ? (size_t)(end - bytes) + 1 : length;
    size_t shown = line;

    while (shown > 0 && (bytes[shown - 1] == '\n' || bytes[shown - 1] == '\r'))
      shown--;
    fputs(mark, stream);
    if (text_is_plain(bytes, shown) && memchr(bytes, '\r', shown) == NULL) {
      fwrite(bytes, 1, shown, stream);
    } else {
      char buffer[16384];
      struct text text;

      text_begin(&text, buffer, sizeof buffer);
      text_add_quoted(&text, bytes, shown);
      fputs(buffer, stream);
    }
    fputc('\n', stream);
    bytes += line;
    length -= line;
  }
}

static void put_body(FILE *stream, const char *bytes, size_t length, uint64_t size)
{
  size_t shown = length < EXCHANGE_BODY_SHOWN_MAX ? length : EXCHANGE_BODY_SHOWN_MAX;

  if (shown > 0 && text_is_plain(bytes, shown) && memchr(bytes, '\r', shown) == NULL) {
    fwrite(bytes, 1, shown, stream);
    if (bytes[shown - 1] != '\n')
      fputc('\n', stream);
  } else if (shown > 0) {
    hex_dump(stream, (const uint8_t *)bytes, shown);
  }
  if (shown < size)
    fprintf(stream, "... %" PRIu64 " more bytes\n", size - shown);
}

void exchange_parts_print(FILE *stream, const struct exchange_parts *parts)
{
  const struct exchange *exchange = &parts->exchange;

  fprintf(stream, "exchange %" PRIu64 ": %s, sent %" PRIu32 " time%s, %s, %.3f ms\n", exchange->seq,
          how_ended(exchange), exchange->sent_count, exchange->sent_count == 1 ? "" : "s",
          parts->replayed ? "replayed" : "live", (double)exchange->duration_ns / 1e6);
  fputs("> ", stream);
  put_escaped(stream, exchange->method);
  fputc(' ', stream);
  put_escaped(stream, exchange->url);
  fputc('\n', stream);
  put_header(stream, "> ", parts->sent_header, parts->sent_header_length);
  fputs(">\n", stream);
  put_body(stream, parts->sent_body, parts->sent_body_length, exchange->request_size);
  put_header(stream, "< ", parts->header, parts->header_length);
  put_body(stream, parts->body, parts->body_length, exchange->given_size);
}

void exchange_parts_json(FILE *stream, const struct exchange_parts *parts)
{
  put_members(stream, &parts->exchange, parts->replayed);
  member(stream, "request_header", parts->sent_header, parts->sent_header_length);
  member(stream, "request_body", parts->sent_body, parts->sent_body_length);
  member(stream, "response_header", parts->header, parts->header_length);
  member(stream, "response_body", parts->body, parts->body_length);
}
