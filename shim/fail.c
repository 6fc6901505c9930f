/* SPDX-License-Identifier: Apache-2.0 */
/* How the program is stopped when it may not go on: the report goes into the tail's header, the
 * supervisor makes a line and an exit status of it. Nothing is changed on the way. */
#include "shim/engine.h"

#include <assert.h>
#include <signal.h>

static size_t put_text(char *to, size_t room, size_t used, const char *text)
{
  while (*text && used + 1 < room)
    to[used++] = *text++;
  to[used] = 0;
  return used;
}

static size_t put_number(char *to, size_t room, size_t used, int64_t number)
{
  char digits[24];
  int place = sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  digits[--place] = 0;
  do {
    digits[--place] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest);
  if (number < 0)
    digits[--place] = '-';
  return put_text(to, room, used, digits + place);
}

__attribute__((noreturn)) static void stop(struct tail_report *report, uint32_t code)
{
  report->stream = engine_thread.stream;
  uint32_t none = TAIL_REPORT_NONE;
  /* The first report stands: another thread may fail because this one is gone. */
  atomic_compare_exchange_strong(&report->code, &none, code);
  /* The others would wait for this one's entries, or go on without it. */
  int32_t first = atomic_load(&engine.tail.header->processes[0].real);
  if (first && first != engine.pid_real)
    raw_syscall2(SYS_kill, (uint64_t)first, SIGKILL);
  for (;;)
    raw_syscall1(SYS_exit_group, 125);
}

/* What a write would have written, for the person who compares. The pointer is the program's and may be a bad
 * one: the kernel looks. */
static void put_bytes(struct tail_report *report, const struct call *call)
{
  for (unsigned i = 0; call->shape && i < report->arg_count; i++) {
    uint32_t arg = call->shape->args[i];
    if (CALL_ARG_KIND(arg) != ARG_IN_ARG)
      continue;
    uint64_t length = call->args[CALL_ARG_OTHER(arg)] * CALL_ARG_SIZE(arg);
    struct io_vector to = {report->bytes, length < sizeof report->bytes ? length : sizeof report->bytes};
    struct io_vector from = {(void *)call->args[i], to.length};
    int64_t got = raw_syscall6(SYS_process_vm_readv, (uint64_t)engine.pid_real, (uint64_t)&to, 1, (uint64_t)&from, 1, 0);
    report->bytes_arg = i;
    report->bytes_length = got > 0 ? (uint32_t)got : 0;
    return;
  }
}

void engine_diverged(const struct call *call, const struct journal_entry *entry)
{
  struct tail_report *report = &engine.tail.header->report;
  report->position = entry ? entry->position : ~0ull;
  report->call = call->id;
  report->arg_count = call->id < call_shape_count ? call_arg_counts[call->id] : 0;
  for (unsigned i = 0; i < report->arg_count; i++)
    report->args[i] = call->args[i];
  for (unsigned i = 0; call->shape && i < report->arg_count; i++)
    if (CALL_ARG_KIND(call->shape->args[i]) == ARG_PATH && call->args[i]) {
      put_text(report->path, sizeof report->path, 0, (const char *)call->args[i]);
      break;
    }
  put_bytes(report, call);
  stop(report, TAIL_REPORT_DIVERGED);
}

void engine_unknown(const struct journal_entry *entry)
{
  struct tail_report *report = &engine.tail.header->report;
  report->position = entry->position;
  stop(report, TAIL_REPORT_UNKNOWN);
}

void engine_failed(unsigned code, const char *words, const char *detail, int64_t error)
{
  struct tail_report *report = &engine.tail.header->report;
  size_t used = put_text(report->text, sizeof report->text, 0, words);
  used = put_text(report->text, sizeof report->text, used, detail);
  if (error > 0) {
    used = put_text(report->text, sizeof report->text, used, " (");
    used = put_number(report->text, sizeof report->text, used, error);
    put_text(report->text, sizeof report->text, used, ")");
  }
  report->args[0] = error < 0 ? (uint64_t)-error : 0; /* the supervisor has words for it */
  stop(report, code);
}

/* What assert() calls; libc's would print and allocate in the middle of the program. */
__attribute__((visibility("hidden"))) _Noreturn void
__assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
  engine_failed(TAIL_REPORT_FAILED, "a bug in perdure, this was not true: ", assertion, (int64_t)line);
}
