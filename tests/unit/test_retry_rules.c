/* SPDX-License-Identifier: Apache-2.0 */
/* Policies by name: their arithmetic, which of them holds, and every way in which a file of them is refused. */
#include "tests/unit/tap.h"

#include "supervisor/retry_rules_parse.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MS 1000000ull
#define SECOND (1000 * MS)
#define NONE UINT64_MAX

static struct retry_rules rules;
static struct retry_progress progress;
static struct failure failure;

static bool parses(const char *text)
{
  failure.text[0] = '\0';
  progress = (struct retry_progress){0};
  if (retry_rules_parse(text, "FILE", &rules, &failure) == 0)
    return true;
  tap_note("%s", failure.text);
  return false;
}

/* The delay after failure `number` by the first rule's policy; NONE: no further attempt. */
static uint64_t after_spent(uint32_t number, uint64_t spent_ns, uint32_t chance)
{
  uint64_t delay_ns = 77;
  bool again = retry_rules_next(&rules, rules.rules[0].policy, &progress, number, spent_ns, chance, &delay_ns);
  return again ? delay_ns : delay_ns == 77 ? NONE : 78;
}

static uint64_t after(uint32_t number)
{
  return after_spent(number, 0, 0);
}

/* Are these the delays, in ms, of the failures from 1 on? -1: no further attempt. */
static bool delays(const char *text, size_t count, const int64_t *expected_ms)
{
  bool same = parses(text);
  for (size_t i = 0; same && i < count; i++) {
    uint64_t expected = expected_ms[i] < 0 ? NONE : (uint64_t)expected_ms[i] * MS, got = after((uint32_t)i + 1);
    if (got != expected) {
      tap_note("after failure %zu: %llu ns, not %llu", i + 1, (unsigned long long)got, (unsigned long long)expected);
      same = false;
    }
  }
  return same;
}
#define DELAYS(text, ...)                                                                            \
  delays(text, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]){__VA_ARGS__})

static void test_bases(void)
{
  tap_ok(DELAYS("policy a = never\non any use a\n", -1, -1), "never");
  tap_ok(DELAYS("policy a = immediate\non any use a\n", 0, 0, 0), "immediate");
  tap_ok(DELAYS("policy a = periodic 5s\non any use a\n", 5000, 5000, 5000), "periodic");
  tap_ok(DELAYS("policy a = exponential 100ms 2.5\non any use a\n", 100, 250, 625), "exponential");
  tap_ok(DELAYS("policy a = fibonacci 10ms\non any use a\n", 10, 10, 20, 30, 50, 80, 130), "fibonacci");
  tap_ok(parses("policy a = fibonacci 1d\non any use a\n") && after(UINT32_MAX) == UINT64_MAX && after(93) == UINT64_MAX,
         "fibonacci does not overflow");
  tap_ok(parses("policy a = exponential 1d 1000\non any use a\n") && after(UINT32_MAX) == UINT64_MAX, "nor does exponential");
  tap_ok(parses("policy a = exponential 1ns 1\non any use a\n") && after(UINT32_MAX) == 1, "a factor of 1 is a constant delay");
}

static void test_limits(void)
{
  tap_ok(DELAYS("policy a = periodic 1s count 3\non any use a", 1000, 1000, -1, -1), "count is of attempts, with the first");
  tap_ok(DELAYS("policy a = immediate count 1\non any use a", -1), "a count of 1 is never");
  tap_ok(DELAYS("policy a = exponential 1s 10 clamp 2s 50s\non any use a", 2000, 10000, 50000, 50000), "clamp bounds both ways");
  tap_ok(DELAYS("policy a = periodic 1s add 500ms\non any use a", 1500), "add");
  tap_ok(DELAYS("policy a = periodic 1s add 5s clamp 0 3s\non any use a", 3000), "limits hold in their order: add, then clamp");
  tap_ok(DELAYS("policy a = periodic 1s clamp 0 3s add 5s\non any use a", 6000), "clamp, then add");
  tap_ok(parses("policy a = periodic 1s jitter 0.5\non any use a") && after_spent(1, 0, 0) == SECOND &&
             after_spent(1, 0, 1u << 31) == 1250 * MS && after_spent(1, 0, UINT32_MAX) < 1500 * MS &&
             after_spent(1, 0, UINT32_MAX) > 1499 * MS,
         "jitter comes on top, up to its part");
  tap_ok(parses("policy a = periodic 1s total 10s\non any use a") && after_spent(1, 9 * SECOND, 0) == SECOND &&
             after_spent(1, 9 * SECOND + 1, 0) == NONE,
         "no attempt begins after the total time");
  tap_ok(parses("policy a = periodic 1s total 10s add 100s\non any use a") && after_spent(1, 9 * SECOND, 0) == 101 * SECOND,
         "which looks at the delay as it is by then");
  tap_ok(parses("policy a = exponential 1d 1000 add 1d jitter 1 total 999d\non any use a") &&
             after_spent(UINT32_MAX, UINT64_MAX, UINT32_MAX) == NONE,
         "sums do not overflow");
  tap_ok(parses("policy a = exponential 1d 1000 add 1d jitter 1\non any use a") &&
             after_spent(UINT32_MAX, 0, UINT32_MAX) == UINT64_MAX,
         "they end at the longest time");
}

#define TWO "policy a = periodic 1s count 3\npolicy b = exponential 2s 2 count 4\n"

static void test_together(void)
{
  tap_ok(DELAYS(TWO "policy c = a and-then b\non any use c", 1000, 1000, 2000, 4000, 8000, -1),
         "and-then: the second counts from where the first ends");
  tap_ok(DELAYS(TWO "policy c = a and-then b count 4\non any use c", 1000, 1000, 2000, -1), "a limit of both together");
  tap_ok(DELAYS(TWO "policy c = a and-then a\npolicy d = c and-then b\non any use d", 1000, 1000, 1000, 1000, 2000, 4000, 8000, -1),
         "the same policy twice has two counts");
  tap_ok(DELAYS(TWO "policy c = a union b\non any use c", 1000, 1000, 8000, -1),
         "union: the shorter delay, as long as one gives an attempt");
  tap_ok(DELAYS(TWO "policy c = a intersect b\non any use c", 2000, 4000, -1), "intersect: the longer, as long as both do");
  tap_ok(DELAYS(TWO "policy n = never\npolicy c = n union b\non any use c", 2000, 4000, 8000, -1), "a union with never is the other");
  tap_ok(DELAYS(TWO "policy n = never\npolicy c = n intersect b\non any use c", -1), "an intersection with it is none");
  tap_ok(DELAYS(TWO "policy c = b add 1s\non any use c", 3000, 5000, 9000, -1), "a policy with a limit more");
  tap_ok(parses("policy a = periodic 1s total 10s\npolicy b = periodic 1m count 2\npolicy c = a and-then b\non any use c") &&
             after_spent(1, 0, 0) == SECOND && after_spent(2, 20 * SECOND, 0) == 60 * SECOND && after_spent(3, 90 * SECOND, 0) == NONE,
         "and-then also where time ends the first");
}

static bool matches(int signal, int status, const char *name)
{
  int policy = retry_rules_match(&rules, signal, status);
  const char *found = policy < 0 ? "" : rules.policies[policy].name;
  if (strcmp(found, name) == 0)
    return true;
  tap_note("signal %d, status %d: \"%s\"", signal, status, found);
  return false;
}

static void test_rules(void)
{
  tap_ok(parses("# what holds for what\n\npolicy a = never # none\npolicy b = immediate\npolicy c = periodic 1s\r\n"
                "on exit 75,100-102 priority 5 use a\non signal SEGV,SIGABRT,9 use b\non exit 101 priority 7 use c\n"
                "\ton  exit 75 priority 5 use c"),
         "comments, empty lines and blanks");
  tap_ok(matches(0, 75, "a") && matches(0, 100, "a") && matches(0, 102, "a"), "a list of statuses; of equals the first rule holds");
  tap_ok(matches(0, 101, "c"), "a higher priority goes first");
  tap_ok(matches(0, 74, "") && matches(0, 103, "") && matches(SIGBUS, 0, ""), "others match nothing");
  tap_ok(matches(SIGSEGV, 0, "b") && matches(SIGABRT, 0, "b") && matches(SIGKILL, 0, "b"), "signals, by name and number");
  tap_ok(parses("policy a = never\npolicy b = immediate\non exit use a\non signal priority 1 use b\non any use b") &&
             matches(0, 1, "a") && matches(0, 255, "a") && matches(0, 0, "") && matches(SIGILL, 0, "b") && matches(SIGTERM, 0, ""),
         "all of a kind, but success, and signals by which somebody ends a program");
}

/* A failed transfer: by `error`, or where that is 0 answered with `status`. */
static bool asks(const char *method, const char *url, uint32_t status, uint32_t error, const char *name)
{
  const struct retry_request request = {method, url, status, error};
  int policy = retry_rules_match_request(&rules, &request);
  const char *found = policy < 0 ? "" : rules.policies[policy].name;
  if (strcmp(found, name) == 0)
    return true;
  tap_note("%s %s, status %u, error %u: \"%s\"", method, url, status, error, found);
  return false;
}

static bool host_matches(const char *pattern, const char *url)
{
  char text[256];
  snprintf(text, sizeof text, "policy a = never\non request host %s use a", pattern);
  return parses(text) && asks("GET", url, 503, 0, "a");
}

static bool path_matches(const char *pattern, const char *url)
{
  char text[256];
  snprintf(text, sizeof text, "policy a = never\non request path %s use a", pattern);
  return parses(text) && asks("GET", url, 503, 0, "a");
}

static void test_requests(void)
{
  tap_ok(parses("policy a = never\non request use a") && asks("GET", "http://h/", 503, 0, "a") &&
             asks("PUT", "http://h/", 429, 0, "a") && asks("GET", "h", 0, RETRY_ERROR_TIMEOUT, "a") &&
             asks("GET", "h", 500, 0, "") && asks("GET", "h", 200, 0, "") && asks("GET", "h", 0, 0, "") &&
             asks("GET", "h", UINT32_MAX, 0, "") && matches(0, 1, "") && matches(SIGKILL, 0, ""),
         "all requests: every error, and the usual statuses; no program's end");
  tap_ok(parses("policy a = never\non any use a") && asks("GET", "http://h/", 503, 0, ""), "any is of a program's ends");
  tap_ok(parses("policy a = never\non request status 500,520-599 use a") && asks("GET", "h", 500, 0, "a") &&
             asks("GET", "h", 599, 0, "a") && asks("GET", "h", 519, 0, "") && asks("GET", "h", 503, 0, "") &&
             asks("GET", "h", 0, RETRY_ERROR_RESET, ""),
         "statuses alone: these, and no error");
  tap_ok(parses("policy a = never\non request error connect,resolve use a") && asks("GET", "h", 0, RETRY_ERROR_CONNECT, "a") &&
             asks("GET", "h", 0, RETRY_ERROR_RESOLVE, "a") && asks("GET", "h", 0, RETRY_ERROR_TLS, "") && asks("GET", "h", 503, 0, ""),
         "errors alone");
  tap_ok(parses("policy a = never\npolicy b = never\npolicy c = never\non request method GET,HEAD host one.example path /a/* use a\n"
                "on request host *.example status 503 priority 3 use b\non request priority 1 use c") &&
             asks("GET", "http://one.example/a/b", 503, 0, "b") && asks("GET", "http://one.example/a/b", 502, 0, "c") &&
             asks("POST", "http://other/", 0, RETRY_ERROR_TIMEOUT, "c"),
         "the highest priority of those that match");
  tap_ok(parses("policy a = never\non request method GET host one.example path /a/* use a") &&
             asks("GET", "http://one.example/a/", 502, 0, "a") && asks("get", "http://one.example/a/", 502, 0, "") &&
             asks("GET", "http://one.example/b/", 502, 0, "") && asks("GET", "http://two.example/a/", 502, 0, ""),
         "all that a rule says has to match");
  tap_ok(host_matches("Example.ORG", "http://example.org") && host_matches("example.org", "HTTPS://EXAMPLE.ORG:8443/x") &&
             host_matches("example.org:8443", "https://example.org:8443?q") && !host_matches("example.org:8443", "https://example.org/") &&
             host_matches("example.org", "example.org#part") && host_matches("example.org", "http://me:p@ss@example.org/@"),
         "hosts: no matter which case, with or without a port, a scheme and a name");
  tap_ok(host_matches("*.example.org", "http://a.b.example.org/") && !host_matches("*.example.org", "http://example.org/") &&
             host_matches("10.0.*", "10.0.0.1:80/x") && !host_matches("10.0.*", "http://110.0.0.1/") && host_matches("[::1]", "http://[::1]:80/") &&
             host_matches("a,b,c", "http://c/") && !host_matches("a,b,c", "http://d/") && host_matches("*", "") && host_matches("*a*b*", "http://xaabyb/"),
         "hosts: '*' stands for any characters");
  tap_ok(path_matches("/", "http://h") && path_matches("/", "http://h?x") && path_matches("/a", "http://h/a?b#c") &&
             !path_matches("/A", "http://h/a") && path_matches("/a/*/z", "h/a/b/c/z") && !path_matches("/a/*/z", "h/a/z"),
         "paths: without what follows '?' and '#'");
  tap_ok(parses("policy a = periodic 1s clamp 0 5s\npolicy b = periodic 1s total 10s\npolicy c = immediate\npolicy d = a and-then b\n"
                "on any use c") &&
             retry_rules_allow(&rules, 0, 0, 5 * SECOND) && !retry_rules_allow(&rules, 0, 0, 5 * SECOND + 1) &&
             retry_rules_allow(&rules, 1, 4 * SECOND, 6 * SECOND) && !retry_rules_allow(&rules, 1, 4 * SECOND, 6 * SECOND + 1) &&
             retry_rules_allow(&rules, 2, 0, RETRY_ASKED_MAX_NS) && !retry_rules_allow(&rules, 2, 0, RETRY_ASKED_MAX_NS + 1) &&
             !retry_rules_allow(&rules, 3, 0, 6 * SECOND) && !retry_rules_allow(&rules, 1, UINT64_MAX, UINT64_MAX),
         "what a server asks for is allowed within clamps and totals, else up to an hour");
}

static void test_refusals(void)
{
  static const struct {
    unsigned line;
    const char *text, *says;
  } wrong[] = {
      {1, "", "no rule"},
      {2, "\npolicy a = never\n", "no rule"},
      {1, "polcy a = never", "begins no line"},
      {1, "policy = never", "no name"},
      {1, "policy 1a = never", "no name"},
      {1, "policy on = never", "no name"},
      {1, "policy a/b = never", "no name"},
      {1, "policy abcdefghijklmnopqrstuvwxyzabcdef = never", "no name"},
      {2, "policy a = never\npolicy a = immediate", "already"},
      {1, "policy a never", "'=' is missing"},
      {1, "policy a =", "no policy ''"},
      {1, "policy a = b", "no policy 'b'"},
      {1, "policy a = a", "no policy 'a'"},
      {2, "policy a = never\npolicy b = a union", "no policy ''"},
      {2, "policy a = never\npolicy b = a union c", "no policy 'c'"},
      {1, "policy a = periodic", "no time for periodic"},
      {1, "policy a = periodic 5", "no time for periodic"},
      {1, "policy a = fibonacci -1s", "no time for fibonacci"},
      {1, "policy a = exponential x 2", "no time for exponential"},
      {1, "policy a = exponential 1s", "the factor of exponential"},
      {1, "policy a = exponential 1s 0.5", "the factor of exponential"},
      {1, "policy a = exponential 1s 1001", "the factor of exponential"},
      {1, "policy a = exponential 1s nan", "the factor of exponential"},
      {1, "policy a = never twice", "no limit"},
      {1, "policy a = never count", "no number for count"},
      {1, "policy a = never count 0", "no number for count"},
      {1, "policy a = never count 4294967296", "no number for count"},
      {1, "policy a = never count -1", "no number for count"},
      {1, "policy a = never total soon", "no time for total"},
      {1, "policy a = never add", "no time for add"},
      {1, "policy a = never clamp 1s", "no time for clamp"},
      {1, "policy a = never clamp 2s 1s", "shortest delay is longer"},
      {1, "policy a = never jitter 2", "no number for jitter"},
      {1, "policy a = never add 1s add 1s add 1s add 1s add 1s add 1s add 1s add 1s add 1s", "more than 8 limits"},
      {2, "policy a = never\non use a", "no cause"},
      {2, "policy a = never\non whim use a", "no cause"},
      {2, "policy a = never\non exit 0 use a", "no exit status"},
      {2, "policy a = never\non exit 256 use a", "no exit status"},
      {2, "policy a = never\non exit 1- use a", "no exit status"},
      {2, "policy a = never\non exit 3-1 use a", "no exit status"},
      {2, "policy a = never\non exit 1,x use a", "no exit status"},
      {2, "policy a = never\non signal FOO use a", "no signal"},
      {2, "policy a = never\non signal 65 use a", "no signal"},
      {2, "policy a = never\non signal 0 use a", "no signal"},
      {2, "policy a = never\non signal TERM use a", "somebody ends a program"},
      {2, "policy a = never\non any priority x use a", "no number for priority"},
      {2, "policy a = never\non any", "'use' is missing"},
      {2, "policy a = never\non any use", "no policy ''"},
      {2, "policy a = never\non any use b", "no policy 'b'"},
      {2, "policy a = never\non any use a b", "too much"},
      {2, "policy a = never\non request whim use a", "says nothing of a request"},
      {2, "policy a = never\non request method use a", "no list for method"},
      {2, "policy a = never\non request method GET,,PUT use a", "no list for method"},
      {2, "policy a = never\non request host ,a use a", "no list for host"},
      {2, "policy a = never\non request path /a path /b use a", "given twice"},
      {2, "policy a = never\non request status use a", "the list behind 'status' is missing"},
      {2, "policy a = never\non request status 200 use a", "no status of a failed request"},
      {2, "policy a = never\non request status 600 use a", "no status of a failed request"},
      {2, "policy a = never\non request status 503- use a", "no status of a failed request"},
      {2, "policy a = never\non request error whim use a", "no error"},
      {2, "policy a = never\non request error", "the list behind 'error' is missing"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char where[32];
    int error = retry_rules_parse(wrong[i].text, "FILE", &rules, &failure);
    snprintf(where, sizeof where, "FILE:%u: ", wrong[i].line);
    bool said = error < 0 && strncmp(failure.text, where, strlen(where)) == 0 && strstr(failure.text, wrong[i].says) &&
                strstr(failure.text, "; ");
    if (!said)
      tap_note("%d: %s", error, failure.text);
    tap_ok(said, "refused, with its line and what to do: %.60s", strrchr(wrong[i].text, '\n') ? strrchr(wrong[i].text, '\n') + 1
                                                                                             : wrong[i].text);
  }
}

static char many[64 * 1024];

static bool too_much(const char *says)
{
  bool refused = retry_rules_parse(many, "FILE", &rules, &failure) < 0 && strstr(failure.text, says);
  if (!refused)
    tap_note("%s", failure.text);
  return refused;
}

static void test_too_much(void)
{
  char *at = many;
  for (unsigned i = 0; i < RETRY_POLICIES_MAX + 1; i++)
    at += sprintf(at, "policy p%u = never\n", i);
  tap_ok(too_much("FILE:65: these are more than 64 policies"), "more policies than there is room for");
  at = many + sprintf(many, "policy p = never\n");
  for (unsigned i = 0; i < RETRY_RULES_MAX + 1; i++)
    at += sprintf(at, "on exit 1 use p\n");
  tap_ok(too_much("FILE:66: these are more than 64 rules"), "more rules");
  at = many + sprintf(many, "policy p0 = immediate\n");
  for (unsigned i = 1; i < 20; i++)
    at += sprintf(at, "policy p%u = p%u union p%u\n", i, i - 1, i - 1);
  tap_ok(too_much("too many others"), "a policy that doubles with every line");
  at = many + sprintf(many, "policy p = never\n");
  for (unsigned i = 0; i < 20; i++)
    at += sprintf(at, "on request path /%0900u use p\n", i);
  tap_ok(too_much("the lists of this file have more than 8192 bytes"), "lists that are too long");
  memset(many, 'x', 1999);
  many[1999] = '\0';
  tap_ok(too_much("FILE:1: this line has more than 1023 bytes"), "a line that is too long");
  for (size_t i = 1; i < 300; i += 2)
    many[i] = ' ';
  many[300] = '\0';
  tap_ok(too_much("FILE:1: this line has more than 64 words"), "and one of too many words");
}

int main(void)
{
  test_bases();
  test_limits();
  test_together();
  test_rules();
  test_requests();
  test_refusals();
  test_too_much();
  return tap_done();
}
