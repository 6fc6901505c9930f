/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a journal: which intents are open, what went in and out. */
#include "tests/unit/tap.h"

#include "tests/unit/analysed.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>

static int error_of(struct failure *failure)
{
  struct analysis *made = NULL;
  int error = built_try_analyse(&journal, &made, failure);
  analysis_free(made);
  return error;
}

/* ---- open intents ---- */

static void test_intents(void)
{
  uint64_t position = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  analyse();
  tap_ok(unfinished() == 1 && analysis_open_intent(analysis, position), "an intent without result is open");
  done();

  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_result(&journal, 0, SYS_mkdir, 0);
  analyse();
  tap_ok(unfinished() == 0, "a result closes its intent");
  done();

  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_path_intent(&journal, 7, SYS_rmdir, "/e", NULL);
  build_complete(&journal, 3, SYS_getpid, 5);
  build_result(&journal, 0, SYS_mkdir, 0);
  analyse();
  tap_ok(unfinished() == 1 && analysis->open[0]->entry->stream == 7,
         "a result closes the intent of its own stream, among others' entries");
  tap_ok(summary_of().stream_next == 8, "the next stream is above the highest seen");
  done();

  build_sleep_intent(&journal, 0);
  build_path_intent(&journal, 0, SYS_unlink, "/x", NULL);
  build_result(&journal, 0, SYS_unlink, 0);
  build_result(&journal, 0, SYS_nanosleep, -EINTR);
  analyse();
  tap_ok(unfinished() == 0, "a signal handler's call inside a sleep has intent and result of its own");
  done();

  build(&journal, 0, SYS_execve, JOURNAL_INTENT, 0);
  build_end(&journal);
  build(&journal, 0, 1025, JOURNAL_START, 0);
  build_end(&journal);
  analyse();
  tap_ok(unfinished() == 0, "an exec's intent is closed by START");
  done();

  build_path_intent(&journal, 5, SYS_mkdir, "/d", NULL);
  build(&journal, 0, SYS_execve, JOURNAL_INTENT, 0);
  build_end(&journal);
  build(&journal, 0, 1025, JOURNAL_START, 0);
  build_end(&journal);
  analyse();
  tap_ok(unfinished() == 0 && analysis_omits(analysis, 5, 0),
         "an exec ends other threads, and what they had begun");
  done();
}

static void test_many_streams(void)
{
  for (unsigned i = 0; i < 300; i++)
    build_path_intent(&journal, i * 64, SYS_mkdir, "/d", NULL);
  for (unsigned i = 300; i-- > 0;)
    if (i % 3)
      build_result(&journal, i * 64, SYS_mkdir, 0);
  analyse();
  bool ordered = unfinished() == 100;
  for (unsigned i = 0; ordered && i < 100; i++)
    ordered = analysis->open[i]->entry->stream == i * 3 * 64;
  tap_ok(ordered, "of 300 streams' intents those without result are open, in the journal's order");
  done();
}

static void test_named_streams(void)
{
  build(&journal, 0, SYS_clone, JOURNAL_COMPLETE, 5);
  build_args(&journal, 5, (const uint64_t[]){CLONE_THREAD | CLONE_VM, 0, 0, 0, 0});
  build_end(&journal);
  analyse();
  tap_ok(summary_of().stream_next == 6, "a thread that has made no entry yet has its stream all the same");
  done();

  build(&journal, 0, SYS_clone, JOURNAL_COMPLETE, 4000);
  build_args(&journal, 5, (const uint64_t[]){SIGCHLD, 0, 0, 0, 0});
  build_end(&journal);
  analyse();
  tap_ok(summary_of().stream_next == 1, "a child's pid names no stream");
  done();
}

static void test_attempts(void)
{
  uint64_t kept = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_kept(&journal, 0, a_file(1), "kept");
  analyse();
  tap_ok(unfinished() == 1 && analysis_open_intent(analysis, kept),
         "what is kept on the way does not say that the new attempt has gone on");
  done();


  uint64_t position = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  analyse();
  tap_ok(unfinished() == 1 && analysis_open_intent(analysis, position),
         "an intent stays open until the new attempt has gone on");
  done();

  position = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_result(&journal, 0, SYS_mkdir, 0);
  analyse();
  tap_ok(unfinished() == 0 && analysis_omits(analysis, 0, position),
         "an intent that the new attempt came to again is as if it had never been");
  done();

  position = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_resolved(&journal, 0, SYS_mkdir, 0);
  build_complete(&journal, 0, SYS_getpid, 5);
  analyse();
  tap_ok(unfinished() == 0 && !analysis_omits(analysis, 0, position),
         "recovery's result after the attempt closes an intent");
  done();

  position = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_complete(&journal, 1, SYS_getpid, 5);
  analyse();
  tap_ok(unfinished() == 0 && analysis_omits(analysis, 0, position),
         "once any stream goes on, what recovery did not resolve had not happened");
  done();

  position = build_sleep_intent(&journal, 0);
  build_attempt(&journal, 2);
  build_complete(&journal, 1, SYS_getpid, 5);
  analyse();
  tap_ok(unfinished() == 1, "a sleep waits for its own stream to go on");
  done();

  build_sleep_intent(&journal, 0);
  build_attempt(&journal, 2);
  build_result(&journal, 0, SYS_nanosleep, 0);
  analyse();
  tap_ok(unfinished() == 0 && !analysis_omits(analysis, 0, 0),
         "a sleep may end in the next attempt");
  done();

  build(&journal, 0, SYS_sendto, JOURNAL_INTENT, 0);
  position = build_end(&journal);
  build_attempt(&journal, 2);
  build_complete(&journal, 1, SYS_getpid, 5);
  analyse();
  tap_ok(unfinished() == 1, "a remote change of unknown outcome is not forgotten when others go on");
  done();

  uint64_t first = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_attempt(&journal, 3);
  uint64_t second = build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 4);
  analyse();
  tap_ok(unfinished() == 1 && analysis_omits(analysis, 0, first) &&
             analysis_open_intent(analysis, second) && summary_of().attempt_count == 3,
         "crashed, resumed, crashed: the second intent is open, the first is not");
  done();

  uint64_t dangling = build_data(&journal, 0, SYS_read, "abc", 3);
  uint64_t dangling2 = build_data(&journal, 0, SYS_read, "def", 3);
  build_attempt(&journal, 2);
  uint64_t used = build_data(&journal, 0, SYS_read, "abc", 3);
  build_complete(&journal, 0, SYS_read, 3);
  uint64_t late = build_data(&journal, 1, SYS_read, "ghi", 3);
  analyse();
  tap_ok(analysis_omits(analysis, 0, dangling) && analysis_omits(analysis, 0, dangling2) &&
             !analysis_omits(analysis, 0, used) && analysis_omits(analysis, 1, late),
         "DATA whose entry never came is left out, in each attempt and at the end");
  done();

  build_path_intent(&journal, 4, SYS_mkdir, "/d", NULL);
  build(&journal, 0, SYS_exit_group, JOURNAL_EXIT, 3);
  build_end(&journal);
  analyse();
  tap_ok(unfinished() == 0 && summary_of().exited && summary_of().exit_status == 3,
         "nothing is unfinished after the end, whose status is kept");
  done();
}

static void test_contradictions(void)
{
  struct failure failure = {0};
  build_complete(&journal, 0, SYS_getpid, 1);
  build_result(&journal, 0, SYS_mkdir, 0);
  tap_ok(error_of(&failure) == -EBADMSG && strstr(failure.text, "entry 2 "),
         "a result without intent is refused, and its seq named");
  done();

  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_result(&journal, 0, SYS_rmdir, 0);
  tap_ok(error_of(&failure) == -EBADMSG, "a result of another call than the intent's is refused");
  done();

  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_attempt(&journal, 2);
  build_result(&journal, 0, SYS_mkdir, 0);
  tap_ok(error_of(&failure) == -EBADMSG,
         "a result in a new attempt, not recovery's and not of a new intent, is refused");
  done();

  build(&journal, 0, SYS_openat, JOURNAL_COMPLETE, 3);
  build_segment(&journal, SEGMENT_FILE, 0, "short", 5);
  build_end(&journal);
  tap_ok(error_of(&failure) == -EBADMSG, "a segment of the wrong length is refused");
  done();

  build(&journal, 0, SYS_openat, JOURNAL_COMPLETE, 3);
  build_segment(&journal, SEGMENT_FULL_PATH, 0, "/a\0b", 4);
  build_end(&journal);
  tap_ok(error_of(&failure) == -EBADMSG, "a path with a NUL in it is refused");
  done();

  build_kept(&journal, 0, a_file(1), "../escape");
  tap_ok(error_of(&failure) == -EBADMSG, "a kept name that leads out of kept/ is refused");
  done();

  build_reference(&journal, 0, a_file(1), UINT64_MAX - 5, 10);
  tap_ok(error_of(&failure) == -EBADMSG, "a reference past the end of all offsets is refused");
  done();

  for (unsigned i = 0; i < OPEN_INTENT_DEPTH_MAX + 1; i++)
    build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  tap_ok(error_of(&failure) == -EBADMSG, "intents nested without end are refused");
  done();

  build_complete(&journal, 0, SYS_getpid, 1);
  const struct journal_entry *entry = (const struct journal_entry *)journal.bytes;
  struct analysis *again;
  assert(analysis_create(&again) == 0);
  assert(analysis_add(again, entry, 1, &failure) == 0);
  tap_ok(analysis_add(again, entry, 2, &failure) == -EBADMSG, "positions that do not grow are refused");
  analysis_free(again);
  done();

  build(&journal, UINT32_MAX, SYS_getpid, JOURNAL_COMPLETE, 1);
  build_end(&journal);
  tap_ok(error_of(&failure) == -EBADMSG, "a stream number that has no next is refused");
  done();
}

/* ---- in and out ---- */

static struct journal_file a_pipe(uint64_t inode)
{
  return (struct journal_file){.device = 13, .inode = inode, .mode = S_IFIFO | 0600, .link_count = 1};
}

static void build_start(struct journal_file in, struct journal_file out, uint64_t out_offset)
{
  build(&journal, 0, 1025, JOURNAL_START, 0);
  BUILD_ARGS(&journal, 4321, 1);
  build_descriptor(&journal, 0, in, 0);
  build_descriptor(&journal, 1, out, out_offset);
  build_end(&journal);
}

static void test_summary(void)
{
  build_attempt(&journal, 1);
  build_start(a_pipe(50), a_pipe(51), 0);
  build_source_read(&journal, 0, a_pipe(50), "hello ", 6);
  build_data(&journal, 0, SYS_read, "wo", 2);
  build_source_read(&journal, 0, a_pipe(50), "rld", 3);
  build_data(&journal, 0, SYS_read, "lost", 4);
  analyse();
  struct analysis_summary summary = summary_of();
  tap_ok(summary.pid_seen == 4321 && summary.outer_count == 2 && summary.outer[1].fd == 1 &&
             summary.attempt_count == 1 && summary.entry_count == 6,
         "the summary knows the pid, the descriptors and the counts");
  tap_ok(summary.stdin_consumed == 11 && summary.stdin_hash == journal_hash("hello world", 11),
         "what was read from standard input is counted and hashed, with DATA, without what was lost");
  done();

  build_start(a_pipe(50), a_pipe(51), 0);
  build_write_intent(&journal, 0, a_pipe(51), -1, "12345", 5, false);
  build_result(&journal, 0, SYS_write, 4);
  build_write_intent(&journal, 0, a_pipe(51), -1, "5", 1, false);
  build_result(&journal, 0, SYS_write, -EAGAIN);
  build_write_intent(&journal, 0, a_pipe(52), -1, "other", 5, false);
  build_result(&journal, 0, SYS_write, 5);
  build_write_intent(&journal, 0, a_pipe(51), -1, "unfinished", 10, false);
  analyse();
  tap_ok(summary_of().output_written[1] == 4 && summary_of().output_written[0] == 0,
         "what results say was written counts, by object");
  done();

  struct journal_file out = a_file(60);
  build_start(a_pipe(50), out, 100);
  build_write_intent(&journal, 0, out, -1, "12345", 5, false);
  build_result(&journal, 0, SYS_write, 5);
  build_write_intent(&journal, 0, out, 7, "12345", 5, false);
  build_result(&journal, 0, SYS_write, 5);
  build_write_intent(&journal, 0, out, -1, "67", 2, false);
  build_result(&journal, 0, SYS_write, 2);
  analyse();
  tap_ok(summary_of().output_end[1] == 107 && summary_of().output_written[1] == 12,
         "the highest offset written to a regular file counts from where it was open");
  done();

  build_start(a_pipe(50), a_pipe(51), 0);
  build_write_intent(&journal, 0, a_pipe(51), -1, "12345", 5, false);
  build_result(&journal, 0, SYS_write, 5);
  build_source_read(&journal, 0, a_pipe(50), "ab", 2);
  build(&journal, 0, 1026, JOURNAL_ATTEMPT, 2);
  build_descriptor(&journal, 0, a_pipe(51), 0);
  build_descriptor(&journal, 1, a_pipe(70), 0);
  build_end(&journal);
  build_write_intent(&journal, 0, a_pipe(70), -1, "678", 3, false);
  build_result(&journal, 0, SYS_write, 3);
  build_source_read(&journal, 0, a_pipe(51), "cd", 2);
  analyse();
  tap_ok(summary_of().output_written[1] == 8 && summary_of().stdin_consumed == 4 &&
             summary_of().stdin_hash == journal_hash("abcd", 4),
         "an attempt's own descriptors stand for those of the first, by number");
  done();

  build_start(a_pipe(50), a_pipe(51), 0);
  build_data(&journal, 0, SYS_read, "aa", 2);
  build_source_read(&journal, 1, a_pipe(50), "bb", 2);
  build_source_read(&journal, 0, a_pipe(50), "cc", 2);
  struct failure failure;
  tap_ok(error_of(&failure) == -ENOTSUP, "two threads' reads of standard input that overlap are refused");
  done();
}

int main(void)
{
  test_intents();
  test_many_streams();
  test_named_streams();
  test_attempts();
  test_contradictions();
  test_summary();
  return tap_done();
}
