/* SPDX-License-Identifier: Apache-2.0 */
/* What failed at the end of a run, and what of it is forgotten. */
#include "tests/unit/tap.h"

#include "tests/unit/analysed.h"

#include "journal/call_table.h"
#include "journal/curl_info.h"
#include "supervisor/failed_effect.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

static struct failed_search *search;
static const struct failed_effect *failed;

static void build_first(void)
{
  build(&journal, 0, CALL_ID_START, JOURNAL_START, 0);
  BUILD_ARGS(&journal, 1, 2, 1, 1);
  build_end(&journal);
}

/* Position of the fork's INTENT. */
static uint64_t build_fork(uint32_t maker, uint32_t child)
{
  const struct journal_child made = {.stream = child};
  build(&journal, maker, SYS_clone, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, SIGCHLD, 0, 0, 0, 0);
  build_segment(&journal, SEGMENT_CHILD, 0, &made, sizeof made);
  uint64_t position = build_end(&journal);
  build(&journal, child, CALL_ID_START, JOURNAL_CHILD, 0);
  BUILD_ARGS(&journal, 100 + child, 1, 1, 1);
  build_end(&journal);
  build_result(&journal, maker, SYS_clone, 100 + child);
  return position;
}

static uint64_t build_exec(uint32_t stream, const char *word)
{
  build(&journal, stream, SYS_execve, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 0x1000, 0, 0);
  build_segment(&journal, SEGMENT_COMMAND, 1, word, strlen(word) + 1);
  uint64_t position = build_end(&journal);
  build(&journal, stream, CALL_ID_START, JOURNAL_START, 0);
  BUILD_ARGS(&journal, 1, 2, 1, 1);
  build_end(&journal);
  return position;
}

static void build_exit(uint32_t stream, int status)
{
  build(&journal, stream, SYS_exit_group, JOURNAL_EXIT, status);
  build_end(&journal);
}

static void build_wait(uint32_t stream, uint32_t child, int status)
{
  const int told = status << 8;
  build(&journal, stream, SYS_wait4, JOURNAL_COMPLETE, 100 + child);
  BUILD_ARGS(&journal, (uint64_t)-1, 1, 0, 0);
  build_segment(&journal, SEGMENT_OUTPUT, 1, &told, sizeof told);
  build_end(&journal);
}

/* A command that maker makes, executes and waits for. */
static uint64_t build_command(uint32_t maker, uint32_t child, const char *word, int status)
{
  uint64_t position = build_fork(maker, child);
  build_exec(child, word);
  build_exit(child, status);
  build_wait(maker, child, status);
  return position;
}

static void build_pipe(uint32_t stream)
{
  build_complete(&journal, stream, SYS_pipe2, 0);
}

static void build_socket(int fd, int type)
{
  build(&journal, 0, SYS_socket, JOURNAL_COMPLETE, fd);
  BUILD_ARGS(&journal, AF_INET, (uint64_t)type, 0);
  build_end(&journal);
}

static uint64_t build_connect(int fd, int64_t result)
{
  build(&journal, 0, SYS_connect, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, (uint64_t)fd, 0x1000, 16);
  uint64_t position = build_end(&journal);
  build_result(&journal, 0, SYS_connect, result);
  return position;
}

static void build_send(uint32_t stream, int fd)
{
  const struct journal_written written = {.device = 9, .inode = 9, .offset = -1, .length = 1, .remote = 1};
  build(&journal, stream, SYS_sendto, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, (uint64_t)fd, 0x1000, 1, 0, 0, 0);
  build_segment(&journal, SEGMENT_WRITTEN, 0, &written, sizeof written);
  build_end(&journal);
  build_result(&journal, stream, SYS_sendto, 1);
}

static void build_receive(int fd, int64_t result)
{
  build(&journal, 0, SYS_recvfrom, JOURNAL_COMPLETE, result);
  BUILD_ARGS(&journal, (uint64_t)fd, 0x1000, 100, 0, 0, 0);
  build_end(&journal);
}

static uint64_t build_exchange(int64_t code, uint64_t status)
{
  struct {
    struct journal_info info;
    uint64_t status;
  } info = {{.info = CURL_INFO_RESPONSE_CODE, .length = 8}, status};
  build(&journal, 0, CALL_ID_EXCHANGE, JOURNAL_INTENT, 0);
  BUILD_ARGS(&journal, 0);
  uint64_t position = build_end(&journal);
  build(&journal, 0, CALL_ID_EXCHANGE, JOURNAL_RESULT, code);
  BUILD_ARGS(&journal, position);
  build_segment(&journal, SEGMENT_INFO, 0, &info, sizeof info);
  build_end(&journal);
  return position;
}

static void find(void)
{
  const struct journal_entry *entry;
  uint64_t seq;
  analyse();
  assert(failed_search_create(analysis, &search) == 0);
  built_rewind(&journal, NULL);
  while (built_next(&journal, &entry, &seq, NULL) == 0 && entry)
    failed_search_add(search, entry);
  failed = failed_search_end(search);
  if (failed->kind == FAILED_NOTHING)
    return;
  built_rewind(&journal, NULL);
  while (built_next(&journal, &entry, &seq, NULL) == 0 && entry)
    failed_search_weigh(search, entry);
}

static void forget(void)
{
  failed_search_free(search);
  done();
}

static bool is(enum failed_kind kind, uint64_t position)
{
  find();
  if (failed->kind == kind && (kind == FAILED_NOTHING ? failed->why != NULL : failed->position == position))
    return true;
  tap_note("kind %d at %llu, not %llu: %s", failed->kind, (unsigned long long)failed->position,
           (unsigned long long)position, failed->why ? failed->why : "");
  return false;
}

static void test_commands(void)
{
  build_first();
  build_command(0, 1, "one", 0);
  uint64_t two = build_command(0, 2, "two", 3);
  build_exit(0, 3);
  tap_ok(is(FAILED_COMMAND, two) && strcmp(failed->words, "two") == 0 && failed->status == 3, "the last command failed");
  forget();

  build_first();
  two = build_command(0, 1, "two", 3);
  build_command(0, 2, "cleanup", 0);
  build_exit(0, 3);
  tap_ok(is(FAILED_COMMAND, two) && failed->commands_after == 1, "a trap's command comes after it, and the status says so");
  forget();

  build_first();
  build_command(0, 1, "grep", 1);
  build_command(0, 2, "work", 0);
  build_exit(0, 4);
  tap_ok(is(FAILED_NOTHING, 0), "an older failure with another status is none");
  forget();

  build_first();
  two = build_command(0, 1, "cc", 1);
  build_exit(0, 2);
  tap_ok(is(FAILED_COMMAND, two), "another status counts where no command followed (make)");
  forget();

  build_first();
  build_command(0, 1, "grep", 1);
  build_exit(0, 0);
  tap_ok(is(FAILED_NOTHING, 0), "a run that ended with 0 has not failed");
  forget();

  build_first();
  build_command(0, 1, "false", 1);
  tap_ok(is(FAILED_NOTHING, 0), "nor has one that has not ended");
  forget();

  build_first();
  build_command(0, 1, "true", 0);
  build_exit(0, 5);
  tap_ok(is(FAILED_NOTHING, 0), "nothing is to blame where every command succeeded");
  forget();
}

static void build_pipeline(int first, int second)
{
  build_exec(1, "yes");
  build_exec(2, "head");
  build_exit(1, first);
  build_exit(2, second);
  build_wait(0, 2, second);
  build_wait(0, 1, first);
}

static void test_pipelines(void)
{
  build_first();
  build_pipe(0);
  uint64_t begin = build_fork(0, 1);
  build_fork(0, 2);
  build_pipeline(0, 3);
  build_exit(0, 3);
  tap_ok(is(FAILED_COMMAND, begin) && strcmp(failed->words, "yes | head") == 0, "a pipeline is one command");
  forget();

  build_first();
  build_pipe(0);
  build_fork(0, 1);
  build_fork(0, 2);
  build_pipeline(141, 0);
  build_exit(0, 1);
  tap_ok(is(FAILED_NOTHING, 0), "a member but the last fails nothing by itself");
  forget();

  build_first();
  build_pipe(0);
  begin = build_fork(0, 1);
  build_fork(0, 2);
  build_pipeline(7, 0);
  build_exit(0, 7);
  tap_ok(is(FAILED_COMMAND, begin), "but by pipefail, which gives its status");
  forget();

  build_first();
  build_fork(0, 1);
  begin = build_fork(0, 2);
  build_pipeline(0, 3);
  build_exit(0, 3);
  tap_ok(is(FAILED_COMMAND, begin), "what merely runs beside it goes on from where it was");
  forget();
}

static void test_inside(void)
{
  build_first();
  build_fork(0, 1);
  build_command(1, 2, "one", 0);
  uint64_t inner = build_command(1, 3, "two", 2);
  build_exit(1, 2);
  build_wait(0, 1, 2);
  build_exit(0, 2);
  tap_ok(is(FAILED_COMMAND, inner) && strcmp(failed->words, "two") == 0, "a subshell is gone into");
  forget();

  build_first();
  uint64_t outer = build_fork(0, 1);
  build_exec(1, "bash");
  build_command(1, 2, "one", 2);
  build_exit(1, 2);
  build_wait(0, 1, 2);
  build_exit(0, 2);
  tap_ok(is(FAILED_COMMAND, outer) && strcmp(failed->words, "bash") == 0, "a program that was executed is not");
  forget();

  build_first();
  build_fork(0, 1);
  build_command(1, 2, "one", 0);
  inner = build_exec(1, "two");
  build_exit(1, 2);
  build_wait(0, 1, 2);
  build_exit(0, 2);
  tap_ok(is(FAILED_COMMAND, inner) && strcmp(failed->words, "two") == 0, "what a subshell executes at its end is its last command");
  forget();

  build_first();
  build_command(0, 1, "one", 0);
  inner = build_exec(0, "two");
  build_exit(0, 2);
  tap_ok(is(FAILED_COMMAND, inner), "and so in the first process");
  forget();

  build_first();
  build_command(0, 1, "wrapper's", 0);
  build_exec(0, "program");
  build_socket(3, SOCK_STREAM);
  inner = build_connect(3, -ECONNREFUSED);
  build_exit(0, 2);
  tap_ok(is(FAILED_CONNECTION, inner), "unless what failed is found in the program that is executed");
  forget();
}

static void test_remote(void)
{
  build_first();
  build_socket(3, SOCK_STREAM);
  uint64_t place = build_connect(3, -ECONNREFUSED);
  build_exit(0, 1);
  tap_ok(is(FAILED_CONNECTION, place) && failed->status == ECONNREFUSED, "a connection that was refused");
  forget();

  build_first();
  build_socket(3, SOCK_STREAM);
  place = build_connect(3, -EINPROGRESS);
  build_send(0, 3);
  build_receive(3, -ECONNRESET);
  build_exit(0, 1);
  tap_ok(is(FAILED_CONNECTION, place) && failed->own_changes == 1 && failed->other_changes == 0,
         "one that broke goes back to its connect, with what was sent on it");
  forget();

  build_first();
  build_socket(3, SOCK_STREAM);
  build_connect(3, 0);
  build_send(0, 3);
  build_receive(3, 10);
  build_receive(3, -ECONNRESET);
  build_exit(0, 1);
  tap_ok(is(FAILED_NOTHING, 0), "but not when it had brought answers");
  forget();

  build_first();
  build_socket(3, SOCK_STREAM);
  place = build_connect(3, 0);
  build_send(0, 3);
  build_receive(3, 0);
  build(&journal, 0, SYS_close, JOURNAL_COMPLETE, 0);
  BUILD_ARGS(&journal, 3);
  build_end(&journal);
  build_receive(3, 10); /* of a file that has the number now */
  build_exit(0, 1);
  tap_ok(is(FAILED_CONNECTION, place), "an end in place of an answer is a failure");
  forget();

  build_first();
  build_socket(3, SOCK_DGRAM);
  build_connect(3, -ENETUNREACH);
  build_exit(0, 1);
  tap_ok(is(FAILED_NOTHING, 0), "libc's question for a way is none");
  forget();

  build_first();
  build_socket(3, SOCK_STREAM);
  build_connect(3, -ECONNREFUSED);
  build_socket(4, SOCK_STREAM);
  build_connect(4, 0);
  build_receive(4, 10);
  build_exit(0, 1);
  tap_ok(is(FAILED_NOTHING, 0), "what was answered later has overcome it");
  forget();

  build_first();
  place = build_exchange(7, 0);
  build_exit(0, 1);
  tap_ok(is(FAILED_EXCHANGE, place) && failed->status == 7 && !failed->answered, "an exchange with a code");
  forget();

  build_first();
  place = build_exchange(0, 503);
  build_exit(0, 1);
  tap_ok(is(FAILED_EXCHANGE, place) && failed->status == 503 && failed->answered, "with a status that may pass");
  forget();

  build_first();
  build_exchange(0, 404);
  build_exit(0, 1);
  tap_ok(is(FAILED_NOTHING, 0), "one that will not is no failure of the exchange");
  forget();

  build_first();
  build_exchange(7, 0);
  build_command(0, 1, "logger", 0);
  build_exit(0, 1);
  tap_ok(is(FAILED_NOTHING, 0), "nor is one that a command followed");
  forget();

  build_first();
  place = build_command(0, 1, "false", 1);
  build_send(0, 5);
  build_exit(0, 1);
  tap_ok(is(FAILED_COMMAND, place) && failed->other_changes == 1, "what others have changed since is counted");
  forget();
}

/* A file that a forgotten command has renamed is where it has put it; one of a region is where it was. */
static bool is_renamed(int skip(struct analysis *, uint64_t, uint64_t))
{
  struct journal_file file = a_file(7);
  struct file_id id = file_id_of(&file);
  const struct journal_entry *entry;
  char path[KNOWN_PATH_SIZE_MAX];
  uint64_t seq;
  build_first();
  build_open(&journal, 0, 3, "/a", file);
  uint64_t begin = build_fork(0, 1);
  build_rename(&journal, 1, "/a", &file, "/b", NULL);
  build_exit(1, 1);
  build_exit(0, 1);
  assert(analysis_create(&analysis) == 0 && skip(analysis, begin - 1, journal.length) == 0);
  built_rewind(&journal, NULL);
  while (built_next(&journal, &entry, &seq, NULL) == 0 && entry)
    assert(analysis_add(analysis, entry, seq, NULL) == 0);
  assert(analysis_end(analysis, NULL) == 0);
  bool gone = !summary_of().exited && summary_of().running_count == 0 && summary_of().stream_next == 1;
  uint32_t number = known_files_find(&analysis->files, &id);
  bool renamed = known_files_path(&analysis->files, number, 0, path, NULL) == 0 && strcmp(path, "/b") == 0;
  done();
  return gone && renamed;
}

int main(void)
{
  test_commands();
  test_pipelines();
  test_inside();
  test_remote();
  tap_ok(is_renamed(analysis_forget), "what is forgotten has not been, but its files stay where they are");
  tap_ok(!is_renamed(analysis_skip), "of what was taken back they do not");
  return tap_done();
}
