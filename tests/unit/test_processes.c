/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes a run has made, which are over, and which are left out of the feed. */
#include "tests/unit/tap.h"

#include "tests/unit/analysed.h"

#include "journal/call_table.h"

#include <linux/sched.h>
#include <signal.h>

#define PIPE 77

static void build_fork(uint32_t maker, uint32_t child, int64_t pid)
{
  const struct journal_child made = {.stream = child};
  build(&journal, maker, SYS_clone, JOURNAL_INTENT, 0);
  build_args(&journal, 5, (const uint64_t[]){SIGCHLD, 0, 0, 0, 0});
  build_segment(&journal, SEGMENT_CHILD, 0, &made, sizeof made);
  build_end(&journal);
  build(&journal, child, CALL_ID_START, JOURNAL_CHILD, 0);
  build_args(&journal, 4, (const uint64_t[]){(uint64_t)pid, 1, 1, 1});
  build_end(&journal);
  build_result(&journal, maker, SYS_clone, pid);
}

static void build_exit(uint32_t stream)
{
  build(&journal, stream, SYS_exit_group, JOURNAL_EXIT, 0);
  build_end(&journal);
}

static void build_wait_status(uint32_t stream, int64_t pid, int status)
{
  const struct journal_offset offset = {.fd = 3};
  build(&journal, stream, SYS_wait4, JOURNAL_COMPLETE, pid);
  build_args(&journal, 4, (const uint64_t[]){(uint64_t)-1, 1, 0, 0});
  build_segment(&journal, SEGMENT_OUTPUT, 1, &status, sizeof status);
  build_segment(&journal, SEGMENT_OFFSETS, 0, &offset, sizeof offset);
  build_end(&journal);
}

static void build_wait(uint32_t stream, int64_t pid)
{
  build_wait_status(stream, pid, 0);
}

static void build_channel(uint32_t stream, unsigned call, uint64_t inode, int64_t result)
{
  const struct journal_source channel = {.device = inode ? 1 : 0, .inode = inode};
  build(&journal, stream, call, JOURNAL_COMPLETE, result);
  build_segment(&journal, SEGMENT_CHANNEL, 0, &channel, sizeof channel);
  build_end(&journal);
}

static void build_first(void)
{
  build(&journal, 0, CALL_ID_START, JOURNAL_START, 0);
  build_args(&journal, 4, (const uint64_t[]){1, 2, 1, 1});
  build_end(&journal);
}

/* Is the child of stream `number` left out? */
static bool skips(uint32_t number)
{
  analyse();
  analysis_skip_finished(analysis, true);
  bool skipped = analysis_stream_skipped(analysis, number);
  done();
  return skipped;
}

static void test_unfinished_children(void)
{
  build_first();
  build_fork(0, 1, 100);
  analyse();
  tap_ok(summary_of().running_count == 1, "a child that has begun runs until something tells of its end");
  done();

  build_first();
  build_fork(0, 1, 100);
  build_exit(1);
  build_exit(0);
  analyse();
  tap_ok(summary_of().running_count == 0 && summary_of().exited && summary_of().stream_next == 2,
         "it is over with its EXIT, and its stream's number is taken");
  done();

  build_first();
  build_fork(0, 1, 100);
  build_path_intent(&journal, 1, SYS_mkdir, "/d", NULL);
  build_wait(0, 100);
  analyse();
  tap_ok(summary_of().running_count == 0 && unfinished() == 0, "what a killed child had begun is dropped with it");
  done();

  build_first();
  build_fork(0, 1, 100);
  build_wait_status(0, 100, 0x137f);
  build_wait_status(0, 100, 0xffff);
  analyse();
  tap_ok(summary_of().running_count == 1, "a child that has stopped, and been continued, runs still");
  done();

  build_first();
  build_fork(0, 1, 100);
  build_path_intent(&journal, 0, SYS_mkdir, "/d", NULL);
  build_exit(1);
  analyse();
  tap_ok(unfinished() == 1, "a child's end ends nothing of its parent's");
  done();
}

/* A child has begun to write into a pipe, and what follows is another attempt's. */
static void test_writers(void)
{
  const struct journal_source channel = {.device = 1, .inode = PIPE};
  build_first();
  build_channel(0, SYS_pipe2, PIPE, 0);
  build_fork(0, 1, 100);
  build(&journal, 1, SYS_write, JOURNAL_INTENT, 0);
  build_segment(&journal, SEGMENT_CHANNEL, 0, &channel, sizeof channel);
  build_end(&journal);
  build_attempt(&journal, 2);
  build_channel(0, SYS_read, PIPE, 4);
  analyse();
  tap_ok(unfinished() == 1, "a write into a pipe that had begun is gone on with by who had begun it, whatever came in between");
  done();
}

/* A child writes 4 bytes into a pipe, of which its parent reads some, and is waited for. */
static void build_pipe_use(int64_t read)
{
  build_first();
  build_channel(0, SYS_pipe2, PIPE, 0);
  build_fork(0, 1, 100);
  build_channel(1, SYS_write, PIPE, 4);
  build_channel(0, SYS_read, PIPE, read);
  build_exit(1);
  build_wait(0, 100);
}

/* One child, which does nothing but what `act` adds, exits, and is waited for. */
static void build_child(void (*act)(void))
{
  build_first();
  build_fork(0, 1, 100);
  if (act)
    act();
  build_exit(1);
  build_wait(0, 100);
}

static void make_grandchild(void)
{
  build_fork(1, 2, 101);
}

static void make_sibling(void)
{
  build_fork(0, 2, 101);
}

static void write_channel(void)
{
  build_channel(1, SYS_write, 0, 4);
}

static void begin_attempt(void)
{
  build_attempt(&journal, 2);
}

static void test_skipped_children(void)
{
  build_child(NULL);
  tap_ok(skips(1), "a child that was waited for is left out");
  build_child(make_grandchild);
  tap_ok(!skips(1), "one whose own child runs is not");
  build_child(make_sibling);
  tap_ok(!skips(1), "nor one beside another that runs");
  build_child(write_channel);
  tap_ok(!skips(1), "nor one that has written to what replay makes again");
  build_child(begin_attempt);
  tap_ok(!skips(1), "what two attempts have done is not told apart");
  build_pipe_use(4);
  tap_ok(skips(1), "a pipe that is empty at the end is no obstacle");
  build_pipe_use(3);
  tap_ok(!skips(1), "one that holds a byte is");

  build_first();
  build_fork(0, 1, 100);
  build_exit(1);
  tap_ok(!skips(1), "a child whose end nobody has waited for is made again: its parent will");

  build_first();
  build_fork(0, 1, 100);
  build_fork(1, 2, 101);
  build_exit(2);
  build_wait(1, 101);
  tap_ok(skips(2), "a grandchild is left out before its parent is");
}

int main(void)
{
  test_unfinished_children();
  test_writers();
  test_skipped_children();
  return tap_done();
}
