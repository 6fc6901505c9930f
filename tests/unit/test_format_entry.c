/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/format_entry.h"

#include "journal/call_table.h"
#include "journal/tail.h"

#include "tests/unit/tap.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* 2023-11-14 22:13:20 UTC and a bit. */
#define TIME_NS 1700000000000000007u

static struct tail tail;
static struct tail_part parts[4];
static uint64_t args[6];

static struct tail_draft draft_of(const char *call, uint8_t kind, int64_t result, uint32_t part_count)
{
  const struct call_row *row = call_table_named(call);
  assert(row != NULL);
  return (struct tail_draft){.stream = 2,
                             .call = row->id,
                             .kind = kind,
                             .result = result,
                             .time_ns = TIME_NS,
                             .args = args,
                             .arg_count = row->arg_count,
                             .part_count = part_count,
                             .parts = parts};
}

static const struct journal_entry *written(const struct tail_draft *draft)
{
  atomic_store(&tail.header->head, 0);
  uint64_t position = tail_append(&tail, draft);
  return (const struct journal_entry *)(tail.ring + position);
}

static struct tail_part part_of(uint16_t type, uint8_t arg, const void *data, size_t length)
{
  return (struct tail_part){.type = type, .arg = arg, .data = data, .length = (uint32_t)length};
}

static struct tail_part path_of(uint8_t arg, const char *path)
{
  return part_of(SEGMENT_PATH, arg, path, strlen(path));
}

static void set_args(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
  uint64_t values[6] = {a, b, c, d, e, f};
  memcpy(args, values, sizeof args);
}

/* The line without its time, seq and stream. */
static void reads(struct tail_draft draft, const char *expected, const char *promise)
{
  static char line[FORMAT_ENTRY_SIZE_MAX];
  size_t length = format_entry(written(&draft), 17, line, sizeof line);
  static const char prefix[] = "22:13:20.000000007 #17 [2] ";
  bool right = length == strlen(line) && strncmp(line, prefix, sizeof prefix - 1) == 0 &&
               strcmp(line + sizeof prefix - 1, expected) == 0;
  if (!tap_ok(right, "%s", promise))
    tap_note("expected %s%s\n#      got %s", prefix, expected, line);
}

static void test_open(void)
{
  parts[0] = path_of(1, "a \"b\"");
  parts[1] = part_of(SEGMENT_FULL_PATH, 0, "/tmp/x", 6);
  set_args((uint64_t)AT_FDCWD, 0x1000, O_RDONLY | O_CLOEXEC, 0xdead, 0, 0);
  reads(draft_of("openat", JOURNAL_COMPLETE, 3, 2),
        "openat(AT_FDCWD, \"a \\\"b\\\"\", O_RDONLY|O_CLOEXEC) = 3 <\"/tmp/x\">  [observe]",
        "opening to read: flags by name, no mode, and the file's real path");
  set_args(7, 0x1000, O_WRONLY | O_CREAT | O_TRUNC, 0644, 0, 0);
  reads(draft_of("openat", JOURNAL_INTENT, 0, 1),
        "openat(7, \"a \\\"b\\\"\", O_WRONLY|O_CREAT|O_TRUNC, 0644)  [change: intent]",
        "an intent shows the mode and no result");
  reads(draft_of("openat", JOURNAL_RESULT, -ENOENT, 1),
        "openat(7, \"a \\\"b\\\"\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 ENOENT (No such file or "
        "directory)  [change: failed]",
        "a failure has its name and its words");
  struct tail_draft resolved = draft_of("openat", JOURNAL_RESULT, 4, 1);
  resolved.flags = JOURNAL_FLAG_RESOLVED;
  reads(resolved,
        "openat(7, \"a \\\"b\\\"\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 4  [resolved by recovery]",
        "what recovery found says so");
}

static void test_buffers(void)
{
  struct journal_written where = {.offset = 4096, .length = 100, .append = 0};
  parts[0] = part_of(SEGMENT_INPUT, 1, "line\n\x1b[31m\xff", 11);
  parts[1] = part_of(SEGMENT_WRITTEN, 1, &where, sizeof where);
  set_args(1, 0x1000, 100, 0, 0, 0);
  reads(draft_of("write", JOURNAL_INTENT, 0, 2),
        "write(1, \"line\\n\\x1b[31m\\xff\"..., 100) at 4096  [change: intent]",
        "written bytes are a preview without control characters, and say where they go");
  reads(draft_of("write", JOURNAL_RESULT, 100, 0), "write(1, 0x1000, 100) = 100  [change: done]",
        "a result without segments shows the address");
  char long_text[100];
  memset(long_text, 'x', sizeof long_text);
  parts[0] = part_of(SEGMENT_OUTPUT, 1, long_text, sizeof long_text);
  reads(draft_of("read", JOURNAL_COMPLETE, 100, 1),
        "read(1, \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"..., 100) = 100  [observe]",
        "read bytes are cut to a preview");
  struct journal_reference reference = {.inode = 12, .offset = 5, .length = 70000};
  parts[0] = part_of(SEGMENT_REFERENCE, 1, &reference, sizeof reference);
  set_args(3, 0x1000, 70000, 0, 0, 0);
  reads(draft_of("read", JOURNAL_COMPLETE, 70000, 1),
        "read(3, {70000 bytes of inode 12 at 5}, 70000) = 70000  [observe]",
        "bytes that are only referenced say where they lie");
  parts[0] = path_of(0, "/etc");
  parts[1] = part_of(SEGMENT_OUTPUT, 1, long_text, 96);
  set_args(0x1, 0x1000, 0, 0, 0, 0);
  reads(draft_of("stat", JOURNAL_COMPLETE, 0, 2), "stat(\"/etc\", {96 bytes}) = 0  [observe]",
        "structures are not shown as text");
  parts[0] = part_of(SEGMENT_REFERENCE, 1, &reference, 4);
  set_args(3, 0, 70000, 0, 0, 0);
  reads(draft_of("read", JOURNAL_COMPLETE, 1, 1), "read(3, NULL, 70000) = 1  [observe]",
        "a segment that is too short is not believed");
}

static void test_numbers(void)
{
  set_args(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0);
  reads(draft_of("mmap", JOURNAL_COMPLETE, 0x7ffff7dd0000, 0),
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = "
        "0x7ffff7dd0000  [local]",
        "mappings show protection and flags, and an address as a result");
  set_args(3, (uint64_t)-5, SEEK_END, 0, 0, 0);
  reads(draft_of("lseek", JOURNAL_COMPLETE, 95, 0), "lseek(3, -5, SEEK_END) = 95  [observe]",
        "seeking shows negative offsets and from where");
  set_args(3, F_SETFL, O_RDWR | O_NONBLOCK, 0, 0, 0);
  reads(draft_of("fcntl", JOURNAL_COMPLETE, 0, 0), "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0  [local]",
        "fcntl's argument is read by its command");
  set_args(3, F_GETFL, 0x5555, 0, 0, 0);
  reads(draft_of("fcntl", JOURNAL_COMPLETE, 2, 0), "fcntl(3, F_GETFL) = 2  [local]",
        "an argument that a command does not use is left out");
  set_args(100, 15, 0, 0, 0, 0);
  reads(draft_of("kill", JOURNAL_INTENT, 0, 0), "kill(100, SIGTERM)  [process: intent]",
        "signals have their names");
  set_args(3, 0x40000000 | 2, 0, 0, 0, 0);
  reads(draft_of("flock", JOURNAL_COMPLETE, 0, 0), "flock(3, 0x40000002) = 0  [observe]",
        "bits without a name are shown as a number");
}

static void test_other_kinds(void)
{
  parts[0] = part_of(SEGMENT_DIRECTORY, 0, "/home/u", 7);
  set_args(100, 1, 0, 0, 0, 0);
  reads(draft_of("start", JOURNAL_START, 0, 1),
        "a program begins, process 100 of parent 1, in \"/home/u\"  [start]", "a start says who and where");
  reads(draft_of("exit_group", JOURNAL_EXIT, 3, 0), "the process ends with status 3  [exit]",
        "an exit shows the status");
  reads(draft_of("journal", JOURNAL_ATTEMPT, 2, 0), "attempt 2 begins  [attempt]",
        "an attempt shows its number");
  parts[0] = part_of(SEGMENT_TEXT, 0, "careful", 7);
  reads(draft_of("journal", JOURNAL_NOTE, 0, 1), "\"careful\"  [note]", "a note shows its words");
  uint8_t old[sizeof(struct journal_old) + 10];
  struct journal_old where = {.inode = 5, .offset = 7};
  memcpy(old, &where, sizeof where);
  parts[0] = part_of(SEGMENT_OLD, 0, old, sizeof old);
  reads(draft_of("write", JOURNAL_KEEP, 0, 1), "10 old bytes of inode 5 at 7  [keep]",
        "kept bytes say what they are of");
  parts[0] = part_of(SEGMENT_OUTPUT, 1, old, sizeof old);
  reads(draft_of("read", JOURNAL_DATA, 0, 1), "42 bytes of output for the read that follows  [data]",
        "data says what it belongs to");
  struct tail_draft unknown = draft_of("read", JOURNAL_COMPLETE, 1, 0);
  unknown.call = 9999;
  unknown.arg_count = 2;
  set_args(1, 2, 0, 0, 0, 0);
  reads(unknown, "call_9999(1, 2) = 1  [unknown call]", "a call that is not in the table is shown anyway");
}

static void test_addresses(void)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/\nx"}, abstract = {.sun_family = AF_UNIX, .sun_path = "\0name"};
  set_args(3, 0x1000, 16, 0, 0, 0);
  parts[0] = part_of(SEGMENT_ADDRESS, 1, &in, sizeof in);
  reads(draft_of("connect", JOURNAL_INTENT, 0, 1), "connect(3, 127.0.0.1:8080, 16)  [remote change: intent]",
        "an address and its port");
  parts[0] = part_of(SEGMENT_ADDRESS, 1, &in6, sizeof in6);
  reads(draft_of("connect", JOURNAL_INTENT, 0, 1), "connect(3, [::1]:443, 16)  [remote change: intent]",
        "an IPv6 address is in brackets");
  parts[0] = part_of(SEGMENT_ADDRESS, 1, &un, sizeof un);
  reads(draft_of("connect", JOURNAL_INTENT, 0, 1), "connect(3, \"/run/\\nx\", 16)  [remote change: intent]",
        "a path up to its NUL, without control characters");
  parts[0] = part_of(SEGMENT_ADDRESS, 1, &abstract, offsetof(struct sockaddr_un, sun_path) + 5);
  reads(draft_of("connect", JOURNAL_INTENT, 0, 1), "connect(3, @\"name\", 16)  [remote change: intent]",
        "an abstract name");
  parts[0] = part_of(SEGMENT_ADDRESS, 1, &in, 5);
  reads(draft_of("connect", JOURNAL_INTENT, 0, 1), "connect(3, {5 bytes of family 2}, 16)  [remote change: intent]",
        "an address that is too short is not read past its end");
}

static void test_messages(void)
{
  struct journal_written sent = {.offset = -1, .length = 40, .remote = 1};
  set_args(3, 0x1000, 0, 0, 0, 0);
  parts[0] = part_of(SEGMENT_INPUT, 1, "hello", 5);
  parts[1] = part_of(SEGMENT_WRITTEN, 0, &sent, sizeof sent);
  reads(draft_of("sendmsg", JOURNAL_INTENT, 0, 2), "sendmsg(3, \"hello\"..., 0)  [remote change: intent]",
        "a message shows how it begins");
}

static void test_size(void)
{
  parts[0] = path_of(1, "/some/where");
  set_args((uint64_t)AT_FDCWD, 0x1000, O_RDONLY, 0, 0, 0);
  struct tail_draft draft = draft_of("openat", JOURNAL_COMPLETE, 3, 1);
  const struct journal_entry *entry = written(&draft);
  char whole[512], cut[512];
  size_t length = format_entry(entry, 1, whole, sizeof whole);
  bool right = length == strlen(whole);
  for (size_t size = 1; size <= length + 1; size++) {
    memset(cut, 0x5a, sizeof cut);
    right = right && format_entry(entry, 1, cut, size) == length && strlen(cut) == size - 1 &&
            memcmp(cut, whole, size - 1) == 0 && cut[size] == 0x5a;
  }
  tap_ok(right, "a line is cut to the room that there is, and says how long it is");
}

static const char *extracted(const char *json, const char *path)
{
  static char value[1024];
  sqlite3 *database;
  sqlite3_stmt *statement;
  sqlite3_open(":memory:", &database);
  sqlite3_prepare_v2(database, "SELECT json_extract(?1, ?2)", -1, &statement, NULL);
  sqlite3_bind_text(statement, 1, json, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 2, path, -1, SQLITE_STATIC);
  snprintf(value, sizeof value, "%s",
           sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL
               ? (const char *)sqlite3_column_text(statement, 0)
               : "nothing");
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return value;
}

static void json_says(const char *json, const char *path, const char *expected, const char *promise)
{
  const char *value = extracted(json, path);
  if (!tap_ok(strcmp(value, expected) == 0, "%s", promise))
    tap_note("%s: expected %s, got %s in %s", path, expected, value, json);
}

static void test_json(void)
{
  static char json[FORMAT_ENTRY_SIZE_MAX];
  parts[0] = path_of(1, "a\n\"b\\\x01\xc3\xa9");
  parts[1] = part_of(SEGMENT_FULL_PATH, 0, "/tmp/x", 6);
  set_args((uint64_t)AT_FDCWD, 0x1000, O_RDONLY | O_CLOEXEC, 0, 0, 0);
  struct tail_draft draft = draft_of("openat", JOURNAL_COMPLETE, -ENOENT, 2);
  size_t length = format_entry_json(written(&draft), 17, json, sizeof json);
  tap_ok(length == strlen(json) && strchr(json, '\n') == NULL, "JSON is one line");
  json_says(json, "$.seq", "17", "JSON has the number");
  json_says(json, "$.time", "2023-11-14T22:13:20.000000007Z", "JSON has the time in UTC");
  json_says(json, "$.call", "openat", "JSON has the call");
  json_says(json, "$.class", "change-local", "JSON has the class");
  json_says(json, "$.kind", "complete", "JSON has the kind");
  json_says(json, "$.result", "-2", "JSON has the result");
  json_says(json, "$.error", "ENOENT", "JSON has the error's name");
  json_says(json, "$.paths[0]", "a\n\"b\\\x01\xc3\xa9", "JSON has the path to the byte");
  json_says(json, "$.full_paths[0]", "/tmp/x", "JSON has the full path");
  json_says(json, "$.args[2].text", "O_RDONLY|O_CLOEXEC", "JSON has the arguments decoded");
  json_says(json, "$.args[0].raw", "0xffffffffffffff9c", "JSON has the arguments as they were passed");
  json_says(json, "$.segments[1].type", "full-path", "JSON has the segments");
  parts[0] = path_of(0, "\xff\xed\xa0\x80");
  draft = draft_of("unlink", JOURNAL_INTENT, 0, 1);
  draft.flags = JOURNAL_FLAG_UNFINISHED;
  format_entry_json(written(&draft), 1, json, sizeof json);
  tap_ok(strstr(json, "\"paths\":[\"\\udcff\\udced\\udca0\\udc80\"]") != NULL,
         "bytes that are not UTF-8 are kept as Python does");
  json_says(json, "$.flags[0]", "unfinished", "JSON has the flags");
  json_says(json, "$.result", "nothing", "an intent has no result in JSON");
}

/* Every argument with names is one that the table knows. */
static void test_uses(void)
{
  static const struct {
    const char *call;
    unsigned arg;
  } uses[] = {
#define USE(call, arg, set) {#call, arg},
#include "supervisor/flag_uses.def"
#undef USE
  };
  bool right = true;
  for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
    const struct call_row *row = call_table_named(uses[i].call);
    unsigned kind = row != NULL ? CALL_ARG_KIND(row->args[uses[i].arg]) : ARG_NONE;
    if (kind != ARG_VAL && kind != ARG_CLOCK) {
      right = false;
      tap_note("%s, argument %u", uses[i].call, uses[i].arg);
    }
  }
  tap_ok(right, "named flags belong to arguments that are numbers in the table of calls");
}

int main(void)
{
  setenv("TZ", "UTC", 1);
  tzset();
  tail.header = calloc(1, sizeof *tail.header);
  tail.ring = calloc(1, 2 << 20);
  assert(tail.header != NULL && tail.ring != NULL);
  tail.header->ring_size = 1 << 20;
  test_open();
  test_buffers();
  test_numbers();
  test_other_kinds();
  test_addresses();
  test_messages();
  test_size();
  test_json();
  test_uses();
  free(tail.header);
  free(tail.ring);
  return tap_done();
}
