/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges put together from entries; and what of them is hidden. */
#include "supervisor/exchange.h"

#include "tests/unit/exchange_entries.h"
#include "tests/unit/tap.h"

#include "supervisor/secrets.h"

#define STREAM 3

static struct exchanges assemble(struct built_journal *journal)
{
  struct exchanges exchanges = {0};
  const struct journal_entry *entry;
  uint64_t seq;
  size_t index;
  built_rewind(journal, NULL);
  while (built_next(journal, &entry, &seq, NULL) == 0 && entry != NULL)
    assert(exchanges_add(&exchanges, entry, seq, &index) == 0);
  built_release(journal);
  return exchanges;
}

static void test_one(void)
{
  struct built_journal journal = {0};
  build_attempt(&journal, 1);
  build_exchange(&journal, STREAM, JOURNAL_EXCHANGE_KEYED, "POST", "http://h/a", "one=1");
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_HEADER, "HTTP/1.1 201 Made\r\n", 0, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "hello", 19, JOURNAL_EXCHANGE_LATEST);
  build_exchange_result(&journal, STREAM, 0, 201, 5, JOURNAL_EXCHANGE_LATEST);
  struct exchanges exchanges = assemble(&journal);
  const struct exchange *one = &exchanges.list[0];
  tap_ok(exchanges.count == 1 && one->seq == 2 && one->stream == STREAM, "an exchange has its intent's number");
  tap_ok(strcmp(one->method, "POST") == 0 && strcmp(one->url, "http://h/a") == 0 && one->keyed && !one->safe,
         "it has method, URL and key");
  tap_ok(one->state == EXCHANGE_ENDED && one->code == 0 && one->status == 201, "it has its end");
  tap_ok(one->request_size == 5 && one->answer_size == 5 && one->given_size == 5, "it has the bodies' sizes");
  tap_ok(one->sent_count == 1 && !exchange_replayed(&exchanges, one), "it was sent once, in this attempt");
  exchanges_release(&exchanges);
}

static void test_attempts(void)
{
  struct built_journal journal = {0};
  build_attempt(&journal, 1);
  build_exchange(&journal, STREAM, JOURNAL_EXCHANGE_SAFE, "GET", "http://h/1", NULL);
  build_exchange_result(&journal, STREAM, 0, 200, 0, JOURNAL_EXCHANGE_LATEST);
  build_exchange(&journal, STREAM, JOURNAL_EXCHANGE_SAFE, "GET", "http://h/2", NULL);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "abc", 0, JOURNAL_EXCHANGE_LATEST);
  build_attempt(&journal, 2);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_AGAIN, NULL, 3, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "de", 3, JOURNAL_EXCHANGE_LATEST);
  struct exchanges exchanges = assemble(&journal);
  tap_ok(exchanges.count == 2 && exchange_replayed(&exchanges, &exchanges.list[0]),
         "what an earlier attempt has ended is replayed");
  tap_ok(exchanges.list[1].sent_count == 2 && exchanges.list[1].attempt == 2 &&
             !exchange_replayed(&exchanges, &exchanges.list[1]),
         "what was sent again counts twice, and is live");
  tap_ok(exchanges.list[1].state == EXCHANGE_UNDER_WAY && exchanges.list[1].given_size == 5,
         "the program's part of an answer goes on over the attempts");
  exchanges_release(&exchanges);
}

static void test_several_at_once(void)
{
  struct built_journal journal = {0};
  build_attempt(&journal, 1);
  uint64_t first = build_exchange(&journal, STREAM, JOURNAL_EXCHANGE_SAFE, "GET", "http://h/1", NULL);
  uint64_t second = build_exchange(&journal, STREAM, 0, "PUT", "http://h/2", NULL);
  build_exchange(&journal, STREAM + 1, 0, "POST", "http://h/3", NULL);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "1", 0, first);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "22", 0, second);
  build_callback(&journal, STREAM + 1, JOURNAL_CALLBACK_WRITE, "333", 0, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "1", 0, first);
  build_exchange_result(&journal, STREAM, 0, 200, 2, first);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "22", 0, second);
  build_exchange_result(&journal, STREAM, 56, 500, 4, second);
  struct exchanges exchanges = assemble(&journal);
  tap_ok(exchanges.count == 3, "exchanges of one stream may overlap");
  tap_ok(exchanges.list[0].given_size == 2 && exchanges.list[1].given_size == 4 && exchanges.list[2].given_size == 3,
         "a callback goes to the exchange that it names, else to its stream's latest");
  tap_ok(exchanges.list[0].status == 200 && exchanges.list[1].status == 500 && exchanges.list[1].code == 56,
         "a result ends the exchange that it names");
  tap_ok(exchanges.list[2].state == EXCHANGE_UNDER_WAY, "the others stay under way");
  exchanges_release(&exchanges);
}

static void test_nested(void)
{
  struct built_journal journal = {0};
  build_exchange(&journal, STREAM, 0, "POST", "http://h/outer", NULL);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "o", 0, JOURNAL_EXCHANGE_LATEST);
  build_exchange(&journal, STREAM, 0, "POST", "http://h/inner", NULL);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "iii", 0, JOURNAL_EXCHANGE_LATEST);
  build_exchange_result(&journal, STREAM, 0, 200, 3, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "o", 0, JOURNAL_EXCHANGE_LATEST);
  build_exchange_result(&journal, STREAM, 0, 201, 2, JOURNAL_EXCHANGE_LATEST);
  struct exchanges exchanges = assemble(&journal);
  tap_ok(exchanges.list[0].status == 201 && exchanges.list[0].given_size == 2 && exchanges.list[1].status == 200 &&
             exchanges.list[1].given_size == 3,
         "a request made in another one's callback is one of its own");
  exchanges_release(&exchanges);
}

static void test_body(void)
{
  struct built_journal journal = {0};
  build_exchange(&journal, STREAM, 0, "GET", "http://h/", NULL);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "HTTP/1.1 200 OK\r\n", 0, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_HEADER, "HTTP/1.1 200 OK\r\n", 17, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "abc", 17, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "def", 3, JOURNAL_EXCHANGE_LATEST);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "def", 0x10000001, JOURNAL_EXCHANGE_LATEST);
  struct exchanges exchanges = assemble(&journal);
  tap_ok(exchanges.list[0].given_size == 6,
         "lines of the header that come as body are no body, and what was refused with a pause counts once");
  exchanges_release(&exchanges);
}

static void test_left(void)
{
  struct built_journal journal = {0};
  build_exchange(&journal, STREAM, 0, "POST", "http://h/", NULL);
  build(&journal, 1, SYS_exit_group, JOURNAL_EXIT, 0);
  build_end(&journal);
  build_callback(&journal, STREAM, JOURNAL_CALLBACK_WRITE, "x", 0, JOURNAL_EXCHANGE_LATEST);
  build_exchange_result(&journal, STREAM, 0, 200, 3, JOURNAL_EXCHANGE_LATEST);
  struct exchanges exchanges = assemble(&journal);
  tap_ok(exchanges.list[0].state == EXCHANGE_LEFT && exchanges.list[0].given_size == 0,
         "the program's end leaves what it had begun, and entries of no exchange are nobody's");
  exchanges_release(&exchanges);
}

static void test_codes(void)
{
  tap_ok(strcmp(curl_code_name(56), "CURLE_RECV_ERROR") == 0 && curl_code_name(1000) == NULL, "codes have names");
  tap_ok(curl_code_named("CURLE_COULDNT_CONNECT") == 7 && curl_code_named("couldnt_connect") == 7 &&
             curl_code_named("NOPE") == -1 && curl_code_named("") == -1,
         "and are found by them, with or without CURLE_");
}

/* ---- secrets ---- */

static void hides(const char *bytes, const char *expected, const char *promise)
{
  char hidden[512];
  size_t length = strlen(bytes);
  memcpy(hidden, bytes, length + 1);
  secrets_hide(hidden, length);
  if (!tap_ok(strcmp(hidden, expected) == 0, "%s", promise))
    tap_note("%s became %s", bytes, hidden);
}

static void test_secrets(void)
{
  hides("Authorization: Basic abc=\r\nAccept: */*\r\n", "Authorization: **********\r\nAccept: */*\r\n",
        "Authorization is hidden to the end of its line");
  hides("> cookie:a=1; b=2\n", "> cookie:********\n", "names are those of any case, also behind curl's marks");
  hides("Set-Cookie: c=1", "Set-Cookie: ***", "Set-Cookie is hidden");
  hides("PROXY-AUTHORIZATION : x y", "PROXY-AUTHORIZATION : ***", "Proxy-Authorization is hidden");
  hides("{\"Authorization\": \"Bearer x\"}", "{\"Authorization\": ***********", "JSON's quotes do not keep it from being hidden");
  hides("X-Cookie: a\nMy_authorization: b\nCookies: c", "X-Cookie: a\nMy_authorization: b\nCookies: c",
        "names that only end or begin like them are shown");
  hides("see http://me:pa:ss@host:80/x:y@z and ftp://h:21/", "see http://me:*****@host:80/x:y@z and ftp://h:21/",
        "the password of a URL is hidden, and nothing else of it");
  hides("http://me@host/ http://[::1]:80/ mailto:a@b", "http://me@host/ http://[::1]:80/ mailto:a@b",
        "a URL without a password is shown");
  hides("http://:@h https://u:p@ss@h/", "http://:@h https://u:****@h/", "a password may be empty, or hold an @");
  hides("GET http://me:secr", "GET http://me:****", "a password that the end cuts is hidden");
  hides("http://host:8080", "http://host:8080", "a port at the end is none");
  hides("Location: https://u:pw@h/?a=b\r\n", "Location: https://u:**@h/?a=b\r\n", "a redirect's is hidden");
  hides("", "", "nothing is nothing");
  hides("cookie:", "cookie:", "an empty value is nothing to hide");
}

static void test_hidden_entry(void)
{
  struct built_journal journal = {0};
  static const char cookie[] = "h\tFALSE\t/\tFALSE\t0\tname\tvalue";
  build(&journal, STREAM, 1100, JOURNAL_RESULT, 0);
  build_segment(&journal, SEGMENT_OUTPUT, 0, "to http://u:p@h/", 16);
  struct journal_segment *segment = build_room(&journal, sizeof *segment);
  size_t place = (size_t)((uint8_t *)segment - journal.bytes), length = 0;
  length += build_info(&journal, 0x100001, "http://u:p@h/", 14);
  length += build_info(&journal, 0x40001c, cookie, sizeof cookie);
  segment = (struct journal_segment *)(journal.bytes + place);
  segment->type = SEGMENT_INFO;
  segment->length = (uint32_t)length;
  build_end(&journal);
  struct journal_entry *entry = (struct journal_entry *)journal.bytes;
  uint32_t size = entry->size;
  secrets_hide_entry(entry);
  char all[1024] = "";
  for (size_t i = 0; i < journal.length && i < sizeof all - 1; i++)
    all[i] = journal.bytes[i] ? (char)journal.bytes[i] : ' ';
  tap_ok(strstr(all, "to http://u:*@h/") && strstr(all, "\tname\t*****") && !strstr(all, "u:p") && entry->size == size,
         "an entry's segments are hidden, each as it is made");
  built_release(&journal);
}

int main(void)
{
  test_one();
  test_attempts();
  test_several_at_once();
  test_nested();
  test_body();
  test_left();
  test_codes();
  test_secrets();
  test_hidden_entry();
  return tap_done();
}
