/* SPDX-License-Identifier: Apache-2.0 */
/* Which regions an entry lies in, and how they are drawn. */
#include "tests/unit/tap.h"

#include "tests/unit/entries.h"

#include "journal/call_table.h"
#include "supervisor/region_marks.h"

static struct built_journal journal;
static struct region_marks marks;
static char drawn[16];

/* Adds what was built last; the columns at it are in `drawn`. Returns its position. */
static uint64_t add(bool taken_back)
{
  struct region_mark mark;
  uint64_t position = build_end(&journal);
  const struct journal_entry *entry = (const struct journal_entry *)(journal.bytes + position);
  assert(region_marks_add(&marks, entry, journal.count, taken_back, &mark) == 0);
  region_marks_draw(&marks, &mark, drawn, sizeof drawn);
  region_marks_close(&marks, &mark);
  return position;
}

static uint64_t begin(uint32_t stream, bool taken_back)
{
  build(&journal, stream, CALL_ID_SCOPE_BEGIN, JOURNAL_COMPLETE, 0);
  build_args(&journal, 6, (uint64_t[]){JOURNAL_SCOPE_REGION, 0, 0, 0, 0, 0});
  return add(taken_back);
}

static void end(uint64_t token, int64_t result, bool taken_back)
{
  build(&journal, 0, CALL_ID_SCOPE_END, JOURNAL_COMPLETE, result);
  build_args(&journal, 2, (uint64_t[]){JOURNAL_SCOPE_REGION, token});
  add(taken_back);
}

static void other(uint32_t stream, unsigned kind, bool taken_back)
{
  build(&journal, stream, kind == JOURNAL_START ? CALL_ID_START : SYS_getpid, kind, 0);
  add(taken_back);
}

static void is_drawn(const char *wanted, const char *promise)
{
  if (!tap_ok(strcmp(drawn, wanted) == 0, "%s", promise))
    printf("# drawn '%s', wanted '%s'\n", drawn, wanted);
}

static void clear(void)
{
  region_marks_release(&marks);
  built_release(&journal);
}

static void test_nesting(void)
{
  other(0, JOURNAL_COMPLETE, false);
  is_drawn("", "outside of regions there is nothing");
  uint64_t outer = begin(0, false);
  is_drawn("{", "a region begins with a brace");
  uint64_t inner = begin(1, false);
  is_drawn("|{", "one in it has the next column");
  other(2, JOURNAL_COMPLETE, false);
  is_drawn("||", "what every thread does in them lies in both");
  end(outer, -1, false);
  is_drawn("||", "an end that the program was refused ends nothing");
  end(outer, 0, false);
  is_drawn("}|", "the outer one may end first");
  begin(0, false);
  is_drawn("{|", "its column is free again");
  end(inner, 0, false);
  is_drawn("|}", "the inner one's end");
  other(0, JOURNAL_COMPLETE, false);
  is_drawn("|", "what has ended is gone");
  other(1, JOURNAL_START, false);
  is_drawn("|", "another thread's image leaves it");
  other(0, JOURNAL_START, false);
  is_drawn("", "an image that begins knows of no region");
  clear();
}

static void test_taken_back(void)
{
  uint64_t outer = begin(0, false);
  begin(0, true);
  is_drawn("|{", "a region that was taken back is drawn in the one that it lies in");
  end(outer, 0, true);
  is_drawn("||", "an end that was taken back ended nothing");
  other(0, JOURNAL_START, true);
  is_drawn("|", "an image that was taken back ends what was taken back alone");
  begin(0, true);
  other(0, JOURNAL_COMPLETE, false);
  is_drawn("|", "with what was taken back its unfinished regions are gone");
  end(outer, 0, false);
  is_drawn("}", "the one around it ends where it does");
  clear();
}

static void test_many(void)
{
  uint64_t tokens[20];
  for (int i = 0; i < 20; i++)
    tokens[i] = begin(0, false);
  is_drawn("|||||||||||||||", "more than there is room for are cut");
  for (int i = 0; i < 19; i++)
    end(tokens[i], 0, false);
  is_drawn("", "one beyond the room is not drawn");
  tap_ok(marks.count == 1 && marks.open[0].position == tokens[19], "and is known");
  clear();
}

int main(void)
{
  test_nesting();
  test_taken_back();
  test_many();
  return tap_done();
}
