/* SPDX-License-Identifier: Apache-2.0 */
/* What the program has said by scopes of the control API, and what it means for an open change. */
#include "tests/unit/tap.h"

#include "tests/unit/entries.h"

#include "journal/call_table.h"

#include <errno.h>

static struct built_journal journal;

static uint64_t begin(uint32_t stream, unsigned kind, uint64_t value)
{
  build(&journal, stream, CALL_ID_SCOPE_BEGIN, JOURNAL_COMPLETE, 0);
  build_args(&journal, 6, (uint64_t[]){kind, value, 0, 0, 0, 0});
  return build_end(&journal);
}

static void end(uint32_t stream, unsigned kind, uint64_t token, int64_t result)
{
  build(&journal, stream, CALL_ID_SCOPE_END, JOURNAL_COMPLETE, result);
  build_args(&journal, 2, (uint64_t[]){kind, token});
  build_end(&journal);
}

static void set(uint32_t stream, unsigned kind, uint64_t value)
{
  build(&journal, stream, CALL_ID_SCOPE_SET, JOURNAL_COMPLETE, 0);
  build_args(&journal, 6, (uint64_t[]){kind, value, 0, 0, 0, 0});
  build_end(&journal);
}

/* What holds at the journal's end for a request of `stream`. */
static enum idempotence said(uint32_t stream)
{
  build(&journal, stream, CALL_ID_EXCHANGE, JOURNAL_INTENT, 0);
  build_end(&journal);
  struct analysis *analysis = built_analyse(&journal);
  enum idempotence idempotence = analysis->open[0]->idempotence;
  analysis_free(analysis);
  built_release(&journal);
  return idempotence;
}

static void a_start(uint32_t stream)
{
  build(&journal, stream, CALL_ID_START, JOURNAL_START, 0);
  build_end(&journal);
}

int main(void)
{
  const unsigned kind = JOURNAL_SCOPE_IDEMPOTENCE;
  a_start(0);
  tap_ok(said(0) == IDEMPOTENCE_UNSAID, "nothing said, the command line's holds");

  a_start(0);
  begin(0, kind, 0);
  tap_ok(said(0) == IDEMPOTENCE_OFF, "an open scope holds");

  a_start(0);
  begin(0, kind, 0);
  tap_ok(said(1) == IDEMPOTENCE_UNSAID, "but not for another thread");

  a_start(0);
  end(0, kind, begin(0, kind, 0), 0);
  tap_ok(said(0) == IDEMPOTENCE_UNSAID, "what has ended does not hold");

  a_start(0);
  end(1, kind, begin(0, kind, 0), 0);
  tap_ok(said(0) == IDEMPOTENCE_UNSAID, "whoever ended it");

  a_start(0);
  begin(0, kind, 0);
  begin(0, kind, 1);
  tap_ok(said(0) == IDEMPOTENCE_ON, "the inner one holds");

  a_start(0);
  uint64_t first = begin(0, kind, 0);
  begin(0, kind, 1);
  end(0, kind, first, 0);
  tap_ok(said(0) == IDEMPOTENCE_ON, "of two that overlap, what was begun last, when the first has ended");

  a_start(0);
  begin(0, kind, 0);
  end(0, kind, begin(0, kind, 1), 0);
  tap_ok(said(0) == IDEMPOTENCE_OFF, "and the first, when the last has ended");

  a_start(0);
  end(0, JOURNAL_SCOPE_RETRY, begin(0, kind, 0), -ENOENT);
  tap_ok(said(0) == IDEMPOTENCE_OFF, "an end that failed has ended nothing");

  a_start(0);
  begin(0, JOURNAL_SCOPE_RETRY, 0);
  tap_ok(said(0) == IDEMPOTENCE_UNSAID, "scopes of another kind say nothing of it");

  a_start(0);
  set(0, kind, 0);
  set(0, kind, 1);
  begin(0, kind, 0);
  tap_ok(said(0) == IDEMPOTENCE_OFF, "a scope stands above what was set before");

  a_start(0);
  begin(0, kind, 0);
  set(0, kind, 1);
  tap_ok(said(0) == IDEMPOTENCE_OFF, "and above what is set inside it");

  a_start(0);
  set(0, kind, 0);
  set(1, kind, 1);
  tap_ok(said(0) == IDEMPOTENCE_OFF, "each thread has set its own");

  a_start(0);
  begin(0, kind, 0);
  set(0, kind, 0);
  a_start(0);
  tap_ok(said(0) == IDEMPOTENCE_UNSAID, "an exec closes them");

  struct failure failure;
  struct analysis *analysis = NULL;
  build(&journal, 0, CALL_ID_SCOPE_BEGIN, JOURNAL_COMPLETE, 0);
  build_args(&journal, 2, (uint64_t[]){kind, 1});
  build_end(&journal);
  tap_ok(built_try_analyse(&journal, &analysis, &failure) == -EBADMSG, "a scope without its values is no entry");
  analysis_free(analysis);
  built_release(&journal);
  return tap_done();
}
